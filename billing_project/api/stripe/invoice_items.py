"""/v1/invoiceitems."""

from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Any, ClassVar, cast

from django.db.models import Prefetch, QuerySet
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Customer, Scope
from billing_project.api.stripe.changes import OncePriceDataParams, Prices
from billing_project.api.stripe.customers import customer_reference, test_clock_of
from billing_project.api.stripe.discounts import reference_to_discount
from billing_project.api.stripe.fields import (
    MISSING,
    CreatedListParams,
    DecimalText,
    Flag,
    Integer,
    Metadata,
    Params,
    Ref,
    RetrieveParams,
    Text,
    Timestamp,
    exclusive,
    required,
)
from billing_project.api.stripe.item_terms import ItemTermsParams
from billing_project.api.stripe.kinds import (
    CUSTOMER,
    INVOICE,
    INVOICE_ITEM,
    PRICE,
    PRODUCT,
    SUBSCRIPTION,
    SUBSCRIPTION_ITEM,
)
from billing_project.api.stripe.objects import Reference, References
from billing_project.api.stripe.pagination import in_range
from billing_project.api.stripe.tax_rates import tax_rates_of
from billing_project.api.stripe.viewsets import StripeViewSet
from billing_project.api.stripe.wire import Wire, timestamp
from core.money import plain
from core.periods import Period
from invoices import services
from invoices.models import InvoiceItem, ItemTaxRate
from subscriptions.models import Price

_PLACES = 12
_LARGEST = 10**12
# The ways to say what an item costs; an update may leave that alone.
_COSTS = ("amount", "pricing", "price", "price_data", "unit_amount_decimal", "unit_amount")
_UNSERVED = ("customer_account", "tax_behavior", "tax_code")


@INVOICE_ITEM.shaped
def shape_of_invoice_item(item: InvoiceItem) -> Wire:
    return {
        "id": INVOICE_ITEM.id_of(item),
        "object": "invoiceitem",
        "amount": item.amount,
        "currency": item.currency,
        "customer": customer_reference(item.customer),
        "customer_account": None,
        "date": timestamp(item.created_at),
        "description": item.description or None,
        "discountable": item.is_discountable,
        "discounts": References(
            [reference_to_discount(item.environment, row.discount_id) for row in item.discounts.all()]
        ),
        "invoice": Reference.to(INVOICE, item.invoice_id, item.environment),
        "metadata": item.metadata,
        # Of what is discountable it depends on the invoice.
        "net_amount": None if item.is_discountable else item.amount,
        "parent": _shape_of_parent(item),
        "period": {"end": timestamp(item.period_end), "start": timestamp(item.period_start)},
        "pricing": shape_of_pricing(item.price, item.unit_amount),
        "proration": item.is_proration,
        "proration_details": {"discount_amounts": []} if item.is_proration else None,
        "quantity": int(item.quantity),
        "quantity_decimal": plain(item.quantity),
        "tax_rates": tax_rates_of(item),
        "test_clock": test_clock_of(item.customer),
    }


def shape_of_pricing(price: Price | None, unit_amount: Decimal | None) -> Wire | None:
    """What a line or an invoice item was priced by."""
    amount = None if unit_amount is None else plain(unit_amount)
    if price is None:
        return None if amount is None else {"type": "unit_amount", "unit_amount_decimal": amount}

    def load() -> Price:
        return price

    return {
        "price_details": {"price": Reference(PRICE, PRICE.id_of(price), load), "product": PRODUCT.id_of(price.product)},
        "type": "price_details",
        "unit_amount_decimal": amount,
    }


def _shape_of_parent(item: InvoiceItem) -> Wire | None:
    if item.subscription_id is None:
        return None
    details = {"subscription": SUBSCRIPTION.spell(item.subscription_id)}
    if item.subscription_item_id is not None:
        details["subscription_item"] = SUBSCRIPTION_ITEM.spell(item.subscription_item_id)
    return {"subscription_details": details, "type": "subscription_details"}


@INVOICE_ITEM.completed
def complete(items: QuerySet[InvoiceItem]) -> QuerySet[InvoiceItem]:
    prices = Price.objects.select_related("product").prefetch_related("tiers")
    rates = ItemTaxRate.objects.select_related("tax_rate")
    return items.select_related("customer__test_clock", "environment").prefetch_related(
        Prefetch("price", prices), Prefetch("tax_rates", rates), "discounts"
    )


