"""What is said of a price, alone or with its product: amounts are token amounts, ``"1.50"`` of US dollars."""

from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from accounts.models import Environment
from billing_project.api.paymentkit.parsers import Fields
from billing_project.api.paymentkit.payment_currencies import named_money
from billing_project.api.paymentkit.wire import PaymentKitError
from core.ids import read
from core.money import EXACT, exponent
from meters.models import Formula, Meter
from subscriptions.models import Interval, TaxBehavior, TiersMode, UsageType
from subscriptions.pricing import Rounding, Scheme
from subscriptions.services import NewTier
from subscriptions.services.prices import MAX_TIERS, PriceLabels

# How a price follows from its quantity, in the vendor's words.
MODELS: Mapping[str, str] = MappingProxyType(
    {
        Scheme.PER_UNIT: "standard",
        Scheme.PACKAGE: "package",
        Scheme.GRADUATED: "graduated",
        Scheme.VOLUME: "volume",
    }
)
# How a period's usage becomes a quantity. Only meters count, so what a price says must agree with its meter.
AGGREGATIONS: Mapping[str, str] = MappingProxyType(
    {Formula.SUM: "sum", Formula.MAX: "max", Formula.LAST: "last_during_period"}
)
_FORMULAS = {"sum": Formula.SUM, "max": Formula.MAX, "last_during_period": Formula.LAST, "last_ever": Formula.LAST}
_UNSERVED = ("custom_unit_amount", "upsell", "quantity_available", "quantity_limit_per_checkout", "base_currency")
_MOST_UNITS = 10**18


def labels_of(said: Fields) -> PriceLabels:
    """What may be said of a price at any time."""
    labels = PriceLabels()
    if said.says("nickname"):
        labels["nickname"] = said.text("nickname", most=5000, blank=True)
    if (active := said.flag("active")) is not None:
        labels["active"] = active
    return labels


def terms_of(said: Fields, environment: Environment) -> dict[str, Any]:
    """What a new price costs, as :func:`subscriptions.services.create_price` takes it, which holds it together."""
    said.refuse_given(_UNSERVED, "is not supported")
    currency = named_money(said.text("currency_id", required=True), environment)
    _check_options(said, currency, environment)
    model = _model(said)
    terms: dict[str, Any] = {"currency": currency, "metadata": said.texts("metadata")}
    if model in TiersMode.values:
        terms["tiers_mode"] = model
        terms["tiers"] = [_tier(tier, currency) for tier in said.inners("tiers", most=MAX_TIERS)]
        said.refuse_given(["unit_amount"], "is not allowed with tiers")
    else:
        said.refuse_given(["tiers"], f"is not allowed with the model {model}")
        terms["unit_amount"] = _minor(said, "unit_amount", currency)
    if model == MODELS[Scheme.PACKAGE]:
        package = said.inner("transform_quantity", required=True)
        terms["divide_by"] = package.whole("divide_by", default=0, least=1, most=_MOST_UNITS)
        terms["rounding"] = package.choice("round", [rounding.value for rounding in Rounding]) or Rounding.UP.value
    if key := said.text("lookup_key", most=200, blank=True):
        terms["lookup_key"] = key
    if behavior := said.choice("tax_behavior", TaxBehavior.values):
        terms["tax_behavior"] = behavior
    return terms | _recurring(said, environment)


def _model(said: Fields) -> str:
    tiers_mode = said.choice("tiers_mode", TiersMode.values)
    package = MODELS[Scheme.PACKAGE] if "transform_quantity" in said else ""
    implied = tiers_mode or package or MODELS[Scheme.PER_UNIT]
    model = said.choice("model", MODELS.values()) or implied
    if model != implied and (tiers_mode or package):
        raise said.refuse("model", f"does not agree with the rest, which says {implied}")
    return model


def _recurring(said: Fields, environment: Environment) -> dict[str, Any]:
    kind = said.choice("type", ["one_time", "recurring"])
    recurs = "recurring" in said
    if kind and (kind == "recurring") != recurs:
        raise said.refuse("recurring", "is required" if not recurs else "is not allowed with the type one_time")
    if not recurs:
        return {}
    recurring = said.inner("recurring")
    found: dict[str, Any] = {
        "interval": recurring.choice("interval", Interval.values, required=True),
        "interval_count": recurring.whole("interval_count", default=1, least=1, most=10_000),
    }
    named = recurring.text("meter_id")
    usage_type = recurring.choice("usage_type", UsageType.values)
    found["usage_type"] = usage_type or (UsageType.METERED if named else UsageType.LICENSED)
    if named:
        pk = read("mtr", named)
        meter = Meter.objects.of(environment).filter(pk=pk).first() if pk else None
        if meter is None:
            raise PaymentKitError(f"Meter not found: {named[:100]}")
        aggregation = recurring.choice("aggregate_usage", _FORMULAS)
        if aggregation and _FORMULAS[aggregation] != meter.formula:
            raise recurring.refuse("aggregate_usage", f"is the meter's to say, which is {meter.formula}")
        found["meter"] = meter
    return found


def _tier(said: Fields, currency: str) -> NewTier:
    return NewTier(
        up_to=said.decimal("up_to") if "up_to" in said and not said.is_word("up_to", "inf") else None,
        unit_amount=_minor(said, "unit_amount", currency) if "unit_amount" in said else None,
        flat_amount=_minor(said, "flat_amount", currency) if "flat_amount" in said else None,
    )


def _minor(said: Fields, name: str, currency: str) -> Decimal:
    return EXACT.scaleb(said.decimal(name), exponent(currency))


def _check_options(said: Fields, currency: str, environment: Environment) -> None:
    """A price has one currency. Saying it again is no other."""
    for option in said.inners("currency_options", most=20):
        if named_money(option.text("currency_id", required=True), environment) != currency:
            raise said.refuse("currency_options", "must not have other currencies: make a price for each")
