"""What a change in mid-period gives back and charges, by the second. It reads what was charged and stores nothing.

A licensed item is paid in advance. When it is changed, what was charged for the time that is left is given back, and
what takes its place is charged for the same time. Each amount is a part of what a full period costs at the price and
the quantity that were charged, never a part of an earlier proration: so all of them together are what the item costs
over the time that it was what it was. Percentages off are within: what a line was billed with is what it gives back, and
what is charged is reduced by what runs at that moment, so that no invoice takes them off once more. An amount off belongs
to the invoice that it was taken off, and comes back with the part of the line that does.

Source: Stripe, "Flexible billing mode": credit prorations come from what was debited, not from what is changed now.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

from django.db.models import Min, Q

from core.money import EXACT, plain, share
from core.periods import Period
from invoices.drafting import whole_amount
from invoices.explaining import DESCRIPTION_LENGTH, price_basis
from invoices.models import Invoice, InvoiceItem, InvoiceLine
from invoices.reducing import read_terms
from subscriptions.models import Discount, Price, Subscription, SubscriptionItem
from subscriptions.pricing import rate
from subscriptions.services import current_period
from subscriptions.statuses import Status

_TIMES = "\N{MULTIPLICATION SIGN}"


@dataclass(frozen=True, slots=True)
class Debit:
    """Time of an item that was charged in advance, as far as it was not given back yet.

    :ivar source: the line or the proration that charged it
    :ivar paid: the part of the price that was asked for it, after discounts
    """

    item: SubscriptionItem
    price: Price
    quantity: Decimal
    period: Period
    source: InvoiceLine | InvoiceItem
    paid: Fraction

    def unused(self, at: datetime) -> Period | None:
        """What of it lies after an instant."""
        start = max(self.period.start, at)
        return Period(start, self.period.end) if start < self.period.end else None


def make_prorations(
    subscription: Subscription, items: Sequence[SubscriptionItem], *, at: datetime, now: datetime, charging: bool = True
) -> list[InvoiceItem]:
    """What changing items as of an instant gives back and, for those that are still there, charges.

    The caller holds the subscription's lock.

    :param items: as they are after the change
    :param at: within the current period
    :param charging: False if a new period begins at once, which is charged as a whole
    :returns: invoice items that are nowhere stored yet
    :raises AmountTooLarge: if an amount is beyond what an invoice can hold
    """
    # Nothing was charged for a trial, or is for a time in which nothing is billed.
    if subscription.status in {Status.TRIALING, Status.PAUSED}:
        return []
    debits = _standing_debits(subscription, items)
    discounts = read_terms(subscription.environment_id, [subscription], lock=False).discounts_of(subscription, at)
    made = []
    for item in items:
        for debit in debits[item.pk]:
            unused = debit.unused(at)
            if unused is not None:
                made.append(_credit(subscription, debit, unused, at, now))
        period = current_period(subscription)
        if charging and item.removed_at is None and not item.price.is_metered and at < period.end:
            part = _part_to_pay(discounts, item)
            made.append(_charge(subscription, item, Period(at, period.end), part, at, now))
    # Nothing was paid, or is to be paid: there is nothing to tell.
    return [proration for proration in made if proration.exact_amount != 0]


def _standing_debits(subscription: Subscription, items: Iterable[SubscriptionItem]) -> dict[UUID, list[Debit]]:
    """What was charged for the current period of items, by item, oldest first.

    What stands on a void invoice is owed by nobody, and so is given back to nobody.
    """
    period = current_period(subscription)
    by_id = {item.pk: item for item in items}
    mine = Q(environment=subscription.environment_id, subscription_item__in=by_id, period_start__gte=period.start)
    # A credit that was removed again stays given up: it is not made once more by the next change.
    credit = Q(credits__invoice__isnull=True) | ~Q(credits__invoice__status=Invoice.Status.VOID)
    lines = (
        InvoiceLine.objects.filter(mine, invoice_item__isnull=True, price__meter__isnull=True, exact_amount__gt=0)
        .exclude(invoice__status=Invoice.Status.VOID)
        .annotate(credited_from=Min("credits__period_start", filter=credit))
        .select_related("price__product")
        .prefetch_related("price__tiers", "discounts")
        .order_by("period_start", "pk")
    )
    prorations = (
        InvoiceItem.objects.present()
        .standing()
        .filter(mine, is_proration=True, exact_amount__gt=0)
        .annotate(credited_from=Min("credits__period_start", filter=credit))
        .select_related("price__product")
        .prefetch_related("price__tiers")
        .order_by("period_start", "pk")
    )
    found: dict[UUID, list[Debit]] = defaultdict(list)
    sources: list[Any] = [*lines, *prorations]
    for source in sources:
        end = source.credited_from or source.period_end
        if end > source.period_start:
            item = by_id[source.subscription_item_id]
            standing = Period(source.period_start, end)
            found[item.pk].append(Debit(item, source.price, source.quantity, standing, source, _paid_part(source)))
    return found


def _paid_part(source: InvoiceLine | InvoiceItem) -> Fraction:
    if isinstance(source, InvoiceItem):
        return Fraction(source.basis["after_discounts"])
    taken = sum(discount.amount for discount in source.discounts.all())
    return 1 - Fraction(taken, source.amount) if source.amount else Fraction(1)


def _part_to_pay(discounts: Iterable[Discount], item: SubscriptionItem) -> Fraction:
    """What percentages off leave of an item's price."""
    part = Fraction(1)
    for discount in discounts:
        products = {product.pk for product in discount.coupon.applies_to.all()}
        of_another = discount.subscription_item_id not in {None, item.pk}
        if discount.coupon.percent_off is None or of_another or (products and item.price.product_id not in products):
            continue
        part *= 1 - Fraction(discount.coupon.percent_off) / 100
    return part