class PeriodParams(Params):
    start = Timestamp(required=True)
    end = Timestamp(required=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["end"] < attrs["start"]:
            raise ValidationError({"end": [ErrorDetail("The period must not end before it starts")]})
        return attrs


class PricingParams(Params):
    price = Ref(PRICE, required=True)


class InvoiceItemTermsParams(ItemTermsParams):
    """What an item costs and is called, and what it stands under: of creation, update and preview alike."""

    amount = Integer(least=-_LARGEST, most=_LARGEST)
    unit_amount_decimal = DecimalText(places=_PLACES)
    pricing = PricingParams()
    price_data = OncePriceDataParams()
    # Older words for the same.
    price = Ref(PRICE)
    unit_amount = Integer(least=-_LARGEST, most=_LARGEST)
    quantity = Integer(least=0)
    quantity_decimal = DecimalText(places=_PLACES)
    description = Text(500, clearable="")
    discountable = Flag()
    period = PeriodParams()
    metadata = Metadata()

    unserved: ClassVar[Collection[str]] = _UNSERVED

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        exclusive(attrs, *_COSTS)
        exclusive(attrs, "quantity", "quantity_decimal")
        if "amount" in attrs:
            exclusive(attrs, "amount", "quantity", "quantity_decimal")
        return attrs


class InvoiceItemParams(InvoiceItemTermsParams, RetrieveParams):
    pass


class PreviewedItemParams(InvoiceItemTermsParams):
    """An item that is not there, and might be."""

    currency = Text(3)

    unserved = (*_UNSERVED, "invoiceitem")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        required(attrs, *_COSTS)
        return super().validate(attrs)


class NewInvoiceItemParams(InvoiceItemParams):
    customer = Ref(CUSTOMER, among=lambda customers: customers.filter(deleted_at=None))
    currency = Text(3)
    subscription = Ref(SUBSCRIPTION)
    invoice = Ref(INVOICE)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        super().validate(attrs)
        if "customer" not in attrs and "invoice" not in attrs:
            raise ValidationError({"customer": [ErrorDetail("Missing required param: customer.", MISSING)]})
        required(attrs, *_COSTS)
        return attrs


class InvoiceItemListParams(CreatedListParams):
    customer = Ref(CUSTOMER)
    invoice = Ref(INVOICE)
    pending = Flag()

    unserved = ("customer_account",)


def terms_of(params: Mapping[str, Any], prices: Prices) -> services.ItemTerms:
    """What the parameters say of cost and words, in the domain's terms."""
    terms: dict[str, Any] = {
        name: params[name] for name in ("amount", "description", "metadata", "discounts", "tax_rates") if name in params
    }
    price = params["pricing"]["price"] if "pricing" in params else prices.of(params)
    if price is not None:
        terms["price"] = price
    for name in ("unit_amount", "quantity"):
        for given in (name, f"{name}_decimal"):
            if given in params:
                terms[name] = Decimal(params[given])
    if "discountable" in params:
        terms["is_discountable"] = params["discountable"]
    if "period" in params:
        terms["period"] = Period(params["period"]["start"], params["period"]["end"])
    return cast("services.ItemTerms", terms)


class InvoiceItemViewSet(StripeViewSet[InvoiceItem]):
    kind = INVOICE_ITEM
    read_scope = Scope.INVOICES_READ
    write_scope = Scope.INVOICES_WRITE

    def list(self, request: Request) -> Response:
        params = self.validated(InvoiceItemListParams)
        items = self.get_queryset().filter(**in_range(params))
        for name in ("customer", "invoice"):
            if name in params:
                items = items.filter(**{name: params[name]})
        if "pending" in params:
            items = items.filter(invoice__isnull=params["pending"])
        return self.listed(items, params)

    def create(self, request: Request) -> Response:
        params = self.validated(NewInvoiceItemParams)
        invoice, subscription = params.get("invoice"), params.get("subscription")
        customer = params["customer"] if "customer" in params else params["invoice"].customer
        prices = Prices(self.environment, self.now)
        item = services.create_invoice_item(
            environment=self.environment,
            customer=customer,
            currency=self._currency(params, customer),
            now=customer.now(self.now),
            subscription=subscription,
            invoice=invoice,
            **terms_of(params, prices),
        )
        prices.put_away()
        return self.respond(self.row(INVOICE_ITEM.id_of(item)))

    def update(self, request: Request, pk: str) -> Response:
        params = self.validated(InvoiceItemParams)
        item, prices = self.row(pk), Prices(self.environment, self.now)
        services.update_invoice_item(item=item, now=item.customer.now(self.now), **terms_of(params, prices))
        prices.put_away()
        return self.respond(self.row(pk))

    def destroy(self, request: Request, pk: str) -> Response:
        self.validated(RetrieveParams)
        item = self.row(pk)
        services.remove_invoice_item(item=item, now=item.customer.now(self.now))
        return Response({"id": pk, "object": "invoiceitem", "deleted": True})

    @staticmethod
    def _currency(params: Mapping[str, Any], customer: Customer) -> str:
        if "currency" in params:
            return str(params["currency"]).lower()
        if "invoice" in params:
            return str(params["invoice"].currency)
        return services.currency_of(customer, subscription=params.get("subscription"))
