"""Usage that took place before an instant, and was on no final invoice by then; docs/revenue.md defines it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import chain
from typing import Any, TypeVar

from django.db.models import Q, QuerySet, Sum, Value
from django.db.models.functions import Coalesce

from accounts.models import Environment
from core.fields import ExactDecimalField
from core.ids import spell
from core.money import EXACT
from core.periods import Period
from core.spreadsheets import Cell, main_units
from invoices.drafting import Charge, rated_usage, read_usage, usage_charges, whole_amount
from invoices.models import Invoice, InvoiceLine
from invoices.services.closing import subscriptions_with_items
from invoices.true_ups import REACH, dropped_months, is_kept
from meters.models import LatePolicy
from subscriptions.services import current_period
from subscriptions.statuses import OVER, Status
from usage.reports import UsageQuestion

# So many are asked for at once.
_CHUNK = 500
_LATE = "late usage"
Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class _Piece:
    """A metered price over a part of a period that lies before the instant.

    :ivar state: where its bill stands
    :ivar billed_quantity: what final invoices had billed of it by then, in the meter's unit
    :ivar billed_amount: the same in minor units
    """

    charge: Charge
    state: str
    billed_quantity: Decimal = Decimal(0)
    billed_amount: int = 0

    @property
    def question(self) -> UsageQuestion | None:
        return self.charge.question


def unbilled_rows(environment: Environment, at: datetime) -> Iterator[Sequence[Cell]]:
    """A row for each metered price and period of which something was used, or is due, and was not billed by an instant."""
    pieces = chain(_running(environment, at), _not_final(environment, at), _late(environment, at))
    for some in _chunks(pieces, _CHUNK):
        answers = read_usage(environment.pk, some)
        # Asked after the usage was read: what is left of a month that went before would count too little.
        dropped = dropped_months()
        for piece in some:
            charge = piece.charge
            if charge.question is None or (piece.state == _LATE and not is_kept(charge.period, dropped)):
                continue
            rating = rated_usage(charge.price, answers[charge.question])
            quantity = EXACT.subtract(rating.quantity, piece.billed_quantity)
            amount = whole_amount(rating.amount) - piece.billed_amount
            if quantity == 0 and amount == 0:
                continue
            subscription, price = charge.subscription, charge.price
            yield (
                spell("cus", subscription.customer_id),
                subscription.customer.name,
                spell("sub", subscription.pk),
                price.product.name,
                price.meter.event_name if price.meter else "",
                piece.state,
                charge.period.start,
                charge.period.end,
                quantity,
                price.currency.upper(),
                main_units(amount, price.currency),
            )


def _running(environment: Environment, at: datetime) -> Iterator[_Piece]:
    """Periods that no invoice was made for yet."""
    subscriptions = (
        subscriptions_with_items()
        .of(environment)
        .filter(start_at__lt=at)
        .exclude(status__in=[Status.INCOMPLETE, Status.PAUSED, *OVER])
    )
    for subscription in subscriptions.order_by("pk").iterator(chunk_size=_CHUNK):
        until = min(at, current_period(subscription).end)
        for charge in usage_charges(subscription, until):
            yield _Piece(charge, "period is running")


def _not_final(environment: Environment, at: datetime) -> Iterator[_Piece]:
    """Periods whose invoice was a draft at the instant, or was made later; void ones were final before that."""
    waiting = Q(invoice__finalized_at=None) | Q(invoice__finalized_at__gte=at)
    for line in _first_lines(environment).filter(waiting, period_start__lt=at).iterator(chunk_size=_CHUNK):
        yield _Piece(_charge(line, until=at), "invoice is not final")


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
    for line in lines.iterator(chunk_size=_CHUNK):
        yield _Piece(
            _charge(line, until=line.period_end),
            _LATE,
            EXACT.add(line.quantity, line.trued_up_quantity),
            line.amount + int(line.trued_up_amount),
        )


def _first_lines(environment: Environment) -> QuerySet[InvoiceLine]:
    """The lines by which metered periods are billed first."""
    return (
        InvoiceLine.objects.filter(
            environment=environment,
            price__meter__isnull=False,
            subscription_item__isnull=False,
            invoice__subscription__isnull=False,
            trues_up=None,
        )
        .select_related(
            "invoice__subscription__customer", "subscription_item", "price__product", "price__meter", "price"
        )
        .prefetch_related("price__tiers")
        .order_by("pk")
    )


def _charge(line: Any, *, until: datetime) -> Charge:
    period = Period(line.period_start, min(line.period_end, until))
    return Charge(line.invoice.subscription, line.subscription_item, line.price, period)


def _chunks(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    some: list[Row] = []
    for row in rows:
        some.append(row)
        if len(some) == size:
            yield some
            some = []
    if some:
        yield some