def _credit(subscription: Subscription, debit: Debit, unused: Period, at: datetime, now: datetime) -> InvoiceItem:
    proration = _proration(subscription, debit.item, debit.price, debit.quantity, unused, debit.paid, now)
    proration.exact_amount = EXACT.minus(proration.exact_amount)
    proration.amount = -proration.amount
    proration.description = _describe("Unused", debit.price, debit.quantity, at)
    if isinstance(debit.source, InvoiceLine):
        proration.credits_line = debit.source
    else:
        proration.credits_item = debit.source
    return proration


def _charge(
    subscription: Subscription, item: SubscriptionItem, rest: Period, part: Fraction, at: datetime, now: datetime
) -> InvoiceItem:
    quantity = Decimal(item.quantity or 0)
    proration = _proration(subscription, item, item.price, quantity, rest, part, now)
    proration.description = _describe("Remaining", item.price, quantity, at)
    return proration


def _proration(
    subscription: Subscription,
    item: SubscriptionItem,
    price: Price,
    quantity: Decimal,
    span: Period,
    part: Fraction,
    now: datetime,
) -> InvoiceItem:
    rating = rate(price.terms, quantity)
    periods = subscription.full_periods(price, span)
    exact_amount = share(rating.amount, periods * part)
    return InvoiceItem(
        environment_id=subscription.environment_id,
        customer_id=subscription.customer_id,
        subscription=subscription,
        subscription_item=item,
        price=price,
        currency=subscription.currency,
        quantity=quantity,
        unit_amount=price.unit_amount,
        exact_amount=exact_amount,
        amount=whole_amount(exact_amount),
        is_discountable=False,
        is_proration=True,
        period_start=span.start,
        period_end=span.end,
        basis=price_basis(price, rating)
        | {"full_periods": str(periods), "full_amount": plain(rating.amount), "after_discounts": str(part)},
        created_at=now,
    )


def _describe(which: str, price: Price, quantity: Decimal, at: datetime) -> str:
    """As a payer reads it: "Unused time on 3 (times) Seats after 15 Jun 2026"."""
    day = at.astimezone(UTC)
    units = "" if quantity == 1 else f"{quantity:,f} {_TIMES} "
    return f"{which} time on {units}{price.product.name} after {day.day} {day:%b %Y}"[:DESCRIPTION_LENGTH]
