"""Products and their prices."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from typing import TypedDict, Unpack

from django.db import IntegrityError, transaction

from accounts.models import Environment
from core.db import violates
from core.errors import NotFound
from core.metadata import MetadataChange
from core.money import CURRENCIES
from meters.models import Meter, Status
from subscriptions.errors import (
    CurrencyUnknown,
    IntervalInvalid,
    LookupKeyTaken,
    MeteredPriceNotRecurring,
    MeterInactive,
    MeterMissing,
    MeterNotAllowed,
    ProductHasPrices,
    ProductIdTaken,
    UnitAmountInvalid,
)
from subscriptions.models import Interval, Price, Product, UsageType

# Three years, in each interval.
_MAX_INTERVAL_COUNT = {Interval.DAY: 1095, Interval.WEEK: 156, Interval.MONTH: 36, Interval.YEAR: 3}
_UNIT_AMOUNT_PLACES = 12
_UNIT_AMOUNT_LIMIT = Decimal(10) ** 18


class ProductFields(TypedDict, total=False):
    """What can be said of a product at any time."""

    name: str
    description: str
    unit_label: str
    active: bool


class PriceLabels(TypedDict, total=False):
    """What may change on a price. Its money never does: another amount is another price."""

    nickname: str
    active: bool


def create_product(
    *,
    environment: Environment,
    now: datetime,
    slug: str = "",
    metadata: MetadataChange | None = None,
    **fields: Unpack[ProductFields],
) -> Product:
    """Make a product.

    :param slug: an id of the caller's own choosing; empty for none
    :raises ProductIdTaken: if another product of the environment has that ``slug``
    :raises TooManyMetadataKeys: if the metadata has more than 50 keys
    """
    product = Product(
        environment=environment,
        slug=slug,
        metadata=(metadata or MetadataChange()).applied_to({}),
        created_at=now,
        updated_at=now,
        **fields,
    )
    try:
        with transaction.atomic():
            product.save(force_insert=True)
    except IntegrityError as error:
        if violates(error, "product_one_per_slug"):
            raise ProductIdTaken(slug) from error
        raise
    return product


@transaction.atomic
def update_product(
    *, product: Product, now: datetime, metadata: MetadataChange | None = None, **fields: Unpack[ProductFields]
) -> Product:
    """Change what is given, leave the rest.

    :raises NotFound: if the product was deleted meanwhile
    :raises TooManyMetadataKeys: if the metadata would have more than 50 keys
    """
    product = _locked_product(product)
    for name, value in fields.items():
        setattr(product, name, value)
    if metadata is not None:
        product.metadata = metadata.applied_to(product.metadata)
    product.updated_at = now
    product.save(update_fields=[*fields, "metadata", "updated_at"])
    return product


@transaction.atomic
def delete_product(*, product: Product) -> None:
    """Delete a product that was never priced.

    :raises NotFound: if it was deleted meanwhile
    :raises ProductHasPrices: if any price refers to it, active or not
    """
    # create_price takes the same lock, so that no price appears between the question and the deletion.
    product = _locked_product(product)
    if product.prices.exists():
        raise ProductHasPrices(product.pk)
    product.delete()


@transaction.atomic
def create_price(
    *,
    environment: Environment,
    product: Product,
    currency: str,
    unit_amount: Decimal,
    now: datetime,
    usage_type: str = UsageType.LICENSED,
    meter: Meter | None = None,
    interval: str = "",
    interval_count: int = 1,
    lookup_key: str = "",
    transfer_lookup_key: bool = False,
    metadata: MetadataChange | None = None,
    **labels: Unpack[PriceLabels],
) -> Price:
    """Give a product a price.

    :param currency: three letters, lower case
    :param unit_amount: minor units of the currency per unit, with fraction: from 0 up, at most 12 decimal places
    :param usage_type: a value of ``UsageType``; metered needs ``meter`` and ``interval``
    :param interval: a value of ``Interval``; empty for a one-time price
    :param interval_count: intervals per period, at most three years in all
    :param transfer_lookup_key: take the lookup key from the price that has it
    :raises NotFound: if product or meter are not the environment's
    :raises CurrencyUnknown: :raises UnitAmountInvalid: :raises IntervalInvalid: what they say
    :raises MeterMissing: :raises MeterInactive: :raises MeteredPriceNotRecurring: for a metered price
    :raises MeterNotAllowed: for a licensed price with a meter
    :raises LookupKeyTaken: if another price of the environment has the lookup key
    :raises TooManyMetadataKeys: if the metadata has more than 50 keys
    """
    if currency not in CURRENCIES:
        raise CurrencyUnknown(currency)
    _check_unit_amount(unit_amount)
    if interval or interval_count != 1:
        _check_interval(interval, interval_count)
    if usage_type == UsageType.METERED:
        _check_meter(meter, environment)
        if not interval:
            raise MeteredPriceNotRecurring
    elif meter is not None:
        raise MeterNotAllowed
    if product.environment_id != environment.pk:
        raise NotFound("product", str(product.pk))
    price = Price(
        environment=environment,
        product=_locked_product(product),
        currency=currency,
        unit_amount=unit_amount,
        usage_type=usage_type,
        meter=meter,
        interval=interval,
        interval_count=interval_count,
        lookup_key=lookup_key,
        metadata=(metadata or MetadataChange()).applied_to({}),
        created_at=now,
        **labels,
    )
    with _lookup_key_kept_single(lookup_key):
        if transfer_lookup_key:
            _release_lookup_key(environment, lookup_key)
        price.save(force_insert=True)
    return price


@transaction.atomic
def update_price(
    *,
    price: Price,
    lookup_key: str | None = None,
    transfer_lookup_key: bool = False,
    metadata: MetadataChange | None = None,
    **labels: Unpack[PriceLabels],
) -> Price:
    """Change a price's labels; subscriptions that use it go on as they are, also when it becomes inactive.

    :param lookup_key: None leaves it, an empty text takes it away
    :param transfer_lookup_key: take the lookup key from the price that has it
    :raises LookupKeyTaken: if another price of the environment has the lookup key
    :raises TooManyMetadataKeys: if the metadata would have more than 50 keys
    """
    # no_key: whoever refers to the price holds KEY SHARE on it, and need not wait for a change of label.
    price = Price.objects.select_for_update(no_key=True).select_related("environment").get(pk=price.pk)
    for name, value in labels.items():
        setattr(price, name, value)
    if metadata is not None:
        price.metadata = metadata.applied_to(price.metadata)
    with _lookup_key_kept_single(lookup_key or ""):
        if lookup_key is not None and lookup_key != price.lookup_key:
            if transfer_lookup_key:
                _release_lookup_key(price.environment, lookup_key)
            price.lookup_key = lookup_key
        price.save(update_fields=[*labels, "metadata", "lookup_key"])
    return price


def _locked_product(product: Product) -> Product:
    try:
        return Product.objects.select_for_update(no_key=True).get(pk=product.pk)
    except Product.DoesNotExist as error:
        raise NotFound("product", str(product.pk)) from error


def _check_unit_amount(unit_amount: Decimal) -> None:
    if not unit_amount.is_finite() or not 0 <= unit_amount < _UNIT_AMOUNT_LIMIT:
        raise UnitAmountInvalid(unit_amount)
    if -int(unit_amount.as_tuple().exponent) > _UNIT_AMOUNT_PLACES:
        raise UnitAmountInvalid(unit_amount)


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


def _release_lookup_key(environment: Environment, lookup_key: str) -> None:
    if lookup_key:
        Price.objects.filter(environment=environment, lookup_key=lookup_key).update(lookup_key="")


@contextmanager
def _lookup_key_kept_single(lookup_key: str) -> Iterator[None]:
    try:
        with transaction.atomic():
            yield
    except IntegrityError as error:
        # Asking first would race; only the constraint sees both writers.
        if violates(error, "price_one_per_lookup_key"):
            raise LookupKeyTaken(lookup_key) from error
        raise
