"""/prices: by id or by lookup key, in money. What Stripe's door calls a price or a plan is one here, and the other way round."""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, TypeVar

import msgspec
from django.db.models import Exists, Model, OuterRef, Prefetch, Q, QuerySet
from django.http import HttpResponse
from msgspec import UNSET, Meta, UnsetType
from rest_framework.request import Request

from accounts.models import Environment, Scope
from billing_project.api.paymentkit.meters import MeterShape, shape_of_meter
from billing_project.api.paymentkit.parsers import Fields
from billing_project.api.paymentkit.payment_currencies import (
    PaymentCurrency,
    id_of_money,
    money_of,
    shape_of_money,
)
from billing_project.api.paymentkit.price_terms import AGGREGATIONS, MODELS, labels_of, terms_of
from billing_project.api.paymentkit.viewsets import PaymentKitViewSet
from billing_project.api.paymentkit.wire import Instant, PaymentKitError, Shape, instant_text, json_response, missing
from core.ids import read, spell
from core.money import plain
from subscriptions import services
from subscriptions.models import Price, Product
from usage.events import is_storable

NOUN = "Price"
# A price whose metadata has this gives credit for being paid. It is text, as all metadata is, and shown as what it says.
CREDIT_CONFIG = "credit_config"
_FIXED = (
    "product_id", "type", "model", "billing_scheme", "unit_amount", "recurring", "tiers_mode", "tiers", "currency_id",
    "currency_options", "transform_quantity", "custom_unit_amount",
)  # fmt: skip

# Numbers by their digits, as they were said.
_DECODER = msgspec.json.Decoder(float_hook=Decimal)

M = TypeVar("M", bound=Model)
Amount = Annotated[str, Meta(description="In the currency's smallest units, with fraction where it has one.")]


class TierShape(Shape, frozen=True):
    up_to: Annotated[str | None, Meta(description="Inclusive; null: and above.")]
    unit_amount: Amount | None
    flat_amount: Amount | None


class RecurringShape(Shape, frozen=True):
    interval: str
    interval_count: int
    usage_type: str
    meter_id: str | UnsetType = UNSET
    aggregate_usage: Annotated[str | UnsetType, Meta(description="The meter's way to add usage up.")] = UNSET


class PackageShape(Shape, frozen=True):
    divide_by: int
    round: str


class CurrencyOption(Shape, frozen=True):
    """The price's one currency once more."""

    currency_id: str
    unit_amount: Amount
    tiers: list[TierShape] | None
    custom_unit_amount: None


class PricedProduct(Shape, frozen=True):
    """A product as its prices show it."""

    id: str
    object: str
    active: bool
    livemode: bool
    locked: bool
    type: Annotated[str, Meta(description="`credit` if a price of it gives credit, else `service`.")]
    name: str
    description: str
    images: list[str]
    features: list[str]
    unit_label: str | None
    default_price_id: str | None
    metadata: dict[str, str]
    created_via: str
    created_at: Instant
    updated_at: Instant


class PriceShape(Shape, frozen=True):
    id: str
    object: str
    product_id: str
    nickname: str | None
    active: bool
    livemode: bool
    locked: bool
    type: str
    model: str
    billing_scheme: str
    unit_amount: Annotated[Amount, Meta(description="Of a unit or a package; `0` where there are tiers.")]
    recurring: RecurringShape | None
    tiers_mode: str | None
    tiers: list[TierShape] | None
    custom_unit_amount: None
    lookup_key: str | None
    metadata: dict[str, Any]
    transform_quantity: PackageShape | None
    currency_id: str
    currency_options: list[CurrencyOption]
    tax_behavior: str
    quantity_available: int
    quantity_sold: int
    quantity_limit_per_checkout: int
    created_via: str
    created_at: Instant
    updated_at: Instant
    product: PricedProduct
    currency: PaymentCurrency
    meter: MeterShape | None


def prices_of(environment: Environment) -> QuerySet[Price]:
    """With all that their shape shows."""
    others = Price.objects.filter(environment=OuterRef("environment"), product=OuterRef("product"))
    return (
        Price.objects.of(environment)
        .select_related("product__default_price", "meter__currency")
        .prefetch_related("tiers")
        .annotate(product_gives_credit=Exists(others.filter(metadata__has_key=CREDIT_CONFIG)))
    )


def with_prices(environment: Environment) -> "Prefetch[str]":
    """What brings rows the prices that they point at, deleted ones among them."""
    return Prefetch("price", prices_of(environment))


