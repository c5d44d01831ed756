"""Late usage: what a billed period costs by now, minus what was billed for it. Like drafting, it stores nothing.

A final invoice does not change. Usage that arrives for its period afterwards, or is canceled, comes onto the next invoice
of the subscription as a line of its own, which carries the old period and refers to the old line.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import chain
from typing import Any, Self, TypeVar, cast
from uuid import UUID

from django.db.models import prefetch_related_objects

from core.money import EXACT, plain
from core.periods import Period, boundary
from core.related import rows_of
from invoices.drafting import PRICES, Answers, Charge, rated_usage, read_usage, usage_basis, whole_amount
from invoices.explaining import described, units_at_price
from invoices.models import InvoiceLine, InvoiceLineQuerySet
from meters.models import LatePolicy, Meter
from subscriptions.models import Price, Subscription, SubscriptionItem
from subscriptions.services import current_period
from usage.models import DroppedMonth
from usage.reports import UsageQuestion

# How long a period is looked back at after its end. An event may come 35 days after the fact, and waits for the end of
# the period that it came in: of a month at most. The period before the current one is looked at whatever its length.
REACH = timedelta(days=70)

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class TrueUp:
    """A period that was billed, and all that was billed for it so far: the line itself and its true-ups.

    :ivar billed_quantity: in the meter's unit
    :ivar billed_amount: whole minor units
    """

    line: InvoiceLine
    charge: Charge
    billed_quantity: Decimal
    billed_amount: int

    @classmethod
    def of(cls, line: Any, subscription: Subscription) -> Self:
        """From a row of :meth:`InvoiceLineQuerySet.with_true_ups`."""
        return cls(
            line=line,
            charge=Charge(subscription, line.subscription_item, line.price, line.period),
            billed_quantity=EXACT.add(line.quantity, line.trued_up_quantity),
            billed_amount=line.amount + int(line.trued_up_amount),
        )

    @property
    def question(self) -> UsageQuestion | None:
        return self.charge.question

    @property
    def meter(self) -> Meter | None:
        return self.charge.meter


@dataclass(frozen=True, slots=True)
class LateUsage:
    """What is counted in a period by now, and what was billed for it.

    :ivar amount: whole minor units that are not billed yet, or, below zero, were billed too much
    """

    counted_quantity: Decimal
    billed_quantity: Decimal
    amount: int


def due_true_ups(subscriptions: Sequence[Subscription], *, until: datetime | None = None) -> dict[UUID, list[TrueUp]]:
    """The periods that the next invoice of each subscription has to look back at, by subscription, oldest first.

    A period with a true-up on another draft is left to that one, which is counted again when it becomes final. The
    caller holds the subscriptions' locks, so that no two drafts true up one period; a preview needs none.

    :param subscriptions: of one environment
    :param until: where the current period ends, if before its time
    """
    since: dict[UUID, datetime] = {}
    owners: dict[UUID, tuple[Subscription, SubscriptionItem]] = {}
    prices: dict[UUID, Price] = {}
    for subscription in subscriptions:
        period = current_period(subscription)
        metered = [(item, item.price) for item in rows_of(subscription, "items") if item.price.is_metered]
        # What an item was before it was changed or removed may have been metered.
        metered += [(term.item, term.price) for term in rows_of(subscription, "terms") if term.price.is_metered]
        for item, price in metered:
            since[item.pk] = min(period.start, (period.end if until is None else until) - REACH)
            owners[item.pk] = subscription, item
            prices[price.pk] = price
    found: dict[UUID, list[TrueUp]] = defaultdict(list)
    if not since:
        return found
    lines = (
        _by_policy(subscriptions[0].environment_id)
        .filter(subscription_item__in=since, period_end__gte=min(since.values()))
        .without_drafted_true_up()
    )
    due = [line for line in lines if line.period_end >= since[cast("UUID", line.subscription_item_id)]]
    # Nearly always the item and its price are in hand, and need not be read with each line again.
    for line in due:
        if line.price_id in prices:
            line.price = prices[line.price_id]
    prefetch_related_objects([line for line in due if line.price_id not in prices], *PRICES)
    for line in due:
        subscription, line.subscription_item = owners[cast("UUID", line.subscription_item_id)]
        found[subscription.pk].append(TrueUp.of(line, subscription))
    return found


def drafted_true_ups(
    lines: Iterable[InvoiceLine], subscriptions: Mapping[UUID, Subscription]
) -> dict[UUID, list[TrueUp]]:
    """The periods that true-up lines of drafts are for, by invoice, as far as these are still to be trued up.

    They are not where the first invoice was voided or the meter's policy was changed meanwhile.

    :param subscriptions: by invoice
    """
    drafted = {line.trues_up_id: line for line in lines if line.trues_up_id is not None}
    found: dict[UUID, list[TrueUp]] = defaultdict(list)
    if drafted:
        environment_id = next(iter(drafted.values())).environment_id
        for original in _with_all(_by_policy(environment_id).filter(pk__in=drafted)):
            invoice_id = drafted[original.pk].invoice_id
            found[invoice_id].append(TrueUp.of(original, subscriptions[invoice_id]))
    return found


def late_usage(line: InvoiceLine) -> LateUsage | None:
    """What is counted in a billed period by now, beside what was billed for it, whatever the meter's policy is.

    :returns: None for lines that have no such thing: drafts', void ones, true-ups, licensed items
    """
    rows = InvoiceLine.objects.filter(environment_id=line.environment_id, pk=line.pk)
    row = _with_all(rows.billed_usage().with_true_ups()).first()
    if row is None or line.invoice.subscription is None:
        return None
    true_up = TrueUp.of(row, line.invoice.subscription)
    answers, kept = read_all_usage(line.environment_id, {}, {line.pk: [true_up]})
    question = true_up.question
    if question is None or not kept[line.pk]:
        return None
    rating = rated_usage(true_up.charge.price, answers[question])
    return LateUsage(rating.quantity, true_up.billed_quantity, whole_amount(rating.amount) - true_up.billed_amount)


def read_all_usage(
    environment_id: UUID, charges: Mapping[Key, Sequence[Charge]], true_ups: Mapping[Key, Sequence[TrueUp]]
) -> tuple[Answers, dict[Key, list[TrueUp]]]:
    """Ask for all the usage that charges and true-ups need, at once.

    :returns: the answers, and the true-ups without those whose events retention has dropped in part: what is left of
        them would count too little, and money would be given back for usage that took place
    """
    answers = read_usage(
        environment_id, chain(chain.from_iterable(charges.values()), chain.from_iterable(true_ups.values()))
    )
    if not any(true_ups.values()):
        return answers, {}
    # Asked after the usage was read: a month that went before that is in this list.
    dropped = dropped_months()
    kept = {key: [one for one in some if is_kept(one.line.period, dropped)] for key, some in true_ups.items()}
    return answers, kept


def dropped_months() -> list[Period]:
    """The months whose events retention has dropped."""
    months = DroppedMonth.objects.values_list("month", flat=True)
    return [Period(month, boundary(month, "month", 1, 1)) for month in months]


def is_kept(period: Period, dropped: Iterable[Period]) -> bool:
    """Whether none of a period's events was dropped."""
    return not any(_overlap(period, month) for month in dropped)


