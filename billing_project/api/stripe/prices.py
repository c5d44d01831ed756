"""/v1/prices. A plan is the same row in older words."""

from decimal import Decimal
from typing import Any

from django.db.models import Q
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Scope
from billing_project.api.stripe.fields import (
    Array,
    Choice,
    CreatedListParams,
    DecimalText,
    Flag,
    Integer,
    Metadata,
    Params,
    Ref,
    RetrieveParams,
    Text,
    exclusive,
    required,
)
from billing_project.api.stripe.kinds import METER, PLAN, PRICE, PRODUCT
from billing_project.api.stripe.objects import Hidden, Reference
from billing_project.api.stripe.pagination import in_range
from billing_project.api.stripe.price_terms import PLACES, PackageParams, RecurringParams, TierParams, price_terms
from billing_project.api.stripe.products import ProductParams
from billing_project.api.stripe.searching import Id, OneOf, SearchViewSet, Token, flag, whole
from billing_project.api.stripe.wire import Wire, timestamp
from core.money import plain
from subscriptions import services
from subscriptions.models import Interval, Price, TaxBehavior, TiersMode, UsageType
from subscriptions.services.prices import MAX_TIERS

_NOT_WITH_A_PRICE = ("expand", "description", "default_price_data")
_UNSERVED = ("currency_options", "custom_unit_amount")


@PRICE.shaped
def shape_of_price(price: Price) -> Wire:
    return {
        "id": PRICE.id_of(price),
        "object": "price",
        "active": price.active,
        "billing_scheme": _billing_scheme(price),
        "created": timestamp(price.created_at),
        "currency": price.currency,
        "currency_options": Hidden(lambda: {price.currency: _shape_of_currency_option(price)}),
        "custom_unit_amount": None,
        "lookup_key": price.lookup_key or None,
        "metadata": price.metadata,
        "nickname": price.nickname or None,
        "product": product_reference(price),
        "recurring": _shape_of_recurring(price) if price.interval else None,
        "tax_behavior": price.tax_behavior,
        "tiers": Hidden(lambda: _shape_of_tiers(price)),
        "tiers_mode": price.tiers_mode or None,
        "transform_quantity": _shape_of_package(price),
        "type": "recurring" if price.interval else "one_time",
        "unit_amount": _whole(price.unit_amount),
        "unit_amount_decimal": _in_full(price.unit_amount),
    }


@PLAN.shaped
def shape_of_plan(price: Price) -> Wire:
    """A recurring price in the words of /v1/plans."""
    return {
        "id": PRICE.id_of(price),
        "object": "plan",
        "active": price.active,
        "amount": _whole(price.unit_amount),
        "amount_decimal": _in_full(price.unit_amount),
        "billing_scheme": _billing_scheme(price),
        "created": timestamp(price.created_at),
        "currency": price.currency,
        "interval": price.interval,
        "interval_count": price.interval_count,
        "metadata": price.metadata,
        "meter": _meter(price),
        "nickname": price.nickname or None,
        "product": product_reference(price),
        "tiers": Hidden(lambda: _shape_of_tiers(price)),
        "tiers_mode": price.tiers_mode or None,
        "transform_usage": _shape_of_package(price),
        "trial_period_days": None,
        "usage_type": price.usage_type,
    }


def product_reference(price: Price) -> Reference:
    return Reference(PRODUCT, PRODUCT.id_of(price.product), lambda: price.product)


def _shape_of_recurring(price: Price) -> Wire:
    return {
        "interval": price.interval,
        "interval_count": price.interval_count,
        "meter": _meter(price),
        "trial_period_days": None,
        "usage_type": price.usage_type,
    }


def _billing_scheme(price: Price) -> str:
    return "tiered" if price.tiers_mode else "per_unit"


def _shape_of_tiers(price: Price) -> list[Wire] | None:
    if not price.tiers_mode:
        return None
    return [
        {
            "flat_amount": _whole(tier.flat_amount),
            "flat_amount_decimal": _in_full(tier.flat_amount),
            "unit_amount": _whole(tier.unit_amount),
            "unit_amount_decimal": _in_full(tier.unit_amount),
            "up_to": _whole(tier.up_to),
        }
        for tier in price.tiers.all()
    ]


def _shape_of_currency_option(price: Price) -> Wire:
    """The one currency that a price has, as the table of currencies says it."""
    return {
        "custom_unit_amount": None,
        "tax_behavior": price.tax_behavior,
        "tiers": _shape_of_tiers(price),
        "unit_amount": _whole(price.unit_amount),
        "unit_amount_decimal": _in_full(price.unit_amount),
    }


