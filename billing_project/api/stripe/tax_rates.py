"""/v1/tax_rates."""

from django.db.models import Model
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Scope
from billing_project.api.stripe.fields import (
    Choice,
    CreatedListParams,
    DecimalText,
    Flag,
    Metadata,
    RetrieveParams,
    Text,
)
from billing_project.api.stripe.kinds import TAX_RATE
from billing_project.api.stripe.objects import Embedded
from billing_project.api.stripe.pagination import in_range
from billing_project.api.stripe.viewsets import StripeViewSet
from billing_project.api.stripe.wire import Wire, number, timestamp
from core.related import rows_of
from subscriptions import services
from subscriptions.models import TaxRate

_TAX_TYPES = (
    "admissions_tax",
    "amusement_tax",
    "attendance_tax",
    "communications_tax",
    "digital_excise_tax",
    "entertainment_tax",
    "get_fund",
    "gross_receipts_tax",
    "gst",
    "hospitality_tax",
    "hst",
    "igst",
    "jct",
    "lease_tax",
    "luxury_tax",
    "mass_transit_parking_tax",
    "nhil",
    "parking_tax",
    "pst",
    "qst",
    "resort_tax",
    "retail_delivery_fee",
    "rst",
    "sales_tax",
    "service_tax",
    "tourism_tax",
    "utility_users_tax",
    "vat",
)


@TAX_RATE.shaped
def shape_of_tax_rate(tax_rate: TaxRate) -> Wire:
    return {
        "id": TAX_RATE.id_of(tax_rate),
        "object": "tax_rate",
        "active": tax_rate.active,
        "country": tax_rate.country or None,
        "created": timestamp(tax_rate.created_at),
        "description": tax_rate.description or None,
        "display_name": tax_rate.display_name,
        "effective_percentage": number(tax_rate.percentage),
        "flat_amount": None,
        "inclusive": tax_rate.inclusive,
        "jurisdiction": tax_rate.jurisdiction or None,
        "jurisdiction_level": None,
        "metadata": tax_rate.metadata,
        "percentage": number(tax_rate.percentage),
        "rate_type": "percentage",
        "state": tax_rate.state or None,
        "tax_type": tax_rate.tax_type or None,
    }


def tax_rates_of(owner: Model) -> list[Embedded]:
    """The rates that are asked for something that has ``tax_rates``, written out."""
    return [Embedded(shape_of_tax_rate, one.tax_rate) for one in rows_of(owner, "tax_rates")]


class TaxRateUpdateParams(RetrieveParams):
    display_name = Text(100)
    active = Flag()
    country = Text(2, clearable="")
    state = Text(3, clearable="")
    jurisdiction = Text(50, clearable="")
    tax_type = Choice(*_TAX_TYPES, clearable="")
    description = Text(500, clearable="")
    metadata = Metadata()


class TaxRateParams(TaxRateUpdateParams):
    display_name = Text(100, required=True)
    percentage = DecimalText(places=4, required=True)
    inclusive = Flag(required=True)


class TaxRateListParams(CreatedListParams):
    active = Flag()
    inclusive = Flag()


class TaxRateViewSet(StripeViewSet[TaxRate]):
    kind = TAX_RATE
    read_scope = Scope.PRODUCTS_READ
    write_scope = Scope.PRODUCTS_WRITE

    def list(self, request: Request) -> Response:
        params = self.validated(TaxRateListParams)
        same = {name: params[name] for name in ("active", "inclusive") if name in params}
        return self.listed(self.get_queryset().filter(**in_range(params), **same), params)

    def create(self, request: Request) -> Response:
        params = self.validated(TaxRateParams)
        return self.respond(services.create_tax_rate(environment=self.environment, now=self.now, **params))

    def update(self, request: Request, pk: str) -> Response:
        params = self.validated(TaxRateUpdateParams)
        return self.respond(services.update_tax_rate(tax_rate=self.row(pk), now=self.now, **params))
