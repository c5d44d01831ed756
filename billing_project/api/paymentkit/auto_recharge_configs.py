"""/auto-recharge-configs: a customer's credit of a currency is bought again when little is left of it.

Nobody is charged here: a recharge is an invoice that counts as paid elsewhere, and happens only if the company allows it.
"""

from datetime import datetime
from decimal import Decimal
from typing import Annotated

import msgspec
from django.http import HttpResponse
from msgspec import Meta
from rest_framework.request import Request

from accounts.models import Customer, Scope
from billing_project.api.paymentkit.authentication import require_scope
from billing_project.api.paymentkit.customers import (
    CustomerShape,
    find_customer,
    id_of_customer,
    named_customer,
    shape_of_customer,
)
from billing_project.api.paymentkit.parsers import Fields
from billing_project.api.paymentkit.payment_currencies import (
    PaymentCurrency,
    id_of_currency,
    id_of_money,
    named_currency,
    named_money,
    shape_of_currency,
    shape_of_money,
    units_of,
)
from billing_project.api.paymentkit.prices import (
    CREDIT_CONFIG,
    PriceShape,
    credit_config_of,
    id_of_price,
    named_price,
    shape_of_price,
    with_prices,
)
from billing_project.api.paymentkit.viewsets import PaymentKitViewSet, row_of
from billing_project.api.paymentkit.wire import (
    Instant,
    PaymentKitError,
    Shape,
    Units,
    instant_text,
    json_response,
    missing,
)
from core.ids import spell
from core.money import in_minor_units
from credits.models import DEFAULT_PRIORITY
from invoices import services
from invoices.models import AutoRecharge, RechargeOffer
from invoices.services import DayLimits, Purchase
from meters.models import Currency
from subscriptions.models import Price

NOUN = "Auto-recharge config"
_MOST_QUANTITY = 10**6
_MOST_ATTEMPTS = 10**6
_MOST_LIFETIME = 10_000
_MOST_AMOUNT = 10**17
_UNITS = {f"{unit.value}s": unit.value for unit in AutoRecharge.LifetimeUnit}


class DayLimitsShape(Shape, frozen=True):
    max_attempts: Annotated[int, Meta(description="Zero is no limit.")]
    max_amount: Annotated[Units, Meta(description="Of the price's currency, before taxes. Zero is no limit.")]


class DayShape(Shape, frozen=True):
    """What was recharged since midnight UTC."""

    attempt_count: int
    total_amount: Units


class Nothing(Shape, frozen=True):
    """An empty object: payments are made elsewhere."""


class ConfigShape(Shape, frozen=True):
    id: str
    object: str
    customer_id: str
    livemode: bool
    enabled: bool
    threshold: Annotated[Units, Meta(description="Of the currency: recharged when less is left.")]
    currency_id: str
    recharge_currency_id: str | None
    price_id: str | None
    quantity: int
    payment_method_id: None
    payment_settings: Nothing
    payment_details: Nothing
    daily_limits: DayLimitsShape
    daily_stats: DayShape
    last_recharge_date: str | None
    metadata: Nothing
    created_at: Instant
    updated_at: Instant
    currency: PaymentCurrency
    recharge_currency: PaymentCurrency | None = msgspec.field(name="rechargeCurrency")
    payment_method: None = msgspec.field(name="paymentMethod")
    price: PriceShape | None
    customer: CustomerShape


def shape_of_config(config: AutoRecharge, now: datetime, *, livemode: bool) -> ConfigShape:
    """
    :param config: one of the view's rows
    :param now: the wall's time
    """
    price = config.price
    today = services.recharged_on_day(config, config.customer.now(now))
    last = config.recharges.order_by("-created_at").values_list("created_at", flat=True).first()
    return ConfigShape(
        id=spell("arc", config.pk),
        object="auto_recharge_config",
        customer_id=id_of_customer(config.customer),
        livemode=livemode,
        enabled=config.enabled,
        threshold=str(config.threshold),
        currency_id=id_of_currency(config.currency),
        recharge_currency_id=id_of_money(price.currency) if price else None,
        price_id=id_of_price(price) if price else None,
        quantity=config.quantity,
        payment_method_id=None,
        payment_settings=Nothing(),
        payment_details=Nothing(),
        daily_limits=DayLimitsShape(max_attempts=config.most_attempts, max_amount=str(config.most_amount)),
        daily_stats=DayShape(attempt_count=today.attempts, total_amount=str(today.amount)),
        last_recharge_date=f"{last:%Y-%m-%d}" if last else None,
        metadata=Nothing(),
        created_at=instant_text(config.created_at),
        updated_at=instant_text(config.updated_at),
        currency=shape_of_currency(config.currency, livemode=livemode),
        recharge_currency=shape_of_money(price.currency, livemode=livemode) if price else None,
        payment_method=None,
        price=shape_of_price(price, livemode=livemode) if price else None,
        customer=shape_of_customer(config.customer, livemode=livemode),
    )


