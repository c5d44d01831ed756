"""What may be said of invoices."""

from typing import Any

from rest_framework.exceptions import ErrorDetail, ValidationError

from billing_project.api.stripe.discounts import DiscountParams
from billing_project.api.stripe.fields import (
    UNKNOWN,
    Array,
    Choice,
    CreatedListParams,
    Flag,
    Integer,
    Metadata,
    Params,
    Ref,
    RetrieveParams,
    Text,
    TimeRange,
    exclusive,
    required,
)
from billing_project.api.stripe.kinds import CUSTOMER, INVOICE, SUBSCRIPTION, TAX_RATE
from subscriptions.models import Subscription
from subscriptions.services.discounts import MAX_DISCOUNTS
from subscriptions.services.taxes import MAX_TAX_RATES

_UNSERVED = (
    "account_tax_ids",
    "application_fee_amount",
    "automatic_tax",
    "automatically_finalizes_at",
    "customer_account",
    "default_payment_method",
    "default_source",
    "due_date",
    "effective_at",
    "issuer",
    "number",
    "on_behalf_of",
    "payment_settings",
    "rendering",
    "shipping_cost",
    "shipping_details",
    "statement_descriptor",
    "transfer_data",
)


class InvoiceListParams(CreatedListParams):
    customer = Ref(CUSTOMER)
    subscription = Ref(SUBSCRIPTION)
    status = Choice("draft", "open", "paid", "uncollectible", "void")
    collection_method = Choice("charge_automatically", "send_invoice")
    due_date = TimeRange()

    unserved = ("customer_account",)


class CustomFieldParams(Params):
    name = Text(40, required=True)
    value = Text(140, required=True)


class InvoiceWordsParams(RetrieveParams):
    """What is said on an invoice, and how it is collected: of creation and update alike."""

    description = Text(1500, clearable="")
    footer = Text(5000, clearable="")
    custom_fields = Array(CustomFieldParams(), most=4, clearable=())
    metadata = Metadata()
    collection_method = Choice(*Subscription.CollectionMethod.values)
    days_until_due = Integer(least=0, most=3650)
    auto_advance = Flag()
    discounts = Array(DiscountParams(), most=MAX_DISCOUNTS, clearable=[])
    default_tax_rates = Array(Ref(TAX_RATE), most=MAX_TAX_RATES, clearable=[])

    unserved = _UNSERVED


class RevisionParams(Params):
    action = Choice("revision", required=True)
    invoice = Ref(INVOICE, required=True)


class NewInvoiceParams(InvoiceWordsParams):
    from_invoice = RevisionParams()
    customer = Ref(CUSTOMER, among=lambda customers: customers.filter(deleted_at=None))
    subscription = Ref(SUBSCRIPTION)
    currency = Text(3)
    pending_invoice_items_behavior = Choice("include", "exclude", default="exclude")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        required(attrs, "customer", "subscription", "from_invoice")
        # A revision is for whom, and for what, its original was.
        for name in ("customer", "subscription", "currency"):
            exclusive(attrs, "from_invoice", name)
        return attrs


class FinalizeParams(RetrieveParams):
    unserved = ("auto_advance",)


class PayParams(RetrieveParams):
    paid_out_of_band = Flag(required=True)

    unserved = ("forgive", "mandate", "off_session", "payment_method", "source")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs["paid_out_of_band"]:
            message = "Payments are not collected here yet: only paid_out_of_band=true is accepted"
            raise ValidationError({"paid_out_of_band": [ErrorDetail(message, UNKNOWN)]})
        return attrs


def renamed(params: dict[str, Any]) -> dict[str, Any]:
    """The parameters under the domain's names."""
    names = {"auto_advance": "finalizes_itself", "default_tax_rates": "tax_rates"}
    return {names.get(name, name): value for name, value in params.items()}


def terms_and_words(params: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """What a draft is to stand under, and what is said on it."""
    words = renamed(params)
    names = ("collection_method", "days_until_due", "finalizes_itself", "discounts", "tax_rates")
    return {name: words.pop(name) for name in names if name in words}, words
