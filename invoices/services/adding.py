"""What is billed once beside what recurs: one-time prices that a subscription's next invoice takes."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from core.metadata import MetadataChange
from invoices.items import Cost
from invoices.models import InvoiceItem
from invoices.services.agreeing import give_item_terms, redeem_what_can_be_had
from subscriptions.models import Subscription
from subscriptions.services import AddedItem, NewDiscount, check_added_items, current_period
from webhooks.kinds import Kind
from webhooks.services import record


def add_items(subscription: Subscription, added: Sequence[AddedItem], *, now: datetime) -> list[InvoiceItem]:
    """Have a subscription's next invoice charge one-time prices. The caller holds its lock.

    They are for the period that it is in.

    :param now: the customer's time
    :raises NotFound: if a price is not the environment's
    :raises TooManyAddedItems: :raises AddedItemRefused: what they say
    :raises AmountTooLarge: if an amount is beyond what an invoice can hold
    :raises TooManyMetadataKeys: if some metadata has more than 50 keys
    :raises BillingError: whatever :func:`give_item_terms` refuses
    """
    check_added_items(added, subscription.environment_id, subscription.currency)
    made = [_make(subscription, one, now) for one in added]
    InvoiceItem.objects.bulk_create(made)
    for item, one in zip(made, added, strict=True):
        _give_terms(item, one, now)
    record(Kind.INVOICE_ITEM_CREATED, rows=made, now=now)
    return made


def _give_terms(item: InvoiceItem, added: AddedItem, now: datetime) -> None:
    def redeem(given: Sequence[NewDiscount]) -> None:
        give_item_terms(item, discounts=given, now=now)

    if added.tax_rates:
        give_item_terms(item, tax_rates=added.tax_rates, now=now, is_agreed=added.is_agreed)
    if added.discounts and added.is_agreed:
        redeem_what_can_be_had(added.discounts, redeem)
    elif added.discounts:
        redeem(added.discounts)


def _make(subscription: Subscription, added: AddedItem, now: datetime) -> InvoiceItem:
    period = current_period(subscription)
    item = InvoiceItem(
        environment_id=subscription.environment_id,
        customer=subscription.customer,
        subscription=subscription,
        price=added.price,
        currency=subscription.currency,
        is_discountable=added.is_discountable,
        metadata=(added.metadata or MetadataChange()).applied_to({}),
        period_start=period.start,
        period_end=period.end,
        created_at=now,
    )
    cost = Cost.of_price(added.price, Decimal(added.quantity))
    cost.write_to(item)
    item.description = cost.words
    return item
