"""What may be put into a subscription: each item by itself, and all of them together."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from core.errors import NotFound
from core.metadata import MetadataChange
from subscriptions.errors import (
    AddedItemRefused,
    CurrencyMismatch,
    DaysUntilDueMissing,
    DaysUntilDueNotAllowed,
    IntervalMismatch,
    ItemsMissing,
    MeterRepeated,
    PriceInactive,
    PriceNotRecurring,
    PriceRepeated,
    QuantityInvalid,
    QuantityNotAllowed,
    TooManyAddedItems,
    TooManyItems,
)
from subscriptions.models import Price, Subscription, TaxRate
from subscriptions.services.discounts import NewDiscount

MAX_ITEMS = 20
_MAX_QUANTITY = 2**63 - 1


@dataclass(frozen=True, slots=True)
class NewItem:
    """A price to be put into a subscription.

    :ivar quantity: units of a licensed price, 1 if not given; a metered price takes none
    :ivar discounts: what is redeemed for this item alone
    :ivar tax_rates: what is asked for it, instead of what is asked for the subscription
    :ivar is_agreed: it was taken when its price could be had: it does not matter that it is closed by now
    """

    price: Price
    quantity: int | None = None
    metadata: MetadataChange | None = None
    discounts: Sequence[NewDiscount] = ()
    tax_rates: Sequence[TaxRate] = ()
    is_agreed: bool = False


@dataclass(frozen=True, slots=True)
class AddedItem:
    """A one-time price that is billed with a subscription's next invoice.

    :ivar discounts: what is redeemed for it alone
    :ivar tax_rates: what is asked for it, instead of what its invoice asks
    :ivar is_agreed: as of :class:`NewItem`
    """

    price: Price
    quantity: int = 1
    is_discountable: bool = True
    metadata: MetadataChange | None = None
    discounts: Sequence[NewDiscount] = ()
    tax_rates: Sequence[TaxRate] = ()
    is_agreed: bool = False


def check_new_items(items: Sequence[NewItem], environment_id: UUID) -> None:
    """
    :raises NotFound: if a price is not the environment's
    :raises ItemsMissing: :raises TooManyItems: :raises ItemRefused: with one of its subclasses for what is wrong
    """
    for position, item in enumerate(items):
        check_price(position, item.price, environment_id, is_agreed=item.is_agreed)
        check_quantity(position, item.price, item.quantity)
    check_together([(position, item.price) for position, item in enumerate(items)])


def check_added_items(items: Sequence[AddedItem], environment_id: UUID, currency: str) -> None:
    """
    :raises NotFound: if a price is not the environment's
    :raises TooManyAddedItems: :raises AddedItemRefused: what they say
    """
    if len(items) > MAX_ITEMS:
        raise TooManyAddedItems(MAX_ITEMS)
    for position, item in enumerate(items):
        if item.price.environment_id != environment_id:
            raise NotFound("price", str(item.price.pk))
        closed = not (item.price.active or item.is_agreed)
        if item.price.interval or closed or item.price.currency != currency:
            raise AddedItemRefused(position, currency)


def check_price(position: int, price: Price, environment_id: UUID, *, is_agreed: bool = False) -> None:
    """
    :param position: the item's place in the caller's list
    :param is_agreed: it may be closed by now
    :raises NotFound: if the price is not the environment's
    :raises PriceInactive: :raises PriceNotRecurring: what they say
    """
    if price.environment_id != environment_id:
        raise NotFound("price", str(price.pk))
    if not price.active and not is_agreed:
        raise PriceInactive(position)
    if not price.interval:
        raise PriceNotRecurring(position)


def check_quantity(position: int, price: Price, quantity: int | None) -> None:
    """
    :raises QuantityNotAllowed: :raises QuantityInvalid: what they say
    """
    if quantity is None:
        return
    if price.is_metered:
        raise QuantityNotAllowed(position)
    if not 0 <= quantity <= _MAX_QUANTITY:
        raise QuantityInvalid(position, quantity)


def check_together(prices: Iterable[tuple[int, Price]]) -> None:
    """Hold the prices of a subscription's items against each other, each with its place in the caller's list.

    :raises ItemsMissing: :raises TooManyItems: if there are none, or more than 20
    :raises CurrencyMismatch: :raises IntervalMismatch: :raises PriceRepeated: :raises MeterRepeated: what they say
    """
    prices = list(prices)
    if not prices:
        raise ItemsMissing
    if len(prices) > MAX_ITEMS:
        raise TooManyItems(MAX_ITEMS)
    first = prices[0][1]
    seen, meters = set(), set()
    for position, price in prices:
        if price.currency != first.currency:
            raise CurrencyMismatch(position, first.currency)
        if (price.interval, price.interval_count) != (first.interval, first.interval_count):
            raise IntervalMismatch(position)
        if price.pk in seen:
            raise PriceRepeated(position)
        if price.meter_id is not None and price.meter_id in meters:
            raise MeterRepeated(position)
        seen.add(price.pk)
        meters.add(price.meter_id)


def check_collection(collection_method: str, days_until_due: int | None) -> None:
    """
    :raises DaysUntilDueMissing: :raises DaysUntilDueNotAllowed: if they do not fit the collection method
    """
    sends = Subscription.CollectionMethod(collection_method) == Subscription.CollectionMethod.SEND_INVOICE
    if sends and days_until_due is None:
        raise DaysUntilDueMissing
    if not sends and days_until_due is not None:
        raise DaysUntilDueNotAllowed
