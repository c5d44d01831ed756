"""Usage that took place before an instant, and was on no final invoice by then; docs/revenue.md defines it.

A book has many subscriptions and few prices: rows are read as they stand, and each price is one object for all of them.
They come customer by customer, as their usage lies in its indexes.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import chain, islice
from typing import Any, TypeVar
from uuid import UUID

from django.db.models import F, OuterRef, Q, QuerySet, Subquery, Sum, Value
from django.db.models.functions import Coalesce

from accounts.models import Environment
from core.fields import ExactDecimalField
from core.ids import spell
from core.money import EXACT
from core.periods import Period
from core.spreadsheets import Cell, main_units
from invoices.drafting import read_usage, whole_amount
from invoices.exports.prices import Prices
from invoices.models import Invoice, InvoiceLine
from invoices.true_ups import REACH, dropped_months, is_kept
from meters.models import LatePolicy
from subscriptions.models import ItemTerm, SubscriptionItem
from subscriptions.pricing import billable_quantity, rate
from subscriptions.statuses import OVER, Status
from usage.reports import UsageQuestion

# So many are asked for at once.
_CHUNK = 5_000
_FIRST_CHUNK = 200
_LATE = "late usage"
_UNBILLED = [Status.INCOMPLETE, Status.PAUSED, Status.TRIALING, *OVER]
Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class _Piece:
    """A metered price over a part of a period that lies before the instant.

    :ivar question: what was used in it
    :ivar state: where its bill stands
    :ivar billed_quantity: what final invoices had billed of it by then, in the meter's unit
    :ivar billed_amount: the same in minor units
    """

    question: UsageQuestion
    price_id: UUID
    subscription_id: UUID
    customer_name: str
    state: str
    billed_quantity: Decimal = Decimal(0)
    billed_amount: int = 0

    @property
    def meter(self) -> None:
        """Not in hand."""


def unbilled_rows(environment: Environment, at: datetime) -> Iterator[Sequence[Cell]]:
    """A row for each metered price and period of which something was used, or is due, and was not billed by an instant."""
    prices = Prices(environment)
    pieces = chain(_running(environment, at), _not_final(environment, at), _late(environment, at))
    for some in _chunks(pieces):
        answers = read_usage(environment.pk, some)
        # Asked after the usage was read: what is left of a month that went before would count too little.
        dropped = dropped_months()
        prices.bring(piece.price_id for piece in some)
        for piece in some:
            period = piece.question.period
            if piece.state == _LATE and not is_kept(period, dropped):
                continue
            known = prices[piece.price_id]
            price = known.row
            rating = rate(known.terms, billable_quantity(answers[piece.question].value))
            quantity = EXACT.subtract(rating.quantity, piece.billed_quantity)
            amount = whole_amount(rating.amount) - piece.billed_amount
            if quantity == 0 and amount == 0:
                continue
            yield (
                spell("cus", piece.question.customer_id),
                piece.customer_name,
                spell("sub", piece.subscription_id),
                price.product.name,
                price.meter.event_name if price.meter else "",
                piece.state,
                period.start,
                period.end,
                quantity,
                price.currency.upper(),
                main_units(amount, price.currency),
            )


def _running(environment: Environment, at: datetime) -> Iterator[_Piece]:
    """Periods that no invoice was made for yet, as :func:`invoices.drafting.usage_charges` would bill them."""
    begun = Q(environment=environment, price__meter__isnull=False, subscription__start_at__lt=at)
    billed = begun & ~Q(subscription__status__in=_UNBILLED)
    # All items of a subscription are in the same period. Those that were removed stay in the one that they left.
    period = SubscriptionItem.objects.present().filter(subscription=OuterRef("subscription"))
    whose = ("price__meter", "subscription__customer", "price", "subscription", "subscription__customer__name")
    items = (
        SubscriptionItem.objects.present()
        .filter(billed)
        .order_by("subscription__customer", "subscription", "created_at", "pk")
    )
    terms = (
        ItemTerm.objects.filter(billed)
        .annotate(
            start=Subquery(period.values("current_period_start")[:1]),
            end=Subquery(period.values("current_period_end")[:1]),
        )
        .filter(ends_at__gt=F("start"))
        .order_by("subscription__customer", "subscription", "starts_at", "pk")
    )
    spans = chain(
        items.values_list(
            *whose, "effective_at", "current_period_end", "current_period_start", "current_period_end"
        ).iterator(chunk_size=_CHUNK),
        terms.values_list(*whose, "starts_at", "ends_at", "start", "end").iterator(chunk_size=_CHUNK),
    )
    for meter_id, customer_id, price_id, subscription_id, name, since, until, start, end in spans:
        first, last = max(start, since), min(end, until, at)
        if first < last:
            question = UsageQuestion(meter_id, customer_id, Period(first, last))
            yield _Piece(question, price_id, subscription_id, name, "period is running")


def _not_final(environment: Environment, at: datetime) -> Iterator[_Piece]:
    """Periods whose invoice was a draft at the instant, or was made later; void ones were final before that."""
    waiting = Q(invoice__finalized_at=None) | Q(invoice__finalized_at__gte=at)
    lines = _first_lines(environment).filter(waiting, period_start__lt=at)
    for row in lines.values_list(*_OF_LINE).iterator(chunk_size=_CHUNK):
        yield _of_line(row, until=at, state="invoice is not final")


def _late(environment: Environment, at: datetime) -> Iterator[_Piece]:
    """Periods that were billed by then, as far back as late usage is billed, less what was billed for them."""
    final = Q(invoice__finalized_at__lt=at) & ~Q(invoice__status=Invoice.Status.VOID)
    goes_on = Q(invoice__subscription__ended_at=None) | Q(invoice__subscription__ended_at__gt=at)
    billed = Q(true_ups__invoice__finalized_at__lt=at) & ~Q(true_ups__invoice__status=Invoice.Status.VOID)

    def trued_up(column: str) -> Coalesce:
        total = Sum(f"true_ups__{column}", filter=billed)
        return Coalesce(total, Value(0), output_field=ExactDecimalField())

    lines: QuerySet[Any] = _first_lines(environment).filter(
        final, goes_on, period_end__gt=at - REACH, price__meter__late_policy=LatePolicy.BILL_NEXT
    )
    lines = lines.annotate(trued_up_quantity=trued_up("quantity"), trued_up_amount=trued_up("amount"))
    columns = (*_OF_LINE, "quantity", "trued_up_quantity", "amount", "trued_up_amount")
    for *row, quantity, more_quantity, amount, more_amount in lines.values_list(*columns).iterator(chunk_size=_CHUNK):
        billed_quantity, billed_amount = EXACT.add(quantity, more_quantity), amount + int(more_amount)
        yield _of_line(row, until=None, state=_LATE, billed_quantity=billed_quantity, billed_amount=billed_amount)


# fmt: off
_OF_LINE = (
    "price__meter", "invoice__subscription__customer", "price", "invoice__subscription",
    "invoice__subscription__customer__name", "period_start", "period_end",
)
# fmt: on


def _first_lines(environment: Environment) -> QuerySet[InvoiceLine]:
    """The lines by which metered periods are billed first."""
    return InvoiceLine.objects.filter(
        environment=environment,
        price__meter__isnull=False,
        subscription_item__isnull=False,
        invoice__subscription__isnull=False,
        trues_up=None,
    ).order_by("invoice__subscription__customer", "pk")


def _of_line(row: Sequence[Any], *, until: datetime | None, state: str, **billed: Any) -> _Piece:
    meter_id, customer_id, price_id, subscription_id, name, start, end = row
    question = UsageQuestion(meter_id, customer_id, Period(start, end if until is None else min(end, until)))
    return _Piece(question, price_id, subscription_id, name, state, **billed)


def _chunks(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Rows some thousand at a time, but for the first: a page may want no more."""
    rows, size = iter(rows), _FIRST_CHUNK
    while some := list(islice(rows, size)):
        yield some
        size = _CHUNK