def id_of_price(price: Price) -> str:
    """As the other doors spell it."""
    return price.slug or spell("plan" if price.is_plan else "price", price.pk)


def id_of_product(product: Product) -> str:
    return product.slug or spell("prod", product.pk)


def shape_of_price(price: Price, *, livemode: bool) -> PriceShape:
    """
    :param price: one of :func:`prices_of`
    """
    made = instant_text(price.created_at)
    tiers = [_shape_of_tier(tier.up_to, tier.unit_amount, tier.flat_amount) for tier in price.tiers.all()]
    unit_amount = plain(price.unit_amount or Decimal(0))
    currency = id_of_money(price.currency)
    package = None if price.divide_by is None else PackageShape(price.divide_by, price.rounding)
    gives_credit: bool = price.product_gives_credit  # type: ignore[attr-defined]  # of the query
    return PriceShape(
        id=id_of_price(price),
        object="price",
        product_id=id_of_product(price.product),
        nickname=price.nickname or None,
        active=price.active,
        livemode=livemode,
        locked=False,
        type="recurring" if price.interval else "one_time",
        model=MODELS[price.scheme],
        billing_scheme="tiered" if price.tiers_mode else "per_unit",
        unit_amount=unit_amount,
        recurring=_shape_of_recurring(price),
        tiers_mode=price.tiers_mode or None,
        tiers=tiers or None,
        custom_unit_amount=None,
        lookup_key=price.lookup_key or None,
        metadata=_shown(price.metadata),
        transform_quantity=package,
        currency_id=currency,
        currency_options=[
            CurrencyOption(currency_id=currency, unit_amount=unit_amount, tiers=tiers or None, custom_unit_amount=None)
        ],
        tax_behavior=price.tax_behavior,
        quantity_available=0,
        quantity_sold=0,
        quantity_limit_per_checkout=0,
        created_via="api",
        created_at=made,
        updated_at=made,
        product=shape_of_priced(price.product, gives_credit=gives_credit, livemode=livemode),
        currency=shape_of_money(price.currency, livemode=livemode),
        meter=shape_of_meter(price.meter, livemode=livemode) if price.meter else None,
    )


def shape_of_priced(product: Product, *, gives_credit: bool, livemode: bool) -> PricedProduct:
    default = product.default_price
    return PricedProduct(
        id=id_of_product(product),
        object="product",
        active=product.active,
        livemode=livemode,
        locked=False,
        type="credit" if gives_credit else "service",
        name=product.name,
        description=product.description,
        images=[],
        features=[],
        unit_label=product.unit_label or None,
        default_price_id=id_of_price(default) if default else None,
        metadata=product.metadata,
        created_via="api",
        created_at=instant_text(product.created_at),
        updated_at=instant_text(product.updated_at),
    )


def find_price(prices: QuerySet[Price], text: str) -> Price | None:
    """A price by an id of the caller's own choosing, by ours, or by its lookup key. Deleted ones are not found."""
    if not is_storable(text):
        return None
    present = prices.filter(deleted_at=None)
    pk = read("price", text) or read("plan", text)
    by_id = present.filter(pk=pk, slug="") if pk else present.none()
    return (
        present.filter(slug=text).exclude(slug="").first() or by_id.first() or present.filter(lookup_key=text).first()
    )


def named_price(environment: Environment, text: str) -> Price:
    """The price that a body or a query names.

    :raises PaymentKitError: if there is none
    """
    return named(find_price, prices_of(environment), NOUN, text)


def find_product(products: QuerySet[Product], text: str) -> Product | None:
    if not is_storable(text):
        return None
    pk = read("prod", text)
    by_id = products.filter(pk=pk, slug="") if pk else products.none()
    return products.filter(slug=text).exclude(slug="").first() or by_id.first()


def named_product(environment: Environment, text: str) -> Product:
    """:raises PaymentKitError: if there is none"""
    return named(find_product, Product.objects.of(environment), "Product", text)


def named(find: "Callable[[QuerySet[M], str], M | None]", rows: QuerySet[M], noun: str, text: str) -> M:
    """What a body or a query names.

    :raises PaymentKitError: if there is no such row
    """
    found = find(rows, text)
    if found is None:
        raise PaymentKitError(f"{noun} not found: {text[:100]}")
    return found


