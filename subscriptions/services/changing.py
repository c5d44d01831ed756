"""Items of a subscription are added, changed and removed. What is owed for it is not known here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from core.bulk import update_rows
from core.errors import NotFound
from core.metadata import MetadataChange
from core.periods import Period
from subscriptions.errors import CurrencyMismatch, ItemRepeated, PriceMissing
from subscriptions.models import ItemTerm, Price, Subscription, SubscriptionItem
from subscriptions.services.items import check_price, check_quantity, check_together


@dataclass(frozen=True, slots=True)
class ItemChange:
    """What is to become of one item of a subscription.

    :ivar item: the item; None adds one, which takes a price
    :ivar price: the price that it is to have, if another
    :ivar quantity: units of a licensed price; if not given it stays, and what had none has 1
    :ivar is_removed: the item goes, whatever else is given
    :ivar is_agreed: as of :class:`subscriptions.services.NewItem`
    """

    item: SubscriptionItem | None = None
    price: Price | None = None
    quantity: int | None = None
    metadata: MetadataChange | None = None
    is_removed: bool = False
    is_agreed: bool = False


def change_items(
    *, subscription: Subscription, changes: Sequence[ItemChange], at: datetime, now: datetime
) -> list[SubscriptionItem]:
    """Add, change and remove items as of an instant, and keep what they were.

    The caller holds the subscription's lock and has it with its items (those present) and their prices loaded, and
    reads them again afterwards. All is checked before anything is written.

    :param at: of :func:`change_instant`, within the current period
    :param now: the customer's time
    :returns: the items that were added or removed, or have another price or quantity by now, in the changes' order
    :raises NotFound: if an item is not the subscription's, or was removed, or a price is not the environment's
    :raises ItemsMissing: if none would be left
    :raises TooManyItems: :raises ItemRefused: with one of its subclasses for what is wrong
    :raises TooManyMetadataKeys: if some metadata would have more than 50 keys
    """
    present = {item.pk: item for item in subscription.items.all()}
    period = next(iter(present.values())).current_period
    outcomes = _outcomes(subscription, present, changes)
    moved: list[SubscriptionItem] = []
    added: list[SubscriptionItem] = []
    terms: list[ItemTerm] = []
    for change, price in zip(changes, outcomes, strict=True):
        if change.item is None:
            added.append(_new_item(subscription, change, price, period, at, now))
            moved.append(added[-1])
            continue
        item = present[change.item.pk]
        if change.metadata is not None:
            item.metadata = change.metadata.applied_to(item.metadata)
        quantity = _quantity(price, change.quantity, item.quantity)
        if not change.is_removed and (price.pk, quantity) == (item.price_id, item.quantity):
            continue
        # What lasted no second was never there.
        if item.effective_at < at:
            terms.append(_term(item, at))
        if change.is_removed:
            item.removed_at = at
        else:
            item.price, item.quantity, item.effective_at = price, quantity, at
        moved.append(item)
    ItemTerm.objects.bulk_create(terms)
    # Two items may take each other's price, or one a price that another leaves: whatever moves first steps aside, so
    # that the order in which rows are updated does not matter.
    SubscriptionItem.objects.filter(pk__in=[item.pk for item in moved]).update(removed_at=at)
    update_rows(list(present.values()), ["price", "quantity", "effective_at", "metadata", "removed_at"])
    SubscriptionItem.objects.bulk_create(added)
    return moved


def change_instant(subscription: Subscription, now: datetime) -> datetime:
    """The instant as of which a subscription is changed: the second that ``now`` lies in, as for everything that a caller can say.

    Whoever came first may have read the clock last. Its change, or the renewal that it made, is not undone by that.
    """
    items = subscription.items.all()
    return max([now.replace(microsecond=0), items[0].current_period_start, *(item.effective_at for item in items)])


def _outcomes(
    subscription: Subscription, present: Mapping[UUID, SubscriptionItem], changes: Sequence[ItemChange]
) -> list[Price]:
    """The price that each change leaves its item with, once all of them have been checked."""
    positions: dict[UUID, int] = {}
    outcomes: list[Price] = []
    for position, change in enumerate(changes):
        if change.item is not None:
            if change.item.pk not in present:
                raise NotFound("subscription item", str(change.item.pk))
            if positions.setdefault(change.item.pk, position) != position:
                raise ItemRepeated(position)
        price = change.price or (present[change.item.pk].price if change.item else None)
        if price is None:
            raise PriceMissing(position)
        outcomes.append(price)
        if change.is_removed:
            continue
        # A price that the item has already may have become inactive meanwhile: it can stay.
        if change.item is None or price.pk != present[change.item.pk].price_id:
            check_price(position, price, subscription.environment_id, is_agreed=change.is_agreed)
        if price.currency != subscription.currency:
            raise CurrencyMismatch(position, subscription.currency)
        check_quantity(position, price, change.quantity)
    # Those that are left alone come first: what does not go with them is the change.
    untouched = [(0, item.price) for item in present.values() if item.pk not in positions]
    changed = [
        (position, price)
        for position, (change, price) in enumerate(zip(changes, outcomes, strict=True))
        if not change.is_removed
    ]
    check_together([*untouched, *changed])
    return outcomes


def _quantity(price: Price, given: int | None, present: int | None) -> int | None:
    if price.is_metered:
        return None
    return next((quantity for quantity in (given, present) if quantity is not None), 1)


def _new_item(
    subscription: Subscription, change: ItemChange, price: Price, period: Period, second: datetime, now: datetime
) -> SubscriptionItem:
    return SubscriptionItem(
        environment_id=subscription.environment_id,
        subscription=subscription,
        price=price,
        quantity=_quantity(price, change.quantity, None),
        effective_at=second,
        current_period_start=period.start,
        current_period_end=period.end,
        metadata=(change.metadata or MetadataChange()).applied_to({}),
        # After those that were there, whatever the second.
        created_at=now,
    )


def _term(item: SubscriptionItem, second: datetime) -> ItemTerm:
    """What an item was until now. It follows upon the term before it, unless it was the item's first."""
    latest = item.terms.order_by("-ends_at").values_list("ends_at", flat=True).first()
    return ItemTerm(
        environment_id=item.environment_id,
        subscription_id=item.subscription_id,
        item=item,
        price_id=item.price_id,
        quantity=item.quantity,
        starts_at=item.effective_at,
        ends_at=second,
        follows_at=latest,
    )