def make_true_up_lines(
    true_ups: Iterable[TrueUp], answers: Answers, *, others: Sequence[InvoiceLine], read_at: datetime
) -> list[InvoiceLine]:
    """A line for each period that was used more or less than was billed; none where nothing is different.

    An invoice is never negative. What is given back is at most what its other lines take, the oldest period first; the
    rest stays due, because the next true-up is again computed against what was billed.

    :param others: the invoice's other lines; those made here come after them
    :raises AmountTooLarge: if a period's cost is beyond what an invoice can hold
    """
    made = []
    for true_up in sorted(true_ups, key=lambda one: (one.line.period_start, one.line.pk)):
        line = _true_up_line(true_up, answers, read_at)
        if line is not None:
            made.append(line)
    room = max(sum(line.amount for line in others) + sum(line.amount for line in made if line.amount > 0), 0)
    fitting = []
    for line in made:
        if line.amount < 0:
            given_back = max(line.amount, -room)
            if given_back == 0:
                continue
            if given_back != line.amount:
                line.basis["left_over"] = str(line.amount - given_back)
            line.amount = given_back
            room += given_back
        fitting.append(line)
    for position, line in enumerate(fitting, start=len(others)):
        line.position = position
    return fitting


def _true_up_line(true_up: TrueUp, answers: Answers, read_at: datetime) -> InvoiceLine | None:
    charge, original = true_up.charge, true_up.line
    if charge.question is None:
        return None
    usage = answers[charge.question]
    rating = rated_usage(charge.price, usage)
    quantity = EXACT.subtract(rating.quantity, true_up.billed_quantity)
    # Not the rounded difference: whatever was rounded before, all lines of the period add up to its cost, rounded once.
    amount = whole_amount(rating.amount) - true_up.billed_amount
    if quantity == 0 and amount == 0:
        return None
    basis = usage_basis(charge, usage, rating, read_at) | {
        "amount": plain(rating.amount),
        "billed_quantity": plain(true_up.billed_quantity),
        "billed_amount": str(true_up.billed_amount),
        "trues_up": str(original.pk),
    }
    return InvoiceLine(
        environment_id=original.environment_id,
        position=0,
        subscription_item=charge.item,
        price=charge.price,
        trues_up=original,
        description=_describe(charge.price, quantity, charge.period),
        quantity=quantity,
        unit_amount=charge.price.unit_amount,
        exact_amount=EXACT.subtract(rating.amount, Decimal(true_up.billed_amount)),
        amount=amount,
        period_start=charge.period.start,
        period_end=charge.period.end,
        basis=basis,
    )


def _describe(price: Price, quantity: Decimal, period: Period) -> str:
    """Tell the payer what this is: "Calls: late usage of 10 Jun 2026 - 10 Jul 2026: 20 (times) 0.005 USD per call"."""
    start, end = (instant.astimezone(UTC) for instant in (period.start, period.end))
    span = f"{start.day} {start:%b %Y} \N{EN DASH} {end.day} {end:%b %Y}"
    if quantity == 0:
        return described(price, f"rest of the correction for {span}")
    what = "late usage" if quantity > 0 else "correction"
    return described(price, f"{what} of {span}: {units_at_price(price, quantity)}")


def _by_policy(environment_id: UUID) -> InvoiceLineQuerySet:
    lines = InvoiceLine.objects.filter(environment_id=environment_id, price__meter__late_policy=LatePolicy.BILL_NEXT)
    return lines.billed_usage().with_true_ups()


def _with_all(lines: InvoiceLineQuerySet) -> InvoiceLineQuerySet:
    return lines.select_related("subscription_item").prefetch_related(*PRICES)


def _overlap(one: Period, other: Period) -> bool:
    return one.start < other.end and other.start < one.end
