"""What is said of a price's money, wherever a price is made: at /v1/prices, /v1/plans, or with a product."""

from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from rest_framework.exceptions import ErrorDetail, ValidationError

from billing_project.api.stripe.fields import (
    Choice,
    DecimalText,
    Integer,
    Metadata,
    Params,
    Ref,
    Text,
    exclusive,
    required,
)
from billing_project.api.stripe.kinds import METER
from billing_project.api.stripe.parsers import Value
from subscriptions.models import Interval, TaxBehavior, UsageType
from subscriptions.pricing import Rounding
from subscriptions.services import NewTier

PLACES = 12


class RecurringParams(Params):
    interval = Choice(*Interval.values, required=True)
    # How long a period may be depends on the interval, and is the domain's to say.
    interval_count = Integer(least=1)
    usage_type = Choice(*UsageType.values)
    meter = Ref(METER)

    unserved = ("aggregate_usage", "trial_period_days")


class TierEnd(Integer):
    """A whole number of units, or ``inf`` for the tier that has no end."""

    def to_internal_value(self, data: Value) -> Decimal | None:  # type: ignore[override]
        return None if data == "inf" else Decimal(super().to_internal_value(data))


class TierParams(Params):
    up_to = TierEnd(least=1, required=True)
    unit_amount = Integer(least=0)
    unit_amount_decimal = DecimalText(places=PLACES)
    flat_amount = Integer(least=0)
    flat_amount_decimal = DecimalText(places=PLACES)

    def validate(self, attrs: dict[str, Any]) -> NewTier:
        return NewTier(attrs["up_to"], one_amount(attrs, "unit_amount"), one_amount(attrs, "flat_amount"))


class PackageParams(Params):
    divide_by = Integer(least=1, required=True)
    round = Choice(*Rounding, required=True)


def one_amount(attrs: Mapping[str, Any], name: str) -> Decimal | None:
    """An amount that may be said in whole minor units or as a decimal, not both.

    :raises ValidationError: if both are there
    """
    exclusive(attrs, name, f"{name}_decimal")
    if name in attrs:
        return Decimal(attrs[name])
    amount: Decimal | None = attrs.get(f"{name}_decimal")
    return amount


def tiered_or_not(attrs: dict[str, Any]) -> None:
    """Tiers go with the billing scheme of that name; without it they would be a surprise.

    :raises ValidationError: for the first of them that does not fit
    """
    if attrs.pop("billing_scheme", "per_unit") == "tiered":
        required(attrs, "tiers_mode")
        required(attrs, "tiers")
        return
    for name in ("tiers", "tiers_mode"):
        if name in attrs:
            message = f"You may only specify `{name}` if `billing_scheme` is set to `tiered`."
            raise ValidationError({name: [ErrorDetail(message)]})


def price_terms(attrs: dict[str, Any], *, older_words: Mapping[str, str] = MappingProxyType({})) -> dict[str, Any]:
    """What :func:`subscriptions.services.create_price` is told, from the parameters of a price wherever they stand.

    :param older_words: what parameters are called there, and what they are called here
    :raises ValidationError: if they do not fit together
    """
    tiered_or_not(attrs)
    said = {name: older for older, name in older_words.items()}
    unit_amount = said.get("unit_amount", "unit_amount")
    if "tiers" not in attrs:
        required(attrs, unit_amount, f"{unit_amount}_decimal")
    amount = one_amount(attrs, unit_amount)
    package = attrs.get(said.get("transform_quantity", "transform_quantity"))
    dropped = {"unit_amount", "unit_amount_decimal", "transform_quantity", "recurring", *older_words}
    terms = {name: value for name, value in attrs.items() if name not in dropped}
    if package is not None:
        terms |= {"divide_by": package["divide_by"], "rounding": package["round"]}
    recurring: dict[str, Any] = attrs.get("recurring", {})
    return terms | {"unit_amount": amount, "currency": attrs["currency"].lower()} | recurring


class DefaultPriceParams(Params):
    """The price that a product is made with."""

    currency = Text(3, required=True)
    unit_amount = Integer(least=0)
    unit_amount_decimal = DecimalText(places=PLACES)
    recurring = RecurringParams()
    tax_behavior = Choice(*TaxBehavior.values)
    metadata = Metadata()

    unserved = ("currency_options", "custom_unit_amount")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        return price_terms(attrs)
