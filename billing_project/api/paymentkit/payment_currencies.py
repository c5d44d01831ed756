"""/payment-currencies: the units of the company's own that usage is paid in, and the money that prices are in.

Money has no row: its id is made of its code, ``pcur_usd``. Lists are bare arrays.
"""

from decimal import Decimal
from typing import Annotated, Any

from django.http import HttpResponse
from msgspec import Meta
from rest_framework.request import Request

from accounts.models import Environment, Scope
from billing_project.api.paymentkit.parsers import Fields
from billing_project.api.paymentkit.viewsets import PaymentKitViewSet, row_of
from billing_project.api.paymentkit.wire import Instant, PaymentKitError, Shape, instant_text, json_response, missing
from core.ids import spell
from core.money import CURRENCIES, exponent
from credits.models import MOST_AMOUNT
from meters import services
from meters.models import Currency
from meters.services import CurrencyWords
from subscriptions.models import Price

NOUN = "Payment currency"
NAME_LENGTH = 64
SYMBOL_LENGTH = 32
DESCRIPTION_LENGTH = 255
_MOST_CHECKED = 100
_MONEY = "pcur_"
_OWN = "meter"
_TYPES = (_OWN, "standard")
_UNTIL_THERE_ARE_PRICES = "usd"


class UnsupportedCurrency(Shape, frozen=True):
    id: str
    name: str
    symbol: str


class RecurringSupport(Shape, frozen=True):
    supported: Annotated[bool, Meta(description="Whether recurring prices can be in each of them.")]
    unsupported_currencies: list[UnsupportedCurrency]


class PaymentCurrency(Shape, frozen=True):
    id: str
    name: str
    symbol: str
    decimal: Annotated[int, Meta(description="Amounts are whole numbers of its smallest units: value x 10^decimal.")]
    type: Annotated[str, Meta(description="`meter` is a unit of the company's own, `standard` is money.")]
    description: str
    active: bool
    locked: bool
    livemode: bool
    metadata: dict[str, Any]
    created_at: Annotated[Instant | None, Meta(description="Null for money.")]
    updated_at: Instant | None


def shape_of_currency(currency: Currency, *, livemode: bool) -> PaymentCurrency:
    return PaymentCurrency(
        id=id_of_currency(currency),
        name=currency.name,
        symbol=currency.symbol,
        decimal=currency.decimals,
        type=_OWN,
        description=currency.description,
        active=True,
        locked=False,
        livemode=livemode,
        metadata=currency.metadata,
        created_at=instant_text(currency.created_at),
        updated_at=instant_text(currency.updated_at),
    )


def shape_of_money(code: str, *, livemode: bool) -> PaymentCurrency:
    return PaymentCurrency(
        id=id_of_money(code),
        name=code.upper(),
        symbol=code.upper(),
        decimal=exponent(code),
        type="standard",
        description="",
        active=True,
        locked=True,
        livemode=livemode,
        metadata={},
        created_at=None,
        updated_at=None,
    )


def id_of_money(code: str) -> str:
    return f"{_MONEY}{code}"


def money_of(text: str) -> str | None:
    """The code of the money that an id, or the code itself, names."""
    code = text.removeprefix(_MONEY).lower()
    return code if code in CURRENCIES else None


def named_money(text: str, environment: Environment) -> str:
    """The same for a body.

    :raises PaymentKitError: if it names none
    """
    code = money_of(text)
    if code is not None:
        return code
    own = row_of(Currency.objects.of(environment), "pcur", text)
    if own is None:
        raise PaymentKitError(f"{NOUN} is no money: {text[:100]}; prices are in money, such as {id_of_money('usd')}")
    raise PaymentKitError(
        f"{NOUN} {text} ({own.name}) is credit, which usage burns without a price as soon as it is reported: make a grant "
        f"of it, or sell it by a one-time price in money, such as {id_of_money('usd')}, whose metadata has a credit_config"
    )


def id_of_currency(currency: Currency) -> str:
    return spell("pcur", currency.pk)


def named_currency(environment: Environment, text: str) -> Currency:
    """The currency that a body or a query names.

    :raises PaymentKitError: if there is none
    """
    found = row_of(Currency.objects.of(environment), "pcur", text)
    if found is None:
        raise PaymentKitError(f"{NOUN} not found: {text[:100]}")
    return found