def _shape_of_package(price: Price) -> Wire | None:
    return None if price.divide_by is None else {"divide_by": price.divide_by, "round": price.rounding}


def _meter(price: Price) -> str | None:
    return METER.spell(price.meter_id) if price.meter_id else None


def _whole(amount: Decimal | None) -> int | None:
    """Null for an amount with a fraction, which only the decimal field can say."""
    return int(amount) if amount is not None and amount == int(amount) else None


def _in_full(amount: Decimal | None) -> str | None:
    return None if amount is None else plain(amount)


class ProductDataParams(ProductParams):
    unserved = (*ProductParams.unserved, *_NOT_WITH_A_PRICE)

    def get_fields(self) -> dict[str, Any]:
        fields = super().get_fields()
        for name in _NOT_WITH_A_PRICE:
            del fields[name]
        return fields


class PriceParams(RetrieveParams):
    currency = Text(3, required=True)
    product = Ref(PRODUCT)
    product_data = ProductDataParams()
    unit_amount = Integer(least=0)
    unit_amount_decimal = DecimalText(places=PLACES)
    recurring = RecurringParams()
    billing_scheme = Choice("per_unit", "tiered")
    tiers_mode = Choice(*TiersMode.values)
    tiers = Array(TierParams(), most=MAX_TIERS)
    transform_quantity = PackageParams()
    tax_behavior = Choice(*TaxBehavior.values)
    lookup_key = Text(200)
    transfer_lookup_key = Flag(default=False)
    nickname = Text(5000)
    active = Flag()
    metadata = Metadata()

    unserved = _UNSERVED

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        required(attrs, "product", "product_data")
        exclusive(attrs, "product", "product_data")
        return price_terms(attrs)


class PriceUpdateParams(RetrieveParams):
    active = Flag()
    tax_behavior = Choice(*TaxBehavior.values)
    nickname = Text(5000, clearable="")
    lookup_key = Text(200, clearable="")
    transfer_lookup_key = Flag(default=False)
    metadata = Metadata()

    unserved = ("currency_options",)


class RecurringFilterParams(Params):
    interval = Choice(*Interval.values)
    usage_type = Choice(*UsageType.values)
    meter = Ref(METER)


class PriceListParams(CreatedListParams):
    active = Flag()
    currency = Text(3)
    product = Ref(PRODUCT)
    type = Choice("one_time", "recurring")
    lookup_keys = Array(Text(200), most=10)
    recurring = RecurringFilterParams()


class PriceViewSet(SearchViewSet[Price]):
    kind = PRICE
    read_scope = Scope.PRODUCTS_READ
    write_scope = Scope.PRODUCTS_WRITE
    searchable = {
        "active": flag("active"),
        "currency": Token("currency"),
        "lookup_key": whole("lookup_key"),
        "product": Id(PRODUCT, "product"),
        "type": OneOf({"recurring": ~Q(interval=""), "one_time": Q(interval="")}),
    }

    def list(self, request: Request) -> Response:
        params = self.validated(PriceListParams)
        prices = self.get_queryset().filter(**in_range(params))
        same: dict[str, Any] = {name: params[name] for name in ("active", "product") if name in params}
        if "currency" in params:
            same["currency"] = params["currency"].lower()
        if "lookup_keys" in params:
            same["lookup_key__in"] = params["lookup_keys"]
        prices = prices.filter(**same, **params.get("recurring", {}))
        if "recurring" in params or params.get("type") == "recurring":
            prices = prices.exclude(interval="")
        if params.get("type") == "one_time":
            prices = prices.filter(interval="")
        return self.listed(prices, params)

    def create(self, request: Request) -> Response:
        params = self.validated(PriceParams)
        product_data = params.pop("product_data", None)
        if product_data is not None:
            slug = product_data.pop("id", "")
            params["product"] = services.create_product(
                environment=self.environment, now=self.now, slug=slug, **product_data
            )
        price = services.create_price(environment=self.environment, now=self.now, **params)
        return self.respond(self.row(PRICE.id_of(price)))

    def update(self, request: Request, pk: str) -> Response:
        params = self.validated(PriceUpdateParams)
        price = services.update_price(price=self.row(pk), now=self.now, **params)
        return self.respond(self.row(PRICE.id_of(price)))
