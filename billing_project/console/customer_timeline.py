"""What happened to a customer, of every kind, newest first: the latest of each kind, merged."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from heapq import nlargest
from typing import Any

from django.db.models import Model, QuerySet
from django.urls import reverse
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from accounts.console.history import changes_of
from accounts.models import Customer
from audit.models import Entry
from core.money import format_amount
from credits.models import CreditGrant, LedgerEntry
from invoices.models import CreditNote, CustomerBalanceTransaction, Invoice, Payment
from meters.models import Meter
from subscriptions.models import Subscription
from usage.models import EventAdjustment

MOST_MOMENTS = 25

Rows = Callable[[type[Model]], QuerySet[Any] | None]


@dataclass(frozen=True, slots=True)
class Moment:
    """One thing that happened.

    :ivar link: of the row that it happened to
    """

    at: datetime
    kind: str
    text: str
    link: str


def timeline(customer: Customer, rows: Rows) -> list[Moment]:
    """The latest moments.

    :param rows: the customer's rows of a kind; None where the reader may not see them
    """
    found = [Moment(customer.created_at, _("customer"), _("Made"), _page(customer))]
    if customer.deleted_at is not None:
        found.append(Moment(customer.deleted_at, _("customer"), _("Deleted"), _page(customer)))
    for model, tell, by in _KINDS:
        mine = rows(model)
        if mine is not None:
            for row in mine.order_by(*by)[:MOST_MOMENTS]:
                found += (Moment(at, kind, text, _page(row)) for at, kind, text in tell(row) if at is not None)
    canceled = rows(EventAdjustment)
    if canceled is not None:
        # An index leads through the meters to the customer.
        meters = list(Meter.objects.filter(environment=customer.environment_id).values_list("pk", flat=True))
        for row in canceled.filter(meter__in=meters).order_by("-created_at")[:MOST_MOMENTS]:
            found.append(Moment(row.created_at, _("usage"), f"{_('Event canceled')}: {row.identifier}", _page(row)))
    found += _edits(customer)
    return nlargest(MOST_MOMENTS, found, key=lambda moment: moment.at)


def _edits(customer: Customer) -> Iterable[Moment]:
    """Whatever changed the customer's own row, as the audit trail tells it."""
    page = reverse("admin:accounts_customer_history", args=[customer.pk])
    changes = Entry.objects.about(customer).filter(operation=Entry.Operation.UPDATE)
    for entry in changes[:MOST_MOMENTS]:
        names = ", ".join(str(one.name) for one in changes_of(entry))
        yield Moment(entry.occurred_at, _("customer"), f"{_('Changed')}: {names} ({entry.actor_name})", page)


def _page(row: Model) -> str:
    options = row._meta  # noqa: SLF001 (Django's own name for it)
    return reverse(f"admin:{options.app_label}_{options.model_name}_change", args=[row.pk])


Told = Iterator[tuple[datetime | None, str, str]]


def _of_subscription(row: Subscription) -> Told:
    kind = _("subscription")
    yield row.start_at, kind, _("Began")
    if row.canceled_at != row.ended_at:
        yield row.canceled_at, kind, _("Canceled, to end later") if row.ended_at is None else _("Canceled")
    yield row.ended_at, kind, _("Ended")


def _of_invoice(row: Invoice) -> Told:
    kind, total = _("invoice"), format_amount(row.total, row.currency)
    if row.finalized_at is None:
        yield row.created_at, kind, f"{_('Drafted')}: {total}"
    yield row.finalized_at, kind, f"{row.number} {_('became final')}: {total}"
    yield row.paid_at, kind, f"{row.number} {_('was paid')}"
    yield row.voided_at, kind, f"{row.number} {_('was voided')}"
    yield row.uncollectible_at, kind, f"{row.number} {_('was given up')}"


def _of_payment(row: Payment) -> Told:
    yield (
        row.received_at,
        _("payment"),
        f"{format_amount(row.amount, row.currency)} {row.method} {row.reference}".strip(),
    )


def _of_note(row: CreditNote) -> Told:
    yield row.created_at, _("credit note"), f"{row.number}: {format_amount(row.total, row.currency)}"
    yield row.voided_at, _("credit note"), f"{row.number} {_('was voided')}"


def _of_grant(row: CreditGrant) -> Told:
    yield row.created_at, _("credit"), f"{_('Granted')}: {row.text(row.amount)}, {row}"


def _of_entry(row: LedgerEntry) -> Told:
    # What the grant itself tells, and what events burn: of that there may be very much.
    if row.kind not in {LedgerEntry.Kind.GRANTED, LedgerEntry.Kind.BURNED}:
        yield (
            row.effective_at,
            _("credit"),
            f"{capfirst(row.get_kind_display())}: {row.grant.text(row.amount)}, {row.grant}",
        )


def _of_balance(row: CustomerBalanceTransaction) -> Told:
    text = f"{row.get_kind_display()}: {format_amount(row.amount, row.currency)}, {_('balance after it')} "
    yield row.created_at, _("balance"), text + format_amount(row.ending_balance, row.currency)


# With the order that an index by customer has.
_KINDS: tuple[tuple[type[Model], Callable[[Any], Told], tuple[str, ...]], ...] = (
    (Subscription, _of_subscription, ("-created_at", "-pk")),
    (Invoice, _of_invoice, ("-created_at",)),
    (Payment, _of_payment, ("-created_at",)),
    (CreditNote, _of_note, ("-created_at",)),
    (CreditGrant, _of_grant, ("-created_at", "-pk")),
    (LedgerEntry, _of_entry, ("-created_at", "-pk")),
    (CustomerBalanceTransaction, _of_balance, ("-created_at", "-pk")),
)
