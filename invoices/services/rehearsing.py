"""What a change of usage would do to bills that are not final: it is done, looked at, and undone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Generic, TypeVar

from django.db import transaction

from accounts.models import Customer, Environment
from core.bulk import update_rows
from core.errors import BillingError
from core.periods import Period
from invoices.models import Invoice, InvoiceLine
from invoices.reducing import TOTALS
from invoices.services.finalizing import count_again, invoices_to_finalize
from invoices.services.previewing import preview_invoice
from meters.models import Meter
from subscriptions.models import Subscription, SubscriptionItem
from usage.aggregation import Totals
from usage.totals import Span, read_totals
from webhooks.kinds import Kind
from webhooks.services import record, take_snapshots

# So many bills are looked at, and so many sums of usage; of further ones it is only said that there are some.
MOST_BILLS = 20
MOST_SUMS = 100

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Touched:
    """A meter and a customer whose usage a change may touch, and the days that it lies in.

    :ivar period: whole UTC days, so that summaries answer for all but what changes
    """

    meter: Meter
    customer: Customer
    period: Period


@dataclass(frozen=True, slots=True)
class Bill:
    """A draft, or the next invoice of a subscription.

    :ivar draft: None for a next invoice
    """

    customer: Customer
    draft: Invoice | None
    subscription: Subscription | None


@dataclass(frozen=True, slots=True)
class Amount:
    """What a bill comes to, in minor units; None, with the reason, where there would be none."""

    total: int | None
    currency: str = ""
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Rehearsal(Generic[Result]):
    """What would come of a change.

    :ivar result: what the change answered
    :ivar usage: by what a meter counts of a customer in the days that are touched, before and after
    :ivar bills: each before and after
    :ivar has_more: whether there are bills or sums that were not looked at
    """

    result: Result
    usage: Sequence[tuple[Touched, Decimal, Decimal]]
    bills: Sequence[tuple[Bill, Amount, Amount]]
    has_more: bool


def rehearse(
    *, environment: Environment, touched: Sequence[Touched], change: Callable[[], Result], now: datetime
) -> Rehearsal[Result]:
    """Make a change of usage, see what it does to drafts and next invoices, and undo it. Final invoices never change.

    :param touched: each meter and customer once
    :param now: the wall's time; customers on a test clock are billed by theirs
    :raises BillingError: whatever the change raises, or a draft that grows beyond what an invoice can hold
    """
    looked_at = touched[:MOST_SUMS]
    with transaction.atomic():
        bills, has_more = _bills(environment, looked_at)
        usage, amounts = _sums(environment, looked_at), _amounts(bills, now)
        result = change()
        usage_after, amounts_after = _sums(environment, looked_at), _amounts(bills, now)
        transaction.set_rollback(True)
    return Rehearsal(
        result,
        list(zip(looked_at, usage, usage_after, strict=True)),
        list(zip(bills, amounts, amounts_after, strict=True)),
        has_more or len(touched) > len(looked_at),
    )


@transaction.atomic
def recount_drafts(*, environment: Environment, touched: Sequence[Touched], now: datetime) -> int:
    """Let drafts follow a change of usage at once, and tell of it. Those that are left out, beyond the first
    :data:`MOST_BILLS`, do when they become final: each is counted once more then.

    :param now: the wall's time
    :returns: how many drafts changed
    :raises AmountTooLarge: if one grows beyond what an invoice can hold
    """
    bills, _has_more = _bills(environment, touched)
    changed = 0
    for draft in (bill.draft for bill in bills if bill.draft is not None):
        at = draft.customer.now(now)
        before, total = take_snapshots([draft]), draft.total
        count_again([draft], read_at=at)
        update_rows([draft], [*TOTALS, "amount_due"])
        if draft.total != total:
            record(Kind.INVOICE_UPDATED, rows=[draft], now=at, before=before)
            changed += 1
    return changed


def _bills(environment: Environment, touched: Sequence[Touched]) -> tuple[list[Bill], bool]:
    meters = {one.meter.pk for one in touched}
    customers = {one.customer.pk: one.customer for one in touched}
    of_drafts = InvoiceLine.objects.filter(
        environment=environment,
        invoice__status=Invoice.Status.DRAFT,
        invoice__customer__in=customers,
        price__meter__in=meters,
    )
    ids = list(of_drafts.order_by("invoice").values_list("invoice", flat=True).distinct()[: MOST_BILLS + 1])
    # A draft that becomes final at this moment is one no more: its lock says so.
    drafts = invoices_to_finalize().select_for_update(of=("self",), no_key=True)
    found = [
        Bill(draft.customer, draft, None)
        for draft in drafts.filter(pk__in=ids[:MOST_BILLS], status=Invoice.Status.DRAFT).order_by("created_at", "pk")
    ]
    items = SubscriptionItem.objects.present().filter(
        environment=environment,
        subscription__customer__in=customers,
        subscription__wakes_at__isnull=False,
        price__meter__in=meters,
    )
    running = list(items.order_by("subscription").values_list("subscription", flat=True).distinct()[: MOST_BILLS + 1])
    upcoming = Subscription.objects.filter(environment=environment, pk__in=running[:MOST_BILLS]).order_by("pk")
    found += [Bill(customers[one.customer_id], None, one) for one in upcoming]
    return found, len(ids) > MOST_BILLS or len(running) > MOST_BILLS


def _sums(environment: Environment, touched: Sequence[Touched]) -> list[Decimal]:
    spans = [Span(one.meter, one.customer.pk, one.period) for one in touched]
    totals = read_totals(environment.pk, spans) if spans else {}
    return [totals.get((place, ()), Totals()).value(one.meter.formula) for place, one in enumerate(touched)]


def _amounts(bills: Sequence[Bill], now: datetime) -> list[Amount]:
    drafts = [bill.draft for bill in bills if bill.draft is not None]
    if drafts:
        count_again(drafts, read_at=now)
    return [_amount(bill, now) for bill in bills]


def _amount(bill: Bill, now: datetime) -> Amount:
    if bill.draft is not None:
        return Amount(bill.draft.total, bill.draft.currency)
    try:
        found = preview_invoice(
            environment=bill.customer.environment, now=bill.customer.now(now), subscription=bill.subscription
        )
    except BillingError as refusal:
        return Amount(None, refusal=str(refusal))
    return Amount(found.invoice.total, found.invoice.currency)
