"""Which invoices a person has to look at, and why: the tabs of the review desk."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any
from uuid import UUID

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import Exists, F, OuterRef, Q, Subquery
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import Customer
from core.money import format_amount
from invoices.models import BillingFailure, Invoice, InvoiceMail, InvoiceQuerySet, InvoiceVerification
from subscriptions.models import Subscription

# The billing run comes every few seconds: a draft that waits longer than this is stuck.
STUCK_AFTER = timedelta(minutes=10)

_REMAINING = F("amount_due") - F("amount_paid") - F("pre_payment_credited")
_Status = Invoice.Status


def _of_status(status: str) -> Callable[[InvoiceQuerySet, datetime], InvoiceQuerySet]:
    return lambda rows, _now: rows.filter(status=status)


def needing_action(rows: InvoiceQuerySet, now: datetime) -> InvoiceQuerySet:
    """Invoices that go no further, or are wrong, until somebody does something; each with what :func:`reasons` tells.

    :param now: the wall's time; customers on a test clock live at theirs
    """
    failures = BillingFailure.objects.filter(invoice__isnull=False)
    differences = InvoiceVerification.objects.alarming()
    mails = _unsent_mails()
    # Four short lists, each by an index of its own. Joined by "or" they would be a look at every invoice.
    concerned = (
        _waiting_drafts(now)
        .values("pk")
        .union(failures.values("invoice"), differences.values("invoice"), mails.values("invoice"))
    )
    mine = {"invoice": OuterRef("pk")}
    return rows.filter(pk__in=concerned).annotate(
        failure_reason=Subquery(failures.filter(**mine).values("reason")[:1]),
        is_different=Exists(differences.filter(**mine)),
        mail_error=Subquery(mails.filter(**mine).order_by("-pk").values("error")[:1]),
        mail_recipient=Subquery(mails.filter(**mine).order_by("-pk").values("recipient")[:1]),
    )


def _waiting_drafts(now: datetime) -> InvoiceQuerySet:
    """Drafts whose time to become final is over, or that have none."""
    drafts = Invoice.objects.filter(status=_Status.DRAFT)
    return drafts.filter(Q(finalizes_at__isnull=True) | _is_over("finalizes_at", drafts, now, STUCK_AFTER))


def _is_over(instant: str, rows: InvoiceQuerySet, now: datetime, patience: timedelta = timedelta()) -> Q:
    """Whether an instant lies so far back, by the customer's time.

    :param rows: invoices that are asked about, or more
    """
    # Customers on a test clock are few, and are found once. Joined, every invoice's customer would be looked up.
    on_clocks = Customer.objects.filter(test_clock__isnull=False)
    by_clocks = rows.filter(**{f"{instant}__lt": F("customer__test_clock__frozen_at") - patience})
    by_wall = Q(**{f"{instant}__lt": now - patience}) & ~Q(customer__in=on_clocks.values("pk"))
    return by_wall | Q(pk__in=by_clocks.values("pk"))


def _unsent_mails() -> Any:
    """Mails that came back, with open invoices that nothing was mailed about since."""
    State = InvoiceMail.State  # noqa: N806 (a class)
    later = InvoiceMail.objects.filter(
        environment=OuterRef("environment"), invoice=OuterRef("invoice"), pk__gt=OuterRef("pk")
    ).exclude(state=State.FAILED)
    return InvoiceMail.objects.filter(
        ~Exists(later), state=State.FAILED, credit_note__isnull=True, invoice__status=_Status.OPEN
    )


def past_due(rows: InvoiceQuerySet, now: datetime) -> InvoiceQuerySet:
    """Open invoices whose due date is over, by their customers' time."""
    is_open = Q(status=_Status.OPEN)
    return rows.filter(is_open & _is_over("due_at", Invoice.objects.filter(is_open), now))


# What the desk is divided into, in the order of an invoice's life. An invoice may be under several.
TABS: Mapping[str, tuple[Any, Callable[[InvoiceQuerySet, datetime], InvoiceQuerySet]]] = MappingProxyType(
    {
        "draft": (gettext_lazy("Draft"), _of_status(_Status.DRAFT)),
        "action": (gettext_lazy("Needs action"), needing_action),
        "open": (gettext_lazy("Open"), _of_status(_Status.OPEN)),
        "past_due": (gettext_lazy("Past due"), past_due),
        "paid": (gettext_lazy("Paid"), _of_status(_Status.PAID)),
        "void": (gettext_lazy("Void"), _of_status(_Status.VOID)),
        "uncollectible": (gettext_lazy("Given up"), _of_status(_Status.UNCOLLECTIBLE)),
    }
)


def reasons(invoice: Any) -> Iterator[str]:
    """Why an invoice needs action, in words.

    :param invoice: of :func:`needing_action`
    """
    if invoice.failure_reason:
        yield _("It could not be billed or made final: %(reason)s") % {"reason": invoice.failure_reason}
    elif invoice.status == _Status.DRAFT and invoice.finalizes_at is not None:
        yield _("Its time of grace is over, and it did not become final.")
    elif invoice.status == _Status.DRAFT and invoice.pause_behavior == Subscription.PausedCollection.KEEP_AS_DRAFT:
        yield _("Collection is paused for its subscription: it stays a draft until somebody finalizes it.")
    elif invoice.status == _Status.DRAFT:
        yield _("It does not become final by itself: look it over and finalize it.")
    if invoice.is_different:
        yield _("Computed again, it came out different.")
    if invoice.mail_error is not None:
        yield _("The mail to %(to)s failed: %(error)s") % {"to": invoice.mail_recipient, "error": invoice.mail_error}


_ADDED_UP = """
SELECT environment.mode, currency, count(*), sum(total), sum(remaining) FILTER (WHERE status IN ('open', 'uncollectible'))
  FROM ({latest}) AS latest JOIN accounts_environment AS environment ON environment.id = latest.environment_id
 GROUP BY environment.mode, currency ORDER BY environment.mode, currency
"""


def sums(parts: Sequence[InvoiceQuerySet], *, most: int) -> Sequence[dict[str, Any]]:
    """What invoices come to, by mode and currency, live before test: how many, their totals, and what is to be paid.

    :param parts: invoices in parts that share none, each of which an index has in the order of their making: those of
        each environment
    :param most: so many are added up, the latest
    """
    first, *others = (
        part.order_by("-created_at", "-id").values(
            "environment_id", "currency", "status", "total", "created_at", "id", remaining=_REMAINING
        )[:most]
        for part in parts
    )
    latest = first.union(*others, all=True).order_by("-created_at", "-id")[:most] if others else first
    try:
        sql, parameters = latest.query.sql_with_params()
    except EmptyResultSet:
        return []
    with connection.cursor() as cursor:
        # Django adds up a part of a table only as a search for its rows within the whole table, once more.
        cursor.execute(_ADDED_UP.format(latest=sql), parameters)
        added = cursor.fetchall()
    return [
        {
            "mode": mode,
            "count": count,
            "total": format_amount(int(total), currency),
            "remaining": format_amount(int(remaining), currency) if remaining else "",
        }
        for mode, currency, count, total, remaining in added
    ]


def parked_subscriptions(environments: Sequence[UUID], *, most: int) -> list[BillingFailure]:
    """Subscriptions and schedules that could not be billed or begun, and so have no invoice to show it on."""
    parked = BillingFailure.objects.filter(environment__in=environments, invoice__isnull=True)
    return list(parked.select_related("environment__company", "subscription__customer", "schedule__customer")[:most])
