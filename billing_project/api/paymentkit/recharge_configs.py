"""/payment-currencies/{id}/recharge-config: what the company sells a currency's credit by.

It is what an automatic recharge buys where a customer's settings name no price, and bounds how much one recharge gives. The
vendor's payment links are none of ours; a page of the company's own may be said, and is shown to whoever asks.
"""

from decimal import Decimal
from typing import Annotated

import msgspec
from django.core.exceptions import ValidationError
from django.core.validators import URLValidator
from django.http import HttpResponse
from msgspec import Meta
from rest_framework.request import Request

from accounts.models import Scope
from billing_project.api.paymentkit.auto_recharge_configs import purchase_of
from billing_project.api.paymentkit.parsers import Fields
from billing_project.api.paymentkit.payment_currencies import (
    NOUN,
    PaymentCurrency,
    shape_of_currency,
    units_of,
)
from billing_project.api.paymentkit.prices import id_of_price, named_price
from billing_project.api.paymentkit.viewsets import PaymentKitViewSet, row_of
from billing_project.api.paymentkit.wire import Shape, json_response, missing
from core.money import EXACT, plain
from invoices import services
from invoices.models import RechargeOffer
from meters.models import Currency

_URL_LENGTH = 500
_IS_URL = URLValidator(schemes=["http", "https"])


class RechargeSettings(Shape, frozen=True):
    min_recharge_amount: Annotated[Decimal | None, Meta(description="Tokens that one recharge gives at least.")]
    max_recharge_amount: Annotated[Decimal | None, Meta(description="Tokens that it gives at most.")]


class RechargeConfig(Shape, frozen=True):
    base_price_id: Annotated[str, Meta(description="Bought where a customer's settings name no price.")]
    checkout_url: str | None
    settings: RechargeSettings


class RechargeableCurrency(PaymentCurrency, frozen=True):
    recharge_config: Annotated[RechargeConfig | None, Meta(description="Null if none was set.")]


def shape_of_offer(offer: RechargeOffer) -> RechargeConfig:
    return RechargeConfig(
        base_price_id=id_of_price(offer.price),
        checkout_url=offer.url or None,
        settings=RechargeSettings(
            min_recharge_amount=_tokens(offer.least, offer.currency),
            max_recharge_amount=_tokens(offer.most, offer.currency),
        ),
    )


class RechargeConfigViewSet(PaymentKitViewSet):
    read_scope = Scope.CREDITS_READ
    write_scope = Scope.CREDITS_WRITE

    def retrieve(self, request: Request, pk: str) -> HttpResponse:
        currency = self._currency(pk)
        offers = RechargeOffer.objects.of(self.environment).filter(currency=currency)
        return self._answer(currency, offers.select_related("currency", "price").first())

    def update(self, request: Request, pk: str) -> HttpResponse:
        """As a whole: what is not said is not so any more."""
        said, currency = self.body, self._currency(pk)
        price = named_price(self.environment, said.text("base_price_id", required=True))
        said.refuse_given(["payment_link_id"], "is not supported: payments are made elsewhere, name a checkout_url")
        settings = said.inner("settings")
        least = settings.decimal("min_recharge_amount") if "min_recharge_amount" in settings else None
        most = settings.decimal("max_recharge_amount") if "max_recharge_amount" in settings else None
        offer = services.set_recharge_offer(
            environment=self.environment,
            currency=currency,
            purchase=purchase_of(price, currency, said, "base_price_id"),
            now=self.now,
            least=None if least is None else units_of(settings, "min_recharge_amount", least, currency),
            most=None if most is None else units_of(settings, "max_recharge_amount", most, currency),
            url=_url(said),
        )
        return self._answer(currency, offer)

    def _currency(self, pk: str) -> Currency:
        found = row_of(self.within(Currency.objects.of(self.environment)), "pcur", pk)
        if found is None:
            raise missing(NOUN, pk)
        return found

    def _answer(self, currency: Currency, offer: RechargeOffer | None) -> HttpResponse:
        shown = shape_of_currency(currency, livemode=self.environment.is_live)
        return json_response(
            RechargeableCurrency(
                **msgspec.structs.asdict(shown), recharge_config=shape_of_offer(offer) if offer else None
            )
        )


def _url(said: Fields) -> str:
    url = said.text("checkout_url", most=_URL_LENGTH)
    try:
        if url:
            _IS_URL(url)
    except ValidationError as error:
        raise said.refuse("checkout_url", "must be a valid uri") from error
    return url


def _tokens(units: int | None, currency: Currency) -> Decimal | None:
    """As a number is written: without exponent, and without zeros at its end."""
    return None if units is None else Decimal(plain(EXACT.scaleb(Decimal(units), -currency.decimals)))
