"""How a change of a subscription is asked for: on the subscription, on one of its items, or in a preview."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar

from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError

from accounts.models import Environment
from billing_project.api.stripe.errors import saying_of
from billing_project.api.stripe.fields import (
    MISSING,
    Array,
    Choice,
    DecimalText,
    Flag,
    Integer,
    Metadata,
    ParamMixin,
    Params,
    Ref,
    Text,
    Timestamp,
    exclusive,
    required,
)
from billing_project.api.stripe.kinds import PRICE, PRODUCT, SUBSCRIPTION_ITEM
from billing_project.api.stripe.parsers import Value
from invoices.services import ProrationBehavior
from subscriptions import errors, services
from subscriptions.models import Interval, Price, SubscriptionItem, TaxBehavior
from subscriptions.services import MAX_ITEMS, AddedItem, ItemChange, NewItem

_PLACES = 12


class Anchor(ParamMixin, serializers.Field[str, Value, str, Any]):
    """``now`` or ``unchanged``: the bare word, or a hash of which it is the type."""

    def to_internal_value(self, data: Value) -> str:
        if isinstance(data, dict):
            values: dict[str, Any] = _AnchorParams(context=self.context).run_validation(data)
            return str(values["type"])
        word: str = Choice(*_ANCHORS).run_validation(data)
        return word


_ANCHORS = ("now", "unchanged")


class _AnchorParams(Params):
    type = Choice(*_ANCHORS, required=True)


class PriceRecurringParams(Params):
    interval = Choice(*Interval.values, required=True)
    interval_count = Integer(least=1)


class OncePriceDataParams(Params):
    """A price that is made for this one use."""

    currency = Text(3, required=True)
    product = Ref(PRODUCT, required=True)
    unit_amount = Integer(least=0)
    unit_amount_decimal = DecimalText(places=_PLACES)
    tax_behavior = Choice("inclusive", "exclusive", "unspecified")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        required(attrs, "unit_amount", "unit_amount_decimal")
        exclusive(attrs, "unit_amount", "unit_amount_decimal")
        return attrs


class PriceDataParams(OncePriceDataParams):
    recurring = PriceRecurringParams(required=True)


class PricedParams(Params):
    """A price by its id, by that of a plan, or made for this one use."""

    price = Ref(PRICE)
    # The older word for the same.
    plan = Ref(PRICE)
    price_data = PriceDataParams()
    quantity = Integer(least=0)
    metadata = Metadata()

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        exclusive(attrs, "price", "plan", "price_data")
        return attrs


class ItemChangeParams(PricedParams):
    id = Ref(SUBSCRIPTION_ITEM)
    deleted = Flag(default=False)
    # Usage that a meter counted belongs to the meter: Stripe, too, leaves it alone.
    clear_usage = Flag()

    unserved: ClassVar[Collection[str]] = ("billing_thresholds", "discounts", "tax_rates", "trial")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        super().validate(attrs)
        required(attrs, "id", "price", "plan", "price_data")
        if attrs["deleted"]:
            required(attrs, "id")
        return attrs


class PaymentBehavior(Choice):
    """What a card that is refused would lead to. Any of it will do, since nobody is charged here."""

    def __init__(self) -> None:
        super().__init__("allow_incomplete", "default_incomplete", "error_if_incomplete", "pending_if_incomplete")


class ProrationParams(Params):
    """What a change does about time that was paid in advance."""

    proration_behavior = Choice(*ProrationBehavior.values)
    proration_date = Timestamp()


class ChangeParams(ProrationParams):
    """What is asked of a subscription's items and of its anchor."""

    items = Array(ItemChangeParams(), most=MAX_ITEMS)
    billing_cycle_anchor = Anchor()


def change_of(params: dict[str, Any], prices: "Prices") -> dict[str, Any]:
    """The parameters of an update in the domain's words."""
    change = proration_of(params)
    # Nothing is collected here, so there is nothing to do about a payment that fails.
    for harmless in ("payment_behavior", "off_session"):
        params.pop(harmless, None)
    if "items" in params:
        change["items"] = [item_change(item, prices) for item in params.pop("items")]
    if "add_invoice_items" in params:
        change["added"] = [added_item(item, prices) for item in params.pop("add_invoice_items")]
    change["resets_anchor"] = params.pop("billing_cycle_anchor", "unchanged") == "now"
    return {**params, **change}


def proration_of(params: dict[str, Any]) -> dict[str, Any]:
    """Take what was said of prorations out of the parameters, in the domain's words."""
    renamed = {"proration_behavior": "proration_behavior", "proration_date": "prorated_at"}
    return {name: params.pop(wire) for wire, name in renamed.items() if wire in params}


class Prices:
    """The prices that a call's parameters name, or that are made for this one use: those are for no other."""

    def __init__(self, environment: Environment, now: datetime) -> None:
        self.environment = environment
        self.now = now
        self._made: list[Price] = []

    def of(self, params: Mapping[str, Any]) -> Price | None:
        data = params.get("price_data")
        if data is None:
            return params.get("price") or params.get("plan")
        price = services.create_price(
            environment=self.environment,
            product=data["product"],
            currency=data["currency"].lower(),
            unit_amount=Decimal(data.get("unit_amount_decimal", data.get("unit_amount", 0))),
            tax_behavior=data.get("tax_behavior", TaxBehavior.UNSPECIFIED),
            now=self.now,
            **data.get("recurring", {}),
        )
        self._made.append(price)
        return price

    def put_away(self) -> None:
        for price in self._made:
            services.update_price(price=price, now=self.now, active=False)


def new_item(params: Mapping[str, Any], prices: Prices) -> NewItem:
    price = prices.of(params)
    if price is None:
        raise ValidationError({"price": [ErrorDetail("You must provide price, plan or price_data.", MISSING)]})
    return NewItem(
        price,
        params.get("quantity"),
        params.get("metadata"),
        discounts=params.get("discounts", ()),
        tax_rates=params.get("tax_rates", ()),
    )


def added_item(params: Mapping[str, Any], prices: Prices) -> AddedItem:
    price = prices.of(params)
    if price is None:
        raise ValidationError({"price": [ErrorDetail("You must provide price or price_data.", MISSING)]})
    return AddedItem(
        price,
        params["quantity"],
        is_discountable=params["discountable"],
        metadata=params.get("metadata"),
        discounts=params.get("discounts", ()),
        tax_rates=params.get("tax_rates", ()),
    )


def item_change(params: Mapping[str, Any], prices: Prices, *, item: SubscriptionItem | None = None) -> ItemChange:
    """
    :param item: the item that an address names; else the parameters name it, or a new one is added
    """
    return ItemChange(
        item=item or params.get("id"),
        price=prices.of(params),
        quantity=params.get("quantity"),
        metadata=params.get("metadata"),
        is_removed=params.get("deleted", False),
    )


@contextmanager
def naming_the_item() -> Iterator[None]:
    """Blame what is wrong with the only item on the parameter as the address has it: ``price``, not ``items[0][price]``."""
    try:
        yield
    except errors.ItemRefused as refusal:
        saying = saying_of(type(refusal))
        if saying is None:
            raise
        said = saying(refusal)
        said.param = said.param.rpartition("[")[2].rstrip("]")
        raise said from refusal
