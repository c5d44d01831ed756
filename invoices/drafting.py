"""From prices and usage to invoice lines. It reads usage and stores nothing: previews and the billing run share it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any, Protocol, cast
from uuid import UUID

from django.db.models import Prefetch

from core.money import plain, share, to_minor_units
from core.periods import Period
from core.related import rows_of
from invoices.errors import AmountTooLarge
from invoices.explaining import described, price_basis, rated_words, units_at_price
from invoices.models import Invoice, InvoiceLine
from meters.models import Meter
from subscriptions.models import Price, Subscription, SubscriptionItem
from subscriptions.pricing import Rating, billable_quantity, rate
from subscriptions.services import current_period, next_period
from subscriptions.statuses import Status
from usage.reports import Usage, UsageQuestion, quantities

# What rating reads of prices. A chunk has many items and few prices, so each is one object.
PRICES = (Prefetch("price", Price.objects.select_related("product", "meter")), "price__tiers")

_LARGEST_AMOUNT = 2**63 - 1

Answers = Mapping[UsageQuestion, Usage]


class Asking(Protocol):
    """Whatever cannot be rated before some usage is known; with the question's meter, where that is in hand."""

    @property
    def question(self) -> UsageQuestion | None: ...

    @property
    def meter(self) -> Meter | None: ...


@dataclass(frozen=True, slots=True)
class Charge:
    """One line to be: an item's price over a period.

    :ivar is_trial: nothing is asked for it
    :ivar question: what has to be known of usage before a metered price can be rated; None for a licensed one
    """

    subscription: Subscription
    item: SubscriptionItem
    price: Price
    period: Period
    is_trial: bool = False
    question: UsageQuestion | None = field(init=False)

    def __post_init__(self) -> None:
        meter_id = self.price.meter_id
        question = None if meter_id is None else UsageQuestion(meter_id, self.subscription.customer_id, self.period)
        # The way to set a field of what is frozen.
        object.__setattr__(self, "question", question)

    @property
    def meter(self) -> Meter | None:
        return self.price.meter


def first_charges(subscription: Subscription) -> list[Charge]:
    """What is billed when a period begins out of turn: its licensed items, in advance; a trial's, for nothing."""
    is_trial = subscription.status == Status.TRIALING
    return [
        Charge(subscription, item, item.price, item.current_period, is_trial=is_trial)
        for item in _items(subscription)
        if not _is_metered(item)
    ]


def cycle_charges(subscription: Subscription) -> list[Charge]:
    """What is billed when the current period ends: metered usage of that one, licensed items for the next."""
    charges = usage_charges(subscription, current_period(subscription).end)
    for item in _items(subscription):
        period = None if _is_metered(item) else next_period(item, subscription)
        if period is not None:
            charges.append(_charge(subscription, item, period))
    return _in_order(charges)


def usage_charges(subscription: Subscription, until: datetime) -> list[Charge]:
    """The metered usage of the current period that came before an instant; none of a trial's.

    An item that had another price before, or was removed, is billed by what it was at each time.
    """
    if subscription.status == Status.TRIALING:
        return []
    start = current_period(subscription).start
    charges = [
        Charge(subscription, term.item, term.price, Period(max(start, term.starts_at), min(until, term.ends_at)))
        for term in rows_of(subscription, "terms")
        if term.price.is_metered and max(start, term.starts_at) < min(until, term.ends_at)
    ]
    charges += [
        _charge(subscription, item, Period(max(start, item.effective_at), until))
        for item in _items(subscription)
        if _is_metered(item) and max(start, item.effective_at) < until
    ]
    return _in_order(charges)


def read_usage(environment_id: UUID, asking: Iterable[Asking]) -> Answers:
    """Ask for all the usage that is needed, at once. It counts whatever is committed by now."""
    questions: dict[UsageQuestion, None] = {}
    meters: dict[UUID, Meter] = {}
    for one in asking:
        if one.question is not None:
            questions[one.question] = None
            if one.meter is not None:
                meters[one.meter.pk] = one.meter
    answers = quantities(environment_id, list(questions), meters=meters) if questions else []
    return dict(zip(questions, answers, strict=True))


def make_lines(charges: Sequence[Charge], answers: Answers, *, read_at: datetime) -> list[InvoiceLine]:
    """Rate charges into lines that belong to no invoice yet.

    :raises AmountTooLarge: if a line's amount is beyond what an invoice can hold
    """
    return [_make_line(charge, position, answers, read_at) for position, charge in enumerate(charges)]


def count_line(line: InvoiceLine, charge: Charge, answers: Answers, *, read_at: datetime) -> InvoiceLine:
    """Rate a metered charge into the line that it had before, by what was used by now. The caller stores it.

    :raises AmountTooLarge: if the amount is beyond what an invoice can hold
    """
    usage = answers[cast("UsageQuestion", charge.question)]
    rating = rated_usage(charge.price, usage)
    line.description = _describe(charge.price, rating, Fraction(1))
    line.basis = usage_basis(charge, usage, rating, read_at)
    line.quantity, line.exact_amount, line.amount = rating.quantity, rating.amount, whole_amount(rating.amount)
    return line


def make_invoice(
    subscription: Subscription,
    lines: Sequence[InvoiceLine],
    *,
    period: Period,
    billing_reason: str,
    created_at: datetime,
    finalizes_at: datetime | None = None,
) -> Invoice:
    """Draft an invoice around lines and make it theirs.

    :param finalizes_at: when it becomes final by itself; it does not while the subscription is unpaid, or where the
        pause of its collection keeps drafts
    :raises AmountTooLarge: if the total is beyond what an invoice can hold
    """
    invoice = Invoice(
        environment_id=subscription.environment_id,
        customer=subscription.customer,
        subscription=subscription,
        billing_reason=billing_reason,
        collection_method=subscription.collection_method,
        days_until_due=subscription.days_until_due,
        currency=subscription.currency,
        period_start=period.start,
        period_end=period.end,
        created_at=created_at,
        finalizes_at=None if _stays_draft(subscription) else finalizes_at,
        pause_behavior=subscription.pause_behavior,
    )
    for line in lines:
        line.invoice = invoice
    add_up(invoice, lines)
    return invoice


