"""What a subscription is given when it begins, beside its prices: discounts, and taxes that are asked for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from accounts.clocks import hold_clock
from core.errors import NotFound
from invoices.drafting import first_charges, make_lines
from invoices.services.agreeing import is_first_purchase
from invoices.services.closing import subscriptions_with_items
from subscriptions.errors import SubscriptionEnded
from subscriptions.models import Subscription, SubscriptionItem, TaxRate
from subscriptions.services import NewDiscount, NewItem, Purchase, set_discounts, set_tax_rates, told


@dataclass(frozen=True, slots=True)
class TermsOfItem:
    """What an item of a subscription is given from now on; what is None is left as it is."""

    item: SubscriptionItem
    discounts: Sequence[NewDiscount] | None = None
    tax_rates: Sequence[TaxRate] | None = None


def give_terms(
    subscription: Subscription,
    *,
    items: Sequence[NewItem],
    discounts: Sequence[NewDiscount],
    tax_rates: Sequence[TaxRate],
    now: datetime,
) -> None:
    """Redeem what a new subscription and its items come with, and note the taxes. The caller made it in this transaction.

    A promotion code's minimum is held against what licensed items cost for the first period, before discounts.

    :param items: what the subscription was made from, in order
    :raises BillingError: whatever :func:`set_discounts` and :func:`set_tax_rates` refuse
    """
    made = list(subscription.items.all())
    if discounts or any(item.discounts for item in items):
        purchase = purchase_of(subscription, now)
        customer = subscription.customer
        set_discounts(customer=customer, subscription=subscription, given=discounts, now=now, purchase=purchase)
        for item, given in zip(made, items, strict=True):
            if given.discounts:
                set_discounts(customer=customer, item=item, given=given.discounts, now=now, purchase=purchase)
    if tax_rates:
        set_tax_rates(subscription=subscription, tax_rates=tax_rates)
    for item, given in zip(made, items, strict=True):
        if given.tax_rates:
            set_tax_rates(item=item, tax_rates=given.tax_rates)


@transaction.atomic
def change_terms(
    *,
    subscription: Subscription,
    now: datetime,
    discounts: Sequence[NewDiscount] | None = None,
    tax_rates: Sequence[TaxRate] | None = None,
    items: Sequence[TermsOfItem] = (),
) -> None:
    """Give a subscription or its items other discounts or tax rates, from its next invoice on. What is not given is left.

    :param now: the customer's time
    :raises NotFound: if an item is not the subscription's, or was removed
    :raises accounts.errors.ClockAdvancing: if its customer's test clock is on the move
    :raises SubscriptionEnded: if it is over
    :raises BillingError: whatever :func:`set_discounts` and :func:`set_tax_rates` refuse
    """
    hold_clock(subscription.customer, now=now)
    locked = subscriptions_with_items().select_for_update(of=("self",), no_key=True).get(pk=subscription.pk)
    if locked.is_over:
        raise SubscriptionEnded(locked.pk)
    with told([locked], now=now):
        customer, purchase = locked.customer, purchase_of(locked, now)
        if discounts is not None:
            set_discounts(customer=customer, subscription=locked, given=discounts, now=now, purchase=purchase)
        if tax_rates is not None:
            set_tax_rates(subscription=locked, tax_rates=tax_rates)
        present = {item.pk: item for item in locked.items.all()}
        for terms in items:
            item = present.get(terms.item.pk)
            if item is None:
                raise NotFound("subscription item", str(terms.item.pk))
            if terms.discounts is not None:
                set_discounts(customer=customer, item=item, given=terms.discounts, now=now, purchase=purchase)
            if terms.tax_rates is not None:
                set_tax_rates(item=item, tax_rates=terms.tax_rates)


def purchase_of(subscription: Subscription, now: datetime) -> Purchase:
    """What a promotion code is held against: what the licensed items cost that a subscription has."""
    # Licensed items alone: they ask for no usage.
    lines = make_lines(first_charges(subscription), {}, read_at=now)
    return Purchase(
        currency=subscription.currency,
        amount=sum(line.amount for line in lines),
        is_first=is_first_purchase(subscription.customer_id),
    )
