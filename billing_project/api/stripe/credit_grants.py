"""/v1/billing/credit_grants."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django.db.models import QuerySet
from rest_framework.decorators import action
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Scope
from billing_project.api.stripe.customers import customer_reference, test_clock_of
from billing_project.api.stripe.fields import (
    Array,
    Choice,
    DecimalText,
    Integer,
    ListParams,
    Metadata,
    Params,
    QuickRef,
    Ref,
    RetrieveParams,
    Text,
    Timestamp,
    exclusive,
    required,
)
from billing_project.api.stripe.kinds import CREDIT_GRANT, CURRENCY, CUSTOMER, PRICE
from billing_project.api.stripe.viewsets import StripeViewSet
from billing_project.api.stripe.wire import Wire, timestamp, timestamp_or_none
from core.columns import Lookup
from core.ids import spell
from core.money import plain
from credits import services
from credits.models import CreditGrant, CreditReservation
from meters.models import Currency

MOST_PRICES = 20
_LAST_PRIORITY = 100


@CREDIT_GRANT.completed
def complete(grants: QuerySet[CreditGrant]) -> QuerySet[CreditGrant]:
    return grants.select_related("customer__test_clock", "own_currency").prefetch_related("prices__product")


@CREDIT_GRANT.shaped
def shape_of_grant(grant: CreditGrant) -> Wire:
    return {
        "id": CREDIT_GRANT.id_of(grant),
        "object": "billing.credit_grant",
        "amount": shape_of_amount_of(grant, grant.amount),
        "applicability_config": {"scope": _shape_of_scope(grant)},
        "category": grant.category,
        "created": timestamp(grant.created_at),
        "customer": customer_reference(grant.customer),
        "customer_account": None,
        "effective_at": timestamp(grant.effective_at),
        "expires_at": timestamp_or_none(grant.expires_at),
        "metadata": grant.metadata,
        "name": grant.name or None,
        "priority": grant.priority,
        "test_clock": test_clock_of(grant.customer),
        "updated": timestamp(grant.updated_at),
        "voided_at": timestamp_or_none(grant.voided_at),
    }


def shape_of_amount_of(row: CreditGrant | CreditReservation, value: int) -> Wire:
    """An amount of a row's currency, be that money or one of the company's own."""
    currency = row.own_currency
    return shape_of_amount(value, row.currency) if currency is None else shape_of_units(value, currency)


def shape_of_units(value: int, currency: Currency) -> Wire:
    """An amount of a currency of the company's own, in whole ones of it."""
    unit = {
        "custom_pricing_unit": spell("pcur", currency.pk),
        "value": plain(Decimal(value).scaleb(-currency.decimals)),
    }
    return {"custom_pricing_unit": unit, "monetary": None, "type": "custom_pricing_unit"}


def shape_of_amount(value: int, currency: str) -> Wire:
    return {"monetary": {"currency": currency, "value": value}, "type": "monetary"}


def _shape_of_scope(grant: CreditGrant) -> Wire:
    if grant.scope == CreditGrant.Scope.METERED:
        return {"price_type": "metered"}
    return {"prices": [{"id": PRICE.id_of(price)} for price in grant.prices.all()]}


class MonetaryParams(Params):
    currency = Text(3, required=True)
    value = Integer(least=1, required=True)


class UnitAmountParams(Params):
    custom_pricing_unit = QuickRef(CURRENCY, Lookup(Currency), required=True)
    value = DecimalText(places=Currency.MOST_DECIMALS, required=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        currency: Currency = attrs["custom_pricing_unit"]
        if currency.smallest_units(attrs["value"]) is None:
            message = f"Invalid decimal: {currency} has at most {currency.decimals} decimal places"
            raise ValidationError({"value": [ErrorDetail(message)]})
        return attrs


class AmountParams(Params):
    """An amount of money, or of a unit of the company's own."""

    type = Choice("monetary", "custom_pricing_unit", required=True)
    monetary = MonetaryParams()
    custom_pricing_unit = UnitAmountParams()

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        required(attrs, attrs["type"])
        return attrs


def amount_said(amount: Mapping[str, Any]) -> tuple[str | Currency, int]:
    """Of :class:`AmountParams`: the currency, and the amount in its smallest units."""
    if amount["type"] == "monetary":
        return amount["monetary"]["currency"].lower(), amount["monetary"]["value"]
    currency: Currency = amount["custom_pricing_unit"]["custom_pricing_unit"]
    value: Decimal = amount["custom_pricing_unit"]["value"]
    return currency, currency.smallest_units(value) or 0


class PriceOfScopeParams(Params):
    id = Ref(PRICE, required=True)


class ScopeParams(Params):
    price_type = Choice("metered")
    prices = Array(PriceOfScopeParams(), most=MOST_PRICES)

    unserved = ("billable_items",)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        exclusive(attrs, "price_type", "prices")
        required(attrs, "price_type", "prices")
        return attrs


class ApplicabilityParams(Params):
    scope = ScopeParams(required=True)


class GrantParams(RetrieveParams):
    customer = Ref(CUSTOMER, among=lambda customers: customers.filter(deleted_at=None), required=True)
    amount = AmountParams(required=True)
    applicability_config = ApplicabilityParams(required=True)
    category = Choice(*CreditGrant.Category.values)
    name = Text(100)
    priority = Integer(least=0, most=_LAST_PRIORITY)
    effective_at = Timestamp()
    expires_at = Timestamp()
    metadata = Metadata()

    unserved = ("customer_account",)


class GrantUpdateParams(RetrieveParams):
    expires_at = Timestamp(clearable=None)
    metadata = Metadata()


class GrantListParams(ListParams):
    customer = Ref(CUSTOMER)

    unserved = ("customer_account",)


class CreditGrantViewSet(StripeViewSet[CreditGrant]):
    kind = CREDIT_GRANT
    read_scope = Scope.CREDITS_READ
    write_scope = Scope.CREDITS_WRITE

    def list(self, request: Request) -> Response:
        params = self.validated(GrantListParams)
        grants = self.get_queryset()
        if "customer" in params:
            grants = grants.filter(customer=params["customer"])
        return self.listed(grants, params)

    def create(self, request: Request) -> Response:
        params = self.validated(GrantParams)
        currency, amount = amount_said(params.pop("amount"))
        named = params.pop("applicability_config")["scope"].get("prices")
        grant = services.create_grant(
            environment=self.environment,
            now=params["customer"].now(self.now),
            currency=currency,
            amount=amount,
            prices=None if named is None else [price["id"] for price in named],
            **params,
        )
        return self._told(grant)

    def update(self, request: Request, pk: str) -> Response:
        params = self.validated(GrantUpdateParams)
        grant = self.row(pk)
        changed = services.update_grant(
            grant=grant, now=grant.customer.now(self.now), changes_expiry="expires_at" in params, **params
        )
        return self._told(changed)

    @action(methods=["post"], detail=True)
    def expire(self, request: Request, pk: str) -> Response:
        self.validated(RetrieveParams)
        grant = self.row(pk)
        return self._told(services.expire_grant(grant=grant, now=grant.customer.now(self.now)))

    @action(methods=["post"], detail=True)
    def void(self, request: Request, pk: str) -> Response:
        self.validated(RetrieveParams)
        grant = self.row(pk)
        return self._told(services.void_grant(grant=grant, now=grant.customer.now(self.now)))

    def _told(self, grant: CreditGrant) -> Response:
        return self.respond(self.row(CREDIT_GRANT.id_of(grant)))