def units_of(said: Fields, name: str, value: Decimal, currency: Currency) -> int:
    """An amount of tokens in the currency's smallest units.

    :param name: of the field that says ``value``
    :raises PaymentKitError: if the currency has no such amount, or it is more than can be granted
    """
    units = currency.smallest_units(value)
    if units is None:
        raise said.refuse(name, f"must not have more than {currency.decimals} decimal places")
    if units >= MOST_AMOUNT:
        raise said.refuse(name, "is too large")
    return units


class PaymentCurrencyViewSet(PaymentKitViewSet):
    read_scope = Scope.METERS_READ
    write_scope = Scope.METERS_WRITE
    # It is asked with a POST, and writes nothing.
    scopes = {"check_recurring_support": Scope.METERS_READ}

    def list(self, request: Request) -> HttpResponse:
        """What prices can be in: the money that the company has prices in, or US dollars while it has none. With the type
        ``meter`` its own currencies, which prices cannot be in.
        """
        livemode = self.environment.is_live
        if self.query.choice("type", _TYPES) == _OWN:
            rows = self.within(Currency.objects.of(self.environment).order_by("-created_at", "-pk"))
            return json_response([shape_of_currency(row, livemode=livemode) for row in rows])
        # Programs take the first one of these for what they sell credit for, and all of them for a price's options.
        prices = self.within(Price.objects.of(self.environment))
        codes = list(prices.order_by("currency").values_list("currency", flat=True).distinct())
        if not codes and not self.is_of_other_mode:
            codes = [_UNTIL_THERE_ARE_PRICES]
        return json_response([shape_of_money(code, livemode=livemode) for code in codes])

    def create(self, request: Request) -> HttpResponse:
        said = self.body
        currency = services.create_currency(
            environment=self.environment,
            name=said.text("name", most=NAME_LENGTH, required=True),
            symbol=said.text("symbol", most=SYMBOL_LENGTH, required=True),
            decimals=said.whole("decimal", default=0, least=0, most=Currency.MOST_DECIMALS),
            description=said.text("description", most=DESCRIPTION_LENGTH, blank=True),
            metadata=said.object("metadata"),
            now=self.now,
        )
        return self._answer(currency)

    def retrieve(self, request: Request, pk: str) -> HttpResponse:
        code = money_of(pk)
        if code is not None and not self.is_of_other_mode:
            return json_response(shape_of_money(code, livemode=self.environment.is_live))
        return self._answer(self._row(pk))

    def update(self, request: Request, pk: str) -> HttpResponse:
        said, words = self.body, CurrencyWords()
        currency = self._row(pk)
        if "name" in said:
            words["name"] = said.text("name", most=NAME_LENGTH)
        if "symbol" in said:
            words["symbol"] = said.text("symbol", most=SYMBOL_LENGTH)
        if said.says("description"):
            words["description"] = said.text("description", most=DESCRIPTION_LENGTH, blank=True)
        if (metadata := said.object("metadata")) is not None:
            words["metadata"] = metadata
        return self._answer(services.update_currency(currency=currency, now=self.now, **words))

    def check_recurring_support(self, request: Request) -> HttpResponse:
        """Whether subscriptions can be in the currencies: in money they can, in the company's own they cannot."""
        said = self.body
        named = said.items("currency_ids", most=_MOST_CHECKED)
        if not named:
            raise said.refuse("currency_ids", "must contain at least 1 items")
        own = {text: named_currency(self.environment, text) for text in named if money_of(text) is None}
        return json_response(
            RecurringSupport(
                supported=not own,
                unsupported_currencies=[
                    UnsupportedCurrency(id=id_of_currency(row), name=row.name, symbol=row.symbol)
                    for row in own.values()
                ],
            )
        )

    def _row(self, pk: str) -> Currency:
        found = row_of(self.within(Currency.objects.of(self.environment)), "pcur", pk)
        if found is None:
            raise missing(NOUN, pk)
        return found

    def _answer(self, currency: Currency) -> HttpResponse:
        return json_response(shape_of_currency(currency, livemode=self.environment.is_live))