class AutoRechargeConfigViewSet(PaymentKitViewSet):
    read_scope = Scope.CREDITS_READ
    write_scope = Scope.CREDITS_WRITE

    def of_customer(self, request: Request, pk: str) -> HttpResponse:
        """A GET that may write: who has no settings for the currency yet gets some, by which nothing is recharged."""
        customer = None if self.is_of_other_mode else find_customer(self.environment, pk)
        if customer is None:
            raise missing("Customer", pk)
        currency = named_currency(self.environment, self.query.text("currency_id", required=True))
        found = AutoRecharge.objects.of(self.environment).filter(customer=customer, currency=currency).first()
        if found is None:
            require_scope(self.key, Scope.CREDITS_WRITE)
            found = services.find_or_create_auto_recharge(
                customer=customer, currency=currency, now=customer.now(self.now)
            )
        return self._answer(found)

    def retrieve(self, request: Request, pk: str) -> HttpResponse:
        found = row_of(self.within(AutoRecharge.objects.of(self.environment)), "arc", pk)
        if found is None:
            raise missing(NOUN, pk)
        return self._answer(found)

    def submit(self, request: Request) -> HttpResponse:
        said = self.body
        said.refuse_given(
            ["payment_method_id", "change_payment_method"], "is not supported: payments are made elsewhere"
        )
        customer = named_customer(self.environment, said.text("customer_id", required=True))
        currency = named_currency(self.environment, said.text("currency_id", required=True))
        threshold = self._threshold(said, currency)
        price, purchase = self._purchase(said, customer, currency)
        paid_in = said.text("recharge_currency_id")
        if paid_in and (price is None or named_money(paid_in, self.environment) != price.currency):
            raise said.refuse("recharge_currency_id", "must be that of the price")
        config = services.set_auto_recharge(
            environment=self.environment,
            customer=customer,
            currency=currency,
            now=customer.now(self.now),
            enabled=said.flag("enabled"),
            threshold=threshold,
            quantity=said.whole("quantity", default=1, least=1, most=_MOST_QUANTITY) if "quantity" in said else None,
            purchase=purchase,
            limits=_limits(said.inner("daily_limits"), price) if "daily_limits" in said else None,
        )
        return self._answer(config)

    def _purchase(self, said: Fields, customer: Customer, currency: Currency) -> tuple[Price | None, Purchase | None]:
        """The price that is meant, and what is bought by it if that is new: what the call names, or what the customer's
        settings have, or what the company sells the currency by.
        """
        if "price_id" in said:
            price = named_price(self.environment, said.text("price_id"))
            return price, purchase_of(price, currency, said, "price_id")
        present = AutoRecharge.objects.of(self.environment).filter(customer=customer, currency=currency)
        known = present.select_related("price").first()
        if known and known.price:
            return known.price, None
        offers = RechargeOffer.objects.of(self.environment).filter(currency=currency)
        offer = offers.select_related("price").first() if said.flag("enabled") else None
        return (offer.price, purchase_of(offer.price, currency, said, "price_id")) if offer else (None, None)

    def _threshold(self, said: Fields, currency: Currency) -> int | None:
        if "threshold" not in said:
            return None
        return units_of(said, "threshold", said.decimal("threshold"), currency)

    def _answer(self, config: AutoRecharge) -> HttpResponse:
        rows = AutoRecharge.objects.select_related("customer__test_clock", "currency")
        row = rows.prefetch_related(with_prices(self.environment)).get(pk=config.pk)
        return json_response(shape_of_config(row, self.now, livemode=self.environment.is_live))


def purchase_of(price: Price, currency: Currency, said: Fields, name: str) -> Purchase:
    """What the price's metadata says that a unit of it gives, as it says it now.

    :param name: of the field that names the price
    :raises PaymentKitError: if it says nothing of the currency
    """
    found = credit_config_of(price.metadata)
    if found is None or found.get("currency_id") != id_of_currency(currency):
        raise said.refuse(name, f"must be a price whose metadata.{CREDIT_CONFIG} gives credit of the currency")
    config = Fields(found, f"metadata.{CREDIT_CONFIG}.")
    config.refuse_given(["applicable_prices", "schedule"], "is not supported for recharges")
    amount = units_of(config, "credit_amount", config.decimal("credit_amount"), currency)
    lifetime = config.whole("valid_duration_value", default=0, least=0, most=_MOST_LIFETIME)
    unit = config.choice("valid_duration_unit", _UNITS) or "days"
    return Purchase(
        price,
        amount,
        lifetime or None,
        _UNITS[unit] if lifetime else "",
        config.whole("priority", default=DEFAULT_PRIORITY, least=0, most=99_999),
    )


def _limits(said: Fields, price: Price | None) -> DayLimits:
    attempts = said.whole("max_attempts", default=0, least=0, most=_MOST_ATTEMPTS)
    amount = said.decimal("max_amount") if "max_amount" in said else Decimal(0)
    if not amount:
        return DayLimits(attempts)
    if price is None:
        raise PaymentKitError('"daily_limits.max_amount" needs a price, whose currency it is in')
    minor = in_minor_units(amount, price.currency)
    if minor is None or minor > _MOST_AMOUNT:
        raise said.refuse("max_amount", f"must be an amount of {price.currency.upper()}")
    return DayLimits(attempts, minor)
