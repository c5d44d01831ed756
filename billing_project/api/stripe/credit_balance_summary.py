"""/v1/billing/credit_balance_summary: what is left of a customer's credit, by currency."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Customer, Scope
from billing_project.api.stripe.credit_grants import ScopeParams, shape_of_amount, shape_of_units
from billing_project.api.stripe.customers import customer_reference
from billing_project.api.stripe.fields import RESOURCE_MISSING, Choice, Params, Ref, RetrieveParams, required
from billing_project.api.stripe.kinds import CREDIT_GRANT, CUSTOMER
from billing_project.api.stripe.objects import write
from billing_project.api.stripe.viewsets import StripeViewSet
from billing_project.api.stripe.wire import Wire
from credits.models import CreditGrant, CreditGrantQuerySet, Standing
from meters.models import Currency


class FilterParams(Params):
    type = Choice("applicability_scope", "credit_grant", required=True)
    applicability_scope = ScopeParams()
    credit_grant = Ref(CREDIT_GRANT)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        required(attrs, attrs["type"])
        return attrs


class SummaryParams(RetrieveParams):
    customer = Ref(CUSTOMER, required=True)
    filter = FilterParams(required=True)

    unserved = ("customer_account",)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        grant: CreditGrant | None = attrs["filter"].get("credit_grant")
        if grant is not None and grant.customer_id != attrs["customer"].pk:
            message = f"No such {CREDIT_GRANT.noun}: '{CREDIT_GRANT.id_of(grant)}'"
            raise ValidationError({"filter": {"credit_grant": [ErrorDetail(message, RESOURCE_MISSING)]}})
        return attrs


class CreditBalanceSummaryViewSet(StripeViewSet[Customer]):
    kind = CUSTOMER
    read_scope = Scope.CREDITS_READ
    write_scope = Scope.CREDITS_WRITE

    def show(self, request: Request) -> Response:
        params = self.validated(SummaryParams)
        customer: Customer = params["customer"]
        grants = _filtered(CreditGrant.objects.of(self.environment).filter(customer=customer), params["filter"])
        standings = grants.standings(customer.now(self.now))
        currencies = Currency.objects.in_bulk([one.own_currency_id for one in standings if one.own_currency_id])
        shape = {
            "object": "billing.credit_balance_summary",
            # All currencies that credit was ever given in, be there nothing left of it.
            "balances": [_shape_of(standing, currencies) for standing in standings],
            "customer": customer_reference(customer),
            "customer_account": None,
        }
        return Response(write(shape, self.expansion, livemode=self.environment.is_live))


def _filtered(grants: CreditGrantQuerySet, chosen: dict[str, Any]) -> CreditGrantQuerySet:
    """The grants that a filter means: one, or those that pay for all metered prices or for one of the prices named."""
    if chosen["type"] == "credit_grant":
        return grants.filter(pk=chosen["credit_grant"].pk)
    prices = chosen["applicability_scope"].get("prices")
    return grants.paying_for(None if prices is None else [price["id"] for price in prices])


def _shape_of(standing: Standing, currencies: Mapping[UUID, Currency]) -> Wire:
    own = currencies[standing.own_currency_id] if standing.own_currency_id else None

    def amount(value: int) -> Wire:
        return shape_of_amount(value, standing.currency) if own is None else shape_of_units(value, own)

    return {
        "available_balance": amount(standing.available),
        "ledger_balance": amount(standing.left),
        # Ours: what reservations hold. It is on the ledger, and not available.
        "reserved_balance": amount(standing.held),
    }
