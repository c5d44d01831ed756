"""Prices: what a quantity of a product costs."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TypedDict, Unpack

from django.db import transaction

from accounts.models import Company, Environment, License
from accounts.services import require_license
from core.db import refusing
from core.errors import NotFound
from core.metadata import MetadataChange
from core.money import CURRENCIES
from meters.models import Meter, Status
from subscriptions.errors import (
    CurrencyUnknown,
    DefaultPriceInUse,
    IntervalInvalid,
    LookupKeyTaken,
    MeteredPriceNotRecurring,
    MeterInactive,
    MeterMissing,
    MeterNotAllowed,
    PackageInvalid,
    PackageNotAllowed,
    PlanNotRecurring,
    PriceIdTaken,
    TaxBehaviorFixed,
    TierInvalid,
    TiersMissing,
    TiersModeMissing,
    TooManyTiers,
    UnitAmountInvalid,
    UnitAmountMissing,
    UnitAmountNotAllowed,
)
from subscriptions.models import Interval, Price, PriceTier, Product, TaxBehavior, TiersMode, UsageType
from subscriptions.pricing import ZERO, PriceTerms, Rounding, Scheme, Tier
from subscriptions.services.products import locked_product
from webhooks.kinds import Kind
from webhooks.services import record, take_snapshots

# Three years, in each interval.
_MAX_INTERVAL_COUNT = {Interval.DAY: 1095, Interval.WEEK: 156, Interval.MONTH: 36, Interval.YEAR: 3}
_AMOUNT_PLACES = 12
_AMOUNT_LIMIT = Decimal(10) ** 18
_LARGEST_PACKAGE = 2**63 - 1
MAX_TIERS = 100


class PriceLabels(TypedDict, total=False):
    """What may change on a price. Its money never does: another amount is another price."""

    nickname: str
    active: bool


@dataclass(frozen=True, slots=True)
class NewTier:
    """A tier of a price to be made; at least one of its amounts is given.

    :ivar up_to: the last quantity that is still in it; None for "and above", which the last tier is
    """

    up_to: Decimal | None
    unit_amount: Decimal | None = None
    flat_amount: Decimal | None = None


@transaction.atomic
def create_price(
    *,
    environment: Environment,
    product: Product,
    currency: str,
    now: datetime,
    unit_amount: Decimal | None = None,
    tiers_mode: str = "",
    tiers: Sequence[NewTier] = (),
    divide_by: int | None = None,
    rounding: str = "",
    usage_type: str = UsageType.LICENSED,
    meter: Meter | None = None,
    interval: str = "",
    interval_count: int = 1,
    tax_behavior: str = TaxBehavior.UNSPECIFIED,
    is_plan: bool = False,
    slug: str = "",
    lookup_key: str = "",
    transfer_lookup_key: bool = False,
    metadata: MetadataChange | None = None,
    **labels: Unpack[PriceLabels],
) -> Price:
    """Give a product a price: so much per unit, per package of units, or by tiers.

    :param currency: three letters, lower case
    :param unit_amount: minor units of the currency per unit or package, with fraction: from 0 up, at most 12 decimal
        places; exactly if there are no tiers
    :param tiers_mode: a value of ``TiersMode``, with ``tiers``
    :param tiers: ascending; all but the last one end somewhere
    :param divide_by: units in a package; ``rounding`` (a value of ``Rounding``) says what becomes of a broken one
    :param usage_type: a value of ``UsageType``; metered needs ``meter`` and ``interval``
    :param interval: a value of ``Interval``; empty for a one-time price
    :param interval_count: intervals per period, at most three years in all
    :param is_plan: made, and so named, as a plan, which is recurring
    :param slug: an id of the caller's own choosing; empty for none
    :param transfer_lookup_key: take the lookup key from the price that has it
    :raises accounts.errors.LicenseRequired: for a metered price, if the company may not sell metered products and
        subscriptions
    :raises NotFound: if product or meter are not the environment's
    :raises CurrencyUnknown: :raises UnitAmountInvalid: :raises IntervalInvalid: what they say
    :raises UnitAmountMissing: :raises UnitAmountNotAllowed: without tiers, and with them
    :raises TiersMissing: :raises TiersModeMissing: :raises TierInvalid: :raises TooManyTiers: what they say
    :raises PackageInvalid: :raises PackageNotAllowed: what they say
    :raises MeterMissing: :raises MeterInactive: :raises MeteredPriceNotRecurring: for a metered price
    :raises MeterNotAllowed: for a licensed price with a meter
    :raises PlanNotRecurring: for a one-time plan
    :raises PriceIdTaken: if another price of the environment has that ``slug``
    :raises LookupKeyTaken: if another price of the environment has the lookup key
    :raises TooManyMetadataKeys: if the metadata has more than 50 keys
    """
    if currency not in CURRENCIES:
        raise CurrencyUnknown(currency)
    _check_amounts(unit_amount, tiers_mode, tiers)
    _check_package(divide_by, rounding, is_tiered=bool(tiers_mode))
    if interval or interval_count != 1:
        _check_interval(interval, interval_count)
    if usage_type == UsageType.METERED:
        for licensed in (License.Product.METERED_PRODUCTS, License.Product.SUBSCRIPTION):
            require_license(environment=environment, product=licensed)
        _check_meter(meter, environment)
        if not interval:
            raise MeteredPriceNotRecurring
    elif meter is not None:
        raise MeterNotAllowed
    if is_plan and not interval:
        raise PlanNotRecurring
    if product.environment_id != environment.pk:
        raise NotFound("product", str(product.pk))
    price = Price(
        environment=environment,
        product=locked_product(product),
        currency=currency,
        unit_amount=unit_amount,
        tiers_mode=tiers_mode,
        divide_by=divide_by,
        rounding=rounding,
        # Kept on the price, so that what it costs never changes.
        flat_fee_at_zero=Company.objects.values_list("flat_fee_at_zero", flat=True).get(environments=environment),
        tax_behavior=tax_behavior,
        usage_type=usage_type,
        meter=meter,
        interval=interval,
        interval_count=interval_count,
        is_plan=is_plan,
        slug=slug,
        lookup_key=lookup_key,
        metadata=(metadata or MetadataChange()).applied_to({}),
        created_at=now,
        **labels,
    )
    with _ids_kept_single(lookup_key, slug):
        if transfer_lookup_key:
            _release_lookup_key(environment, lookup_key, now)
        price.save(force_insert=True)
    PriceTier.objects.bulk_create(_new_tier(price, position, tier) for position, tier in enumerate(tiers))
    record(Kind.PRICE_CREATED, rows=[price], now=now)
    return price


@transaction.atomic
def update_price(
    *,
    price: Price,
    now: datetime,
    lookup_key: str | None = None,
    transfer_lookup_key: bool = False,
    tax_behavior: str | None = None,
    metadata: MetadataChange | None = None,
    **labels: Unpack[PriceLabels],
) -> Price:
    """Change a price's labels; subscriptions that use it go on as they are, also when it becomes inactive.

    :param lookup_key: None leaves it, an empty text takes it away
    :param transfer_lookup_key: take the lookup key from the price that has it
    :param tax_behavior: can be said once, and not be changed then
    :raises NotFound: if the price was deleted meanwhile
    :raises LookupKeyTaken: if another price of the environment has the lookup key
    :raises TaxBehaviorFixed: if it was said before
    :raises DefaultPriceInUse: if it is to become inactive and is its product's default
    :raises TooManyMetadataKeys: if the metadata would have more than 50 keys
    """
    price = _locked_price(price)
    if not labels.get("active", True) and price.product.default_price_id == price.pk:
        raise DefaultPriceInUse(price.pk)
    if tax_behavior is not None and price.tax_behavior not in {TaxBehavior.UNSPECIFIED, tax_behavior}:
        raise TaxBehaviorFixed(price.tax_behavior)
    before = take_snapshots([price])
    for name, value in labels.items():
        setattr(price, name, value)
    if metadata is not None:
        price.metadata = metadata.applied_to(price.metadata)
    if tax_behavior is not None:
        price.tax_behavior = tax_behavior
    with _ids_kept_single(lookup_key or ""):
        if lookup_key is not None and lookup_key != price.lookup_key:
            if transfer_lookup_key:
                _release_lookup_key(price.environment, lookup_key, now)
            price.lookup_key = lookup_key
        price.save(update_fields=[*labels, "metadata", "lookup_key", "tax_behavior"])
    record(Kind.PRICE_UPDATED, rows=[price], now=now, before=before)
    return price


@transaction.atomic
def delete_price(*, price: Price, now: datetime) -> None:
    """Close a price for good: it is found no more. Subscriptions that use it go on as they are.

    :raises NotFound: if that was done before
    :raises DefaultPriceInUse: if it is its product's default
    """
    price = _locked_price(price)
    if price.product.default_price_id == price.pk:
        raise DefaultPriceInUse(price.pk)
    record(Kind.PRICE_DELETED, rows=[price], now=now)
    price.active, price.lookup_key, price.deleted_at = False, "", now
    price.save(update_fields=["active", "lookup_key", "deleted_at"])


def checked_terms(
    *,
    unit_amount: Decimal | None = None,
    tiers_mode: str = "",
    tiers: Sequence[NewTier] = (),
    divide_by: int | None = None,
    rounding: str = "",
    flat_fee_at_zero: bool = True,
) -> PriceTerms:
    """What a price would say about money if it were made; none is. The arguments are those of :func:`create_price`.

    :raises BillingError: what :func:`create_price` refuses of amounts, tiers and packages
    """
    _check_amounts(unit_amount, tiers_mode, tiers)
    _check_package(divide_by, rounding, is_tiered=bool(tiers_mode))
    untiered = Scheme.PER_UNIT if divide_by is None else Scheme.PACKAGE
    return PriceTerms(
        unit_amount=unit_amount or ZERO,
        scheme=Scheme(tiers_mode) if tiers_mode else untiered,
        tiers=tuple(Tier(tier.up_to, tier.unit_amount or ZERO, tier.flat_amount or ZERO) for tier in tiers),
        divide_by=divide_by or 1,
        rounding=Rounding(rounding or Rounding.UP),
        flat_fee_at_zero=flat_fee_at_zero,
    )


def _locked_price(price: Price) -> Price:
    """The price as it is now, held together with its product, in that order."""
    product = locked_product(price.product)
    # no_key: whoever refers to the price holds KEY SHARE on it, and need not wait for a change of label.
    locked = Price.objects.select_for_update(no_key=True, of=("self",)).select_related("environment")
    try:
        price = locked.get(pk=price.pk, deleted_at__isnull=True)
    except Price.DoesNotExist as error:
        raise NotFound("price", str(price.pk)) from error
    price.product = product
    return price


def _check_amounts(unit_amount: Decimal | None, tiers_mode: str, tiers: Sequence[NewTier]) -> None:
    if not tiers_mode:
        if tiers:
            raise TiersModeMissing
        if unit_amount is None:
            raise UnitAmountMissing
        _check_amount(unit_amount)
        return
    TiersMode(tiers_mode)
    if unit_amount is not None:
        raise UnitAmountNotAllowed
    if not tiers:
        raise TiersMissing
    if len(tiers) > MAX_TIERS:
        raise TooManyTiers(MAX_TIERS)
    _check_tiers(tiers)


def _check_tiers(tiers: Sequence[NewTier]) -> None:
    start = Decimal(0)
    last = len(tiers) - 1
    for position, tier in enumerate(tiers):
        if tier.unit_amount is None and tier.flat_amount is None:
            raise TierInvalid(position, "A tier needs a unit amount, a flat amount, or both.")
        for amount in (tier.unit_amount, tier.flat_amount):
            if amount is not None:
                _check_amount(amount)
        if (tier.up_to is None) != (position == last):
            raise TierInvalid(position, "The last tier, and no other, has no end: all quantities have a price.")
        if tier.up_to is not None:
            if not start < tier.up_to < _AMOUNT_LIMIT:
                raise TierInvalid(position, "Each tier ends above the one before it, and below 10^18.")
            start = tier.up_to


def _new_tier(price: Price, position: int, tier: NewTier) -> PriceTier:
    return PriceTier(
        environment=price.environment,
        price=price,
        position=position,
        up_to=tier.up_to,
        unit_amount=tier.unit_amount,
        flat_amount=tier.flat_amount,
    )


def _check_amount(amount: Decimal) -> None:
    if not amount.is_finite() or not 0 <= amount < _AMOUNT_LIMIT:
        raise UnitAmountInvalid(amount)
    if -int(amount.as_tuple().exponent) > _AMOUNT_PLACES:
        raise UnitAmountInvalid(amount)


def _check_package(divide_by: int | None, rounding: str, *, is_tiered: bool) -> None:
    if divide_by is None and not rounding:
        return
    if is_tiered:
        raise PackageNotAllowed
    if divide_by is None or not 1 <= divide_by <= _LARGEST_PACKAGE or rounding not in set(Rounding):
        raise PackageInvalid


def _check_interval(interval: str, interval_count: int) -> None:
    if interval not in Interval.values or not 1 <= interval_count <= _MAX_INTERVAL_COUNT[Interval(interval)]:
        raise IntervalInvalid(interval, interval_count)


def _check_meter(meter: Meter | None, environment: Environment) -> None:
    if meter is None:
        raise MeterMissing
    if meter.environment_id != environment.pk:
        raise NotFound("meter", str(meter.pk))
    # Locked until the price is in, so that the meter is not deactivated between this question and that.
    current = Meter.objects.select_for_update(no_key=True).get(pk=meter.pk)
    if current.status != Status.ACTIVE:
        raise MeterInactive(meter.pk)


def _release_lookup_key(environment: Environment, lookup_key: str, now: datetime) -> None:
    held = Price.objects.filter(environment=environment, lookup_key=lookup_key).exclude(lookup_key="")
    holders = list(held.select_for_update(no_key=True))
    before = take_snapshots(holders)
    Price.objects.filter(pk__in=[holder.pk for holder in holders]).update(lookup_key="")
    record(Kind.PRICE_UPDATED, rows=holders, now=now, before=before)


def _ids_kept_single(lookup_key: str, slug: str = "") -> AbstractContextManager[None]:
    return refusing({"price_one_per_lookup_key": LookupKeyTaken(lookup_key), "price_one_per_slug": PriceIdTaken(slug)})