class PriceViewSet(PaymentKitViewSet):
    read_scope = Scope.PRODUCTS_READ
    write_scope = Scope.PRODUCTS_WRITE

    def list(self, request: Request) -> HttpResponse:
        said, prices = self.query, self._rows()
        if (active := said.flag("active")) is not None:
            prices = prices.filter(active=active)
        if kind := said.choice("type", ["one_time", "recurring"]):
            prices = prices.filter(interval="") if kind == "one_time" else prices.exclude(interval="")
        if currency := said.text("currency_id"):
            prices = prices.filter(currency=money_of(currency) or "-")
        if product := said.text("product_id"):
            prices = prices.filter(product=find_product(Product.objects.of(self.environment), product))
        if key := said.text("lookup_key"):
            prices = prices.filter(lookup_key=key)
        return self._listed(prices)

    def search(self, request: Request) -> HttpResponse:
        prices = self._rows()
        if words := self.query.text("query") or self.query.text("q"):
            matches = Q(nickname__icontains=words) | Q(product__name__icontains=words) | Q(lookup_key=words)
            prices = prices.filter(matches)
        return self._listed(prices)

    def create(self, request: Request) -> HttpResponse:
        product = named_product(self.environment, self.body.text("product_id", required=True))
        return self._answer(self.row(id_of_price(new_price(self.body, product, now=self.now))))

    def retrieve(self, request: Request, pk: str) -> HttpResponse:
        return self._answer(self.row(pk))

    def update(self, request: Request, pk: str) -> HttpResponse:
        said, price = self.body, self.row(pk)
        said.refuse_given(_FIXED, "cannot be changed: another amount is another price")
        lookup_key = said.text("lookup_key", most=200, blank=True) if said.says("lookup_key") else None
        changed = services.update_price(
            price=price, now=self.now, lookup_key=lookup_key, metadata=said.texts("metadata"), **labels_of(said)
        )
        return self._again(changed)

    def archive(self, request: Request, pk: str) -> HttpResponse:
        return self._again(services.update_price(price=self.row(pk), now=self.now, active=False))

    def destroy(self, request: Request, pk: str) -> HttpResponse:
        """It is found no more. Subscriptions that have it go on."""
        price = self.row(pk)
        services.delete_price(price=price, now=self.now)
        price.active, price.lookup_key = False, ""
        return self._answer(price)

    def row(self, pk: str) -> Price:
        found = find_price(self._rows(), pk)
        if found is None:
            raise missing(NOUN, pk)
        return found

    def _rows(self) -> QuerySet[Price]:
        return self.within(prices_of(self.environment).filter(deleted_at=None).order_by("-created_at", "-pk"))

    def _listed(self, prices: QuerySet[Price]) -> HttpResponse:
        livemode = self.environment.is_live
        return self.listed(prices, lambda rows: [shape_of_price(row, livemode=livemode) for row in rows])

    def _again(self, price: Price) -> HttpResponse:
        return self._answer(self._rows().get(pk=price.pk))

    def _answer(self, price: Price) -> HttpResponse:
        return json_response(shape_of_price(price, livemode=self.environment.is_live))


def new_price(said: Fields, product: Product, *, now: datetime) -> Price:
    """Make the price that is described."""
    return services.create_price(
        environment=product.environment,
        product=product,
        now=now,
        **terms_of(said, product.environment),
        **labels_of(said),
    )


def _shape_of_recurring(price: Price) -> RecurringShape | None:
    if not price.interval:
        return None
    meter = price.meter
    return RecurringShape(
        interval=price.interval,
        interval_count=price.interval_count,
        usage_type=price.usage_type,
        meter_id=spell("mtr", meter.pk) if meter else UNSET,
        aggregate_usage=AGGREGATIONS.get(meter.formula, meter.formula) if meter else UNSET,
    )


def _shape_of_tier(up_to: Decimal | None, unit_amount: Decimal | None, flat_amount: Decimal | None) -> TierShape:
    return TierShape(
        up_to=None if up_to is None else plain(up_to),
        unit_amount=None if unit_amount is None else plain(unit_amount),
        flat_amount=None if flat_amount is None else plain(flat_amount),
    )


def _shown(metadata: dict[str, str]) -> dict[str, Any]:
    config = credit_config_of(metadata)
    return metadata if config is None else {**metadata, CREDIT_CONFIG: config}


def credit_config_of(metadata: dict[str, str]) -> dict[str, Any] | None:
    """What a price's metadata says of the credit that it gives; None if it says nothing that can be read."""
    try:
        found = _DECODER.decode(metadata.get(CREDIT_CONFIG, ""))
    except (msgspec.DecodeError, InvalidOperation):
        return None
    return found if isinstance(found, dict) else None
