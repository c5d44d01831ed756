"""Coupons, and the codes that customers redeem them by."""

import secrets
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from django.db import transaction

from accounts.models import Customer, Environment
from core.db import refusing
from core.errors import NotFound
from core.metadata import MetadataChange
from core.money import CURRENCIES
from subscriptions.errors import (
    CouponCurrencyNotAllowed,
    CouponDurationInvalid,
    CouponIdTaken,
    CouponInvalid,
    CouponReductionInvalid,
    CurrencyUnknown,
    MinimumNeedsCurrency,
    PromotionCodeInvalid,
    PromotionCodeTaken,
    PromotionOutlivesCoupon,
    RedeemByInvalid,
)
from subscriptions.models import Coupon, CouponProduct, Product, PromotionCode
from webhooks.kinds import Kind
from webhooks.services import record, take_snapshots

MAX_PRODUCTS = 100
_PERCENT_PLACES = 4
_LARGEST_AMOUNT = 2**63 - 1
# Without those that are taken for one another when read aloud or off paper.
_CODE_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_CODE_LENGTH = 10


@transaction.atomic
def create_coupon(
    *,
    environment: Environment,
    now: datetime,
    slug: str = "",
    name: str = "",
    percent_off: Decimal | None = None,
    amount_off: int | None = None,
    currency: str = "",
    duration: str = Coupon.Duration.ONCE,
    duration_in_months: int | None = None,
    max_redemptions: int | None = None,
    redeem_by: datetime | None = None,
    applies_to: Sequence[Product] = (),
    metadata: MetadataChange | None = None,
) -> Coupon:
    """Make a coupon.

    :param slug: an id of the caller's own choosing; empty for none
    :param percent_off: above 0, at most 100, with at most 4 decimal places; or ``amount_off`` in minor units of ``currency``
    :param duration_in_months: exactly if it is repeating
    :param applies_to: the products whose lines it takes something off; none: all lines
    :raises CouponReductionInvalid: :raises CouponCurrencyNotAllowed: :raises CurrencyUnknown: what they say
    :raises CouponDurationInvalid: :raises RedeemByInvalid: what they say
    :raises CouponIdTaken: if another coupon of the environment has that ``slug``
    :raises TooManyMetadataKeys: if the metadata has more than 50 keys
    """
    _check_reduction(percent_off, amount_off)
    if amount_off is None and currency:
        raise CouponCurrencyNotAllowed
    if amount_off is not None and currency not in CURRENCIES:
        raise CurrencyUnknown(currency)
    if (Coupon.Duration(duration) == Coupon.Duration.REPEATING) != (duration_in_months is not None):
        raise CouponDurationInvalid
    if redeem_by is not None and redeem_by <= now:
        raise RedeemByInvalid
    for product in applies_to:
        if product.environment_id != environment.pk:
            raise NotFound("product", str(product.pk))
    coupon = Coupon(
        environment=environment,
        slug=slug,
        name=name,
        percent_off=percent_off,
        amount_off=amount_off,
        currency=currency,
        duration=duration,
        duration_in_months=duration_in_months,
        max_redemptions=max_redemptions,
        redeem_by=redeem_by,
        metadata=(metadata or MetadataChange()).applied_to({}),
        created_at=now,
    )
    with refusing({"coupon_one_per_slug": CouponIdTaken(slug)}):
        coupon.save(force_insert=True)
    CouponProduct.objects.bulk_create(
        CouponProduct(environment=environment, coupon=coupon, product=product)
        for product in {product.pk: product for product in applies_to}.values()
    )
    record(Kind.COUPON_CREATED, rows=[coupon], now=now)
    return coupon


@transaction.atomic
def update_coupon(
    *, coupon: Coupon, now: datetime, name: str | None = None, metadata: MetadataChange | None = None
) -> Coupon:
    """Change a coupon's labels. What it takes off stays: discounts that were given keep their promise.

    :raises NotFound: if it was deleted meanwhile
    :raises TooManyMetadataKeys: if the metadata would have more than 50 keys
    """
    coupon = locked_coupon(coupon)
    before = take_snapshots([coupon])
    if name is not None:
        coupon.name = name
    if metadata is not None:
        coupon.metadata = metadata.applied_to(coupon.metadata)
    coupon.save(update_fields=["name", "metadata"])
    record(Kind.COUPON_UPDATED, rows=[coupon], now=now, before=before)
    return coupon


@transaction.atomic
def delete_coupon(*, coupon: Coupon, now: datetime) -> None:
    """Let nobody redeem a coupon any more. Discounts that were given stay.

    :raises NotFound: if that was done before
    """
    coupon = locked_coupon(coupon)
    record(Kind.COUPON_DELETED, rows=[coupon], now=now)
    coupon.deleted_at = now
    coupon.save(update_fields=["deleted_at"])


