"""/v1/billing/credit_balance_summary: what is left of a customer's credit, by currency."""

from collections.abc import Mapping
from typing import Any, TypedDict

from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Customer, Scope
from billing_project.api.stripe.credit_grants import ScopeParams, shape_of_amount, shape_of_units
from billing_project.api.stripe.customers import QUICK_CUSTOMER, customer_reference
from billing_project.api.stripe.fields import (
    RESOURCE_MISSING,
    Choice,
    Params,
    QuickRef,
    Ref,
    RetrieveParams,
    required,
)
from billing_project.api.stripe.kinds import CREDIT_GRANT, CUSTOMER
from billing_project.api.stripe.objects import write
from billing_project.api.stripe.viewsets import StripeViewSet
from billing_project.api.stripe.wire import Wire
from credits.balances import Standing, standings
from credits.models import CreditGrant
from subscriptions.models import Price


class FilterParams(Params):
    type = Choice("applicability_scope", "credit_grant", required=True)
    applicability_scope = ScopeParams()
    credit_grant = Ref(CREDIT_GRANT)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        required(attrs, attrs["type"])
        return attrs


class SummaryParams(RetrieveParams):
    customer = QuickRef(CUSTOMER, QUICK_CUSTOMER, required=True)
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
        shape = {
            "object": "billing.credit_balance_summary",
            # All currencies that credit was ever given in, be there nothing left of it.
            "balances": [
                _shape_of(standing)
                for standing in standings(customer, customer.now(self.now), **_counted(params["filter"]))
            ],
            "customer": customer_reference(customer),
            "customer_account": None,
        }
        return Response(write(shape, self.expansion, livemode=self.environment.is_live))


class _Counted(TypedDict):
    grant: CreditGrant | None
    prices: list[Price] | None


def _counted(chosen: Mapping[str, Any]) -> _Counted:
    """The grants that a filter means: one, or those that pay for all metered prices or for one of the prices named."""
    if chosen["type"] == "credit_grant":
        return {"grant": chosen["credit_grant"], "prices": None}
    prices = chosen["applicability_scope"].get("prices")
    return {"grant": None, "prices": None if prices is None else [price["id"] for price in prices]}


def _shape_of(standing: Standing) -> Wire:
    own = standing.own_currency

    def amount(value: int) -> Wire:
        return shape_of_amount(value, standing.currency) if own is None else shape_of_units(value, own)

    return {
        "available_balance": amount(standing.available),
        "ledger_balance": amount(standing.left),
        # Ours: what reservations hold. It is on the ledger, and not available.
        "reserved_balance": amount(standing.held),
    }
