"""Products: what is sold."""

from datetime import datetime
from typing import TypedDict, Unpack

from django.db import transaction
from django.db.models import ProtectedError

from accounts.models import Environment
from core.db import refusing
from core.errors import NotFound
from core.metadata import MetadataChange
from subscriptions.errors import DefaultPriceUnusable, ProductHasPrices, ProductIdTaken
from subscriptions.models import Price, Product
from webhooks.kinds import Kind
from webhooks.services import record, take_snapshots


class ProductFields(TypedDict, total=False):
    """What can be said of a product at any time."""

    name: str
    description: str
    unit_label: str
    active: bool
    default_price: Price | None


@transaction.atomic
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
    with refusing({"product_one_per_slug": ProductIdTaken(slug)}):
        product.save(force_insert=True)
    record(Kind.PRODUCT_CREATED, rows=[product], now=now)
    return product


@transaction.atomic
def update_product(
    *, product: Product, now: datetime, metadata: MetadataChange | None = None, **fields: Unpack[ProductFields]
) -> Product:
    """Change what is given, leave the rest.

    :raises NotFound: if the product was deleted meanwhile
    :raises DefaultPriceUnusable: if the default price is another product's, or closed
    :raises TooManyMetadataKeys: if the metadata would have more than 50 keys
    """
    product = locked_product(product)
    _check_default_price(product, fields.get("default_price"))
    before = take_snapshots([product])
    for name, value in fields.items():
        setattr(product, name, value)
    if metadata is not None:
        product.metadata = metadata.applied_to(product.metadata)
    product.updated_at = now
    product.save(update_fields=[*fields, "metadata", "updated_at"])
    record(Kind.PRODUCT_UPDATED, rows=[product], now=now, before=before)
    return product


@transaction.atomic
def delete_product(*, product: Product, now: datetime) -> None:
    """Delete a product that was never priced, or whose prices were all plans that were deleted unused.

    :raises NotFound: if it was deleted meanwhile
    :raises ProductHasPrices: if any price refers to it, active or not
    """
    # create_price takes the same lock, so that no price appears between the question and the deletion.
    product = locked_product(product)
    if product.prices.present().exists():
        raise ProductHasPrices(product.pk)
    record(Kind.PRODUCT_DELETED, rows=[product], now=now)
    try:
        with transaction.atomic():
            product.prices.all().delete()
    except ProtectedError as error:
        # Some subscription or invoice was made with a deleted plan and goes on naming it.
        raise ProductHasPrices(product.pk) from error
    product.delete()


def locked_product(product: Product) -> Product:
    """The product as it is now, held against changes of itself and of its prices.

    :raises NotFound: if it was deleted meanwhile
    """
    try:
        return Product.objects.select_for_update(no_key=True).get(pk=product.pk)
    except Product.DoesNotExist as error:
        raise NotFound("product", str(product.pk)) from error


def _check_default_price(product: Product, price: Price | None) -> None:
    if price is None:
        return
    # Closing a price takes its product's lock before its own, as we have.
    current = Price.objects.select_for_update(no_key=True).filter(pk=price.pk, product=product, active=True).first()
    if current is None:
        raise DefaultPriceUnusable(price.pk)