@transaction.atomic
def create_promotion_code(
    *,
    environment: Environment,
    coupon: Coupon,
    now: datetime,
    code: str = "",
    customer: Customer | None = None,
    active: bool = True,
    max_redemptions: int | None = None,
    expires_at: datetime | None = None,
    first_time_transaction: bool = False,
    minimum_amount: int | None = None,
    minimum_amount_currency: str = "",
    metadata: MetadataChange | None = None,
) -> PromotionCode:
    """Make a code for a coupon.

    :param code: what customers say, whatever its case; empty: one is made up
    :param customer: who alone may redeem it
    :param minimum_amount: minor units of ``minimum_amount_currency`` that must be bought at least
    :raises NotFound: if coupon or customer are not the environment's, or the coupon was deleted
    :raises CouponInvalid: if the coupon cannot be redeemed any more
    :raises PromotionOutlivesCoupon: if it could be redeemed longer or more often than its coupon
    :raises PromotionCodeInvalid: if it expires in the past
    :raises MinimumNeedsCurrency: :raises CurrencyUnknown: what they say
    :raises PromotionCodeTaken: if an active code of the same letters is for the same customer, or for all
    :raises TooManyMetadataKeys: if the metadata has more than 50 keys
    """
    for noun, row in (("coupon", coupon), ("customer", customer)):
        if row is not None and row.environment_id != environment.pk:
            raise NotFound(noun, str(row.pk))
    coupon = locked_coupon(coupon)
    if not coupon.is_valid(now):
        raise CouponInvalid(coupon.pk)
    _check_within_coupon(coupon, max_redemptions, expires_at)
    if expires_at is not None and expires_at <= now:
        raise PromotionCodeInvalid(code)
    if (minimum_amount is None) != (not minimum_amount_currency):
        raise MinimumNeedsCurrency
    if minimum_amount_currency and minimum_amount_currency not in CURRENCIES:
        raise CurrencyUnknown(minimum_amount_currency)
    promotion_code = PromotionCode(
        environment=environment,
        coupon=coupon,
        code=code or "".join(secrets.choice(_CODE_ALPHABET) for _ in range(_CODE_LENGTH)),
        customer=customer,
        active=active,
        max_redemptions=max_redemptions,
        expires_at=expires_at,
        first_time_transaction=first_time_transaction,
        minimum_amount=minimum_amount,
        minimum_amount_currency=minimum_amount_currency,
        metadata=(metadata or MetadataChange()).applied_to({}),
        created_at=now,
    )
    _save_single(promotion_code, force_insert=True)
    record(Kind.PROMOTION_CODE_CREATED, rows=[promotion_code], now=now)
    return promotion_code


@transaction.atomic
def update_promotion_code(
    *,
    promotion_code: PromotionCode,
    now: datetime,
    active: bool | None = None,
    metadata: MetadataChange | None = None,
) -> PromotionCode:
    """Close a code, open it again, or change its metadata.

    :raises PromotionCodeTaken: if it is to be opened and another active one has its letters
    :raises TooManyMetadataKeys: if the metadata would have more than 50 keys
    """
    locked = PromotionCode.objects.select_for_update(no_key=True, of=("self",)).select_related("coupon")
    promotion_code = locked.get(pk=promotion_code.pk)
    before = take_snapshots([promotion_code])
    if active is not None:
        promotion_code.active = active
    if metadata is not None:
        promotion_code.metadata = metadata.applied_to(promotion_code.metadata)
    _save_single(promotion_code, update_fields=["active", "metadata"])
    record(Kind.PROMOTION_CODE_UPDATED, rows=[promotion_code], now=now, before=before)
    return promotion_code


def locked_coupon(coupon: Coupon) -> Coupon:
    """The coupon as it is now, held against redemptions.

    :raises NotFound: if it was deleted
    """
    found = Coupon.objects.select_for_update(no_key=True).present().filter(pk=coupon.pk).first()
    if found is None:
        raise NotFound("coupon", str(coupon.pk))
    return found


def _check_reduction(percent_off: Decimal | None, amount_off: int | None) -> None:
    if (percent_off is None) == (amount_off is None):
        raise CouponReductionInvalid
    if amount_off is not None and not 0 < amount_off <= _LARGEST_AMOUNT:
        raise CouponReductionInvalid
    if percent_off is not None:
        places = -int(percent_off.normalize().as_tuple().exponent)
        if not 0 < percent_off <= 100 or places > _PERCENT_PLACES:  # noqa: PLR2004 (percent)
            raise CouponReductionInvalid


def _check_within_coupon(coupon: Coupon, max_redemptions: int | None, expires_at: datetime | None) -> None:
    if None not in {max_redemptions, coupon.max_redemptions} and max_redemptions > coupon.max_redemptions:  # type: ignore[operator]
        raise PromotionOutlivesCoupon("max_redemptions")
    if expires_at is not None and coupon.redeem_by is not None and expires_at > coupon.redeem_by:
        raise PromotionOutlivesCoupon("expires_at")


def _save_single(promotion_code: PromotionCode, **how: bool | Sequence[str]) -> None:
    with refusing({"promotion_code_one_active_per_code": PromotionCodeTaken(promotion_code.code)}):
        promotion_code.save(**how)  # type: ignore[arg-type]
