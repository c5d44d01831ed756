"""Coupons are redeemed: discounts of customers, subscriptions and their items."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction

from accounts.errors import CustomerDeleted
from accounts.models import Customer
from core.errors import NotFound
from core.periods import boundary
from subscriptions.errors import (
    CouponCurrencyMismatch,
    CouponInvalid,
    CustomerHasOneDiscount,
    DiscountForeign,
    MinimumAmountNotReached,
    PromotionCodeInvalid,
    PromotionCodeNotFirst,
    PromotionCodeNotYours,
    TooManyDiscounts,
)
from subscriptions.models import Coupon, Discount, PromotionCode, Subscription, SubscriptionItem
from webhooks.kinds import Kind
from webhooks.services import record, take_snapshots

MAX_DISCOUNTS = 20


@dataclass(frozen=True, slots=True)
class NewDiscount:
    """What is redeemed into a discount, or a discount that is there already and stays; exactly one of them."""

    coupon: Coupon | None = None
    promotion_code: PromotionCode | None = None
    discount: Discount | None = None


@dataclass(frozen=True, slots=True)
class Purchase:
    """What promotion codes ask about.

    :ivar amount: minor units that are bought; None where nothing is, and no minimum can be reached
    :ivar is_first: whether the customer was never billed before
    """

    currency: str
    amount: int | None = None
    is_first: bool = False


@transaction.atomic
def set_discounts(
    *,
    customer: Customer,
    given: Sequence[NewDiscount],
    now: datetime,
    subscription: Subscription | None = None,
    item: SubscriptionItem | None = None,
    purchase: Purchase | None = None,
) -> list[Discount]:
    """Give a customer, a subscription or an item these discounts, in this order, instead of those it has.

    The caller holds the lock of what they are given to.

    :param subscription: at most one of it and ``item``; none: all that the customer is billed
    :returns: the discounts that are in place now
    :raises NotFound: if a coupon is not the environment's
    :raises CouponInvalid: :raises PromotionCodeInvalid: if something cannot be redeemed any more
    :raises PromotionCodeNotYours: :raises PromotionCodeNotFirst: :raises MinimumAmountNotReached: what they say
    :raises CouponCurrencyMismatch: if an amount off is in another currency than the purchase
    :raises DiscountForeign: if a discount that is to stay is not there
    :raises TooManyDiscounts: :raises CustomerHasOneDiscount: what they say
    """
    if len(given) > 1 and subscription is None and item is None:
        raise CustomerHasOneDiscount
    owned = Discount.objects.in_place().filter(
        customer=customer, subscription=subscription, subscription_item=item, bound_to=""
    )
    present = {discount.pk: discount for discount in owned}
    kept = _kept(given, present)
    _remove([discount for pk, discount in present.items() if pk not in kept], now)
    discounts = []
    for position, discount in enumerate(_redeemed(given, present, customer, now, purchase)):
        if discount.pk in kept:
            if discount.position != position:
                discount.position = position
                discount.save(update_fields=["position"])
        else:
            discount.subscription, discount.subscription_item, discount.position = subscription, item, position
            discount.save(force_insert=True)
            record(Kind.DISCOUNT_CREATED, rows=[discount], now=now)
        discounts.append(discount)
    return discounts


@transaction.atomic
def bind_discounts(
    *,
    customer: Customer,
    given: Sequence[NewDiscount],
    present: Iterable[Discount],
    bound_to: Discount.Bound,
    now: datetime,
    purchase: Purchase,
) -> list[Discount]:
    """Redeem for one invoice, or one item of it, and for no other: what that has of discounts instead of ``present``.

    The caller holds its lock, and writes down there whose they are.

    :param present: what it has, of which some may stay; what is bound and does not is taken away
    :returns: what it has now, in this order
    :raises BillingError: whatever :func:`set_discounts` refuses
    """
    by_id = {discount.pk: discount for discount in present}
    kept = _kept(given, by_id)
    gone = [discount.pk for discount in by_id.values() if discount.bound_to and discount.pk not in kept]
    if gone:
        Discount.objects.filter(pk__in=gone).update(removed_at=now)
    discounts = []
    for position, discount in enumerate(_redeemed(given, by_id, customer, now, purchase)):
        if discount.pk not in kept:
            discount.bound_to, discount.position = bound_to, position
            discount.save(force_insert=True)
        discounts.append(discount)
    return discounts


@transaction.atomic
def set_customer_discount(*, customer: Customer, given: NewDiscount | None, now: datetime) -> Discount | None:
    """Give a customer a discount off all that they are billed, or none, instead of the one they have.

    Nothing is bought by that: promotion codes that ask what is are refused.

    :raises CustomerDeleted: if the customer was deleted
    :raises BillingError: whatever :func:`set_discounts` refuses
    """
    locked = Customer.objects.select_for_update(no_key=True).get(pk=customer.pk)
    if locked.deleted_at is not None:
        raise CustomerDeleted(customer.pk)
    before = take_snapshots([locked])
    discounts = set_discounts(customer=locked, given=[] if given is None else [given], now=now)
    record(Kind.CUSTOMER_UPDATED, rows=[locked], now=now, before=before)
    return discounts[0] if discounts else None


def _kept(given: Sequence[NewDiscount], present: Mapping[UUID, Discount]) -> set[UUID]:
    """The ids of those that stay, once it is known that they can."""
    if len(given) > MAX_DISCOUNTS:
        raise TooManyDiscounts(MAX_DISCOUNTS)
    named = [new.discount.pk for new in given if new.discount is not None]
    kept = set(named)
    if not kept <= present.keys() or len(kept) < len(named):
        raise DiscountForeign
    return kept


def _redeemed(
    given: Sequence[NewDiscount],
    present: Mapping[UUID, Discount],
    customer: Customer,
    now: datetime,
    purchase: Purchase | None,
) -> Iterator[Discount]:
    """Those that stay, and new ones that are not stored yet, in their order."""
    # Codes before coupons, each in order of id, so that two redemptions never wait for one another.
    codes = _locked_codes(given)
    coupons = _locked_coupons(given, codes.values())
    for new in given:
        if new.discount is not None:
            yield present[new.discount.pk]
            continue
        code = None if new.promotion_code is None else codes[new.promotion_code.pk]
        coupon = coupons[code.coupon_id if code is not None else new.coupon.pk]  # type: ignore[union-attr]
        yield _redeem(coupon, code, customer, now, purchase)


def _redeem(
    coupon: Coupon, code: PromotionCode | None, customer: Customer, now: datetime, purchase: Purchase | None
) -> Discount:
    """Redeem once. Both rows are locked, so that the last redemption is had by one."""
    if coupon.environment_id != customer.environment_id:
        raise NotFound("coupon", str(coupon.pk))
    if code is not None:
        _check_code(code, coupon, customer, now, purchase)
    if not coupon.is_valid(now):
        raise CouponInvalid(coupon.pk)
    if coupon.currency and purchase is not None and coupon.currency != purchase.currency:
        raise CouponCurrencyMismatch(coupon.currency)
    for redeemed in (code, coupon):
        if redeemed is not None:
            redeemed.times_redeemed += 1
            redeemed.save(update_fields=["times_redeemed"])
    start_at = now.replace(microsecond=0)
    months = coupon.duration_in_months
    return Discount(
        environment_id=customer.environment_id,
        coupon=coupon,
        promotion_code=code,
        customer=customer,
        start_at=start_at,
        end_at=None if months is None else boundary(start_at, "month", months, 1),
    )


def _check_code(
    code: PromotionCode, coupon: Coupon, customer: Customer, now: datetime, purchase: Purchase | None
) -> None:
    code.coupon = coupon
    if not code.is_valid(now):
        raise PromotionCodeInvalid(code.code)
    if code.customer_id not in {None, customer.pk}:
        raise PromotionCodeNotYours(code.code)
    if code.first_time_transaction and (purchase is None or not purchase.is_first):
        raise PromotionCodeNotFirst(code.code)
    if code.minimum_amount is not None:
        is_comparable = purchase is not None and purchase.currency == code.minimum_amount_currency
        bought = purchase.amount if purchase is not None and is_comparable else None
        if bought is None or bought < code.minimum_amount:
            raise MinimumAmountNotReached(code.code)


def _locked_codes(given: Sequence[NewDiscount]) -> dict[UUID, PromotionCode]:
    pks = {new.promotion_code.pk for new in given if new.promotion_code is not None}
    locked = PromotionCode.objects.select_for_update(no_key=True).filter(pk__in=pks).order_by("pk")
    return {code.pk: code for code in locked} if pks else {}


def _locked_coupons(given: Sequence[NewDiscount], codes: Iterable[PromotionCode]) -> dict[UUID, Coupon]:
    pks = {new.coupon.pk for new in given if new.coupon is not None} | {code.coupon_id for code in codes}
    locked = Coupon.objects.select_for_update(no_key=True).filter(pk__in=pks).order_by("pk")
    return {coupon.pk: coupon for coupon in locked} if pks else {}


def _remove(discounts: Sequence[Discount], now: datetime) -> None:
    for discount in discounts:
        record(Kind.DISCOUNT_DELETED, rows=[discount], now=now)
        discount.removed_at = now
        discount.save(update_fields=["removed_at"])