def _stays_draft(subscription: Subscription) -> bool:
    keeps = subscription.pause_behavior == Subscription.PausedCollection.KEEP_AS_DRAFT
    return keeps or subscription.status == Status.UNPAID


def add_up(invoice: Invoice, lines: Iterable[InvoiceLine]) -> None:
    """Set an invoice's totals from its lines, which are rounded already.

    With more given back than is charged the total is below zero, and nothing is due: the customer's balance takes it.

    :raises AmountTooLarge: if the total is beyond what an invoice can hold
    """
    invoice.credit_applied = 0
    invoice.subtotal = invoice.total = check_amount(sum(line.amount for line in lines))
    invoice.amount_due = max(invoice.total, 0)


def rated_usage(price: Price, usage: Usage) -> Rating:
    """What metered usage of a period costs: never less than nothing."""
    return rate(price.terms, billable_quantity(usage.value))


def usage_basis(charge: Charge, usage: Usage, rating: Rating, read_at: datetime) -> dict[str, Any]:
    """What a metered line was computed from, all as text, so that no reader of the JSON takes it for floats.

    ``used`` differs from ``quantity`` where corrections took the total below zero.
    """
    meter = cast("Meter", charge.price.meter)
    return {
        "meter": str(meter.pk),
        "event_name": meter.event_name,
        "formula": meter.formula,
        "event_time_window": meter.event_time_window,
        "customer": str(charge.subscription.customer_id),
        "event_count": str(usage.event_count),
        "used": plain(usage.value),
        "read_at": read_at.isoformat(),
        **price_basis(charge.price, rating),
    }


def whole_amount(exact_amount: Decimal) -> int:
    """The one rounding of a line, to whole minor units.

    :raises AmountTooLarge: if that is beyond what an invoice can hold
    """
    return check_amount(to_minor_units(exact_amount))


def check_amount(amount: int) -> int:
    """An amount that can be kept.

    :raises AmountTooLarge: if it cannot
    """
    if abs(amount) > _LARGEST_AMOUNT:
        raise AmountTooLarge(Decimal(amount))
    return amount


def _items(subscription: Subscription) -> Sequence[SubscriptionItem]:
    return rows_of(subscription, "items")


def _is_metered(item: SubscriptionItem) -> bool:
    return item.price.is_metered


def _in_order(charges: Iterable[Charge]) -> list[Charge]:
    """By item, as the caller listed them, and by time."""
    return sorted(charges, key=lambda charge: (charge.item.created_at, charge.item.pk, charge.period.start))


def _charge(subscription: Subscription, item: SubscriptionItem, period: Period) -> Charge:
    return Charge(subscription=subscription, item=item, price=item.price, period=period)


def _make_line(charge: Charge, position: int, answers: Answers, read_at: datetime) -> InvoiceLine:
    if charge.is_trial:
        return _trial_line(charge, position)
    if charge.question is None:
        return _licensed_line(charge, position)
    return _metered_line(charge, position, answers[charge.question], read_at)


def _trial_line(charge: Charge, position: int) -> InvoiceLine:
    return InvoiceLine(
        environment_id=charge.subscription.environment_id,
        position=position,
        subscription_item=charge.item,
        price=charge.price,
        description=f"Trial period for {charge.price.product.name}",
        quantity=Decimal(charge.item.quantity or 0),
        unit_amount=Decimal(0),
        exact_amount=Decimal(0),
        amount=0,
        period_start=charge.period.start,
        period_end=charge.period.end,
        basis={"trial": "true"},
    )


def _metered_line(charge: Charge, position: int, usage: Usage, read_at: datetime) -> InvoiceLine:
    rating = rated_usage(charge.price, usage)
    return _line(charge, position, rating, rating.amount, usage_basis(charge, usage, rating, read_at))


def _licensed_line(charge: Charge, position: int) -> InvoiceLine:
    price = charge.price
    rating = rate(price.terms, Decimal(charge.item.quantity or 0))
    periods = charge.subscription.full_periods(price, charge.period)
    basis = price_basis(price, rating) | {"full_periods": str(periods)}
    return _line(charge, position, rating, share(rating.amount, periods), basis, periods=periods)


def _line(
    charge: Charge,
    position: int,
    rating: Rating,
    exact_amount: Decimal,
    basis: dict[str, Any],
    *,
    periods: Fraction = Fraction(1),
) -> InvoiceLine:
    return InvoiceLine(
        environment_id=charge.subscription.environment_id,
        position=position,
        subscription_item=charge.item,
        price=charge.price,
        description=_describe(charge.price, rating, periods),
        quantity=rating.quantity,
        unit_amount=charge.price.unit_amount,
        exact_amount=exact_amount,
        amount=whole_amount(exact_amount),
        period_start=charge.period.start,
        period_end=charge.period.end,
        basis=basis,
    )


def _describe(price: Price, rating: Rating, periods: Fraction) -> str:
    """Tell the payer what this is, as in "Context tokens: 18,059,974 (times) 0.0000025 USD per token"."""
    part = ""
    if periods != 1:
        part = f" (for {periods} periods)" if periods.denominator == 1 else " (prorated)"
    in_short = f"{units_at_price(price, rating.quantity)}{part}"
    return described(price, f"{rated_words(price, rating)}{part}", in_short)
