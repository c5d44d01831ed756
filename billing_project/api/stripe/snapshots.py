"""What happens is told in Stripe's words: the outbox's tellers, one for each model and noun."""

from collections.abc import Callable, Collection, Sequence
from typing import TypeVar
from uuid import UUID

from django.db.models import Model, QuerySet

from accounts.models import Customer, Environment, TestClock
from billing_project.api.stripe.auto_recharges import shape_of_auto_recharge
from billing_project.api.stripe.clocks import shape_of_test_clock
from billing_project.api.stripe.coupons import shape_of_coupon
from billing_project.api.stripe.credit_balance_transactions import shape_of_transaction
from billing_project.api.stripe.credit_grants import shape_of_grant
from billing_project.api.stripe.credit_notes import shape_of_credit_note
from billing_project.api.stripe.customers import shape_of_customer
from billing_project.api.stripe.discounts import shape_of_discount
from billing_project.api.stripe.invoice_items import shape_of_invoice_item
from billing_project.api.stripe.invoice_payments import shape_of_payment
from billing_project.api.stripe.invoices import shape_of_invoice, shape_of_preview
from billing_project.api.stripe.kinds import (
    AUTO_RECHARGE,
    COUPON,
    CREDIT_GRANT,
    CREDIT_NOTE,
    CREDIT_TRANSACTION,
    CUSTOMER,
    DISCOUNT,
    INVOICE,
    INVOICE_ITEM,
    INVOICE_PAYMENT,
    METER,
    PRICE,
    PRODUCT,
    PROMOTION_CODE,
    SUBSCRIPTION,
    SUBSCRIPTION_SCHEDULE,
    TAX_RATE,
    TEST_CLOCK,
    Kind,
)
from billing_project.api.stripe.meters import shape_of_meter
from billing_project.api.stripe.objects import write, write_all
from billing_project.api.stripe.prices import shape_of_plan, shape_of_price
from billing_project.api.stripe.products import shape_of_product
from billing_project.api.stripe.promotion_codes import shape_of_promotion_code
from billing_project.api.stripe.signing import StripeMessenger
from billing_project.api.stripe.subscription_schedules import shape_of_schedule
from billing_project.api.stripe.subscriptions import shape_of_subscription
from billing_project.api.stripe.tax_rates import shape_of_tax_rate
from billing_project.api.stripe.wire import Wire
from credits.models import CreditGrant, LedgerEntry
from invoices.models import AutoRecharge, CreditNote, Invoice, InvoiceItem, Payment
from invoices.services import PreviewedInvoice
from meters.models import Meter
from subscriptions.models import (
    Coupon,
    Discount,
    Price,
    Product,
    PromotionCode,
    Subscription,
    SubscriptionSchedule,
    TaxRate,
)
from webhooks.snapshots import Snapshots, Teller, Viewer, register, register_messenger, register_viewer

M = TypeVar("M", bound=Model)


def _everything(rows: "QuerySet[M]") -> "QuerySet[M]":
    return rows


def _tell(
    model: type[M],
    kind: Kind[M],
    noun: str,
    shape: Callable[[M], Wire],
    among: "Callable[[QuerySet[M]], QuerySet[M]]" = _everything,
) -> None:
    """Have a model's rows told as objects of the API.

    :param noun: what stands before the verb in a type of event
    :param among: leaves the rows that the noun fits
    """

    def take(environment: Environment, pks: Collection[UUID]) -> Snapshots:
        return told(environment, list(among(kind.complete(environment).filter(pk__in=pks))))

    def tell(environment: Environment, rows: Sequence[M]) -> Snapshots:
        if among is not _everything:
            return take(environment, [row.pk for row in rows])
        with kind.bring(environment, rows) as ready:
            return told(environment, ready)

    def told(environment: Environment, rows: Sequence[M]) -> Snapshots:
        written = write_all(map(shape, rows), livemode=environment.is_live)
        return {row.pk: snapshot for row, snapshot in zip(rows, written, strict=True)}

    register(model, Teller(noun, take, tell))


def _upcoming(environment: Environment, preview: PreviewedInvoice) -> Wire:
    """An invoice that is not there yet has no id."""
    shape = {name: value for name, value in shape_of_preview(preview).items() if name != "id"}
    return write(shape, {}, livemode=environment.is_live)


def _recurring(prices: QuerySet[Price]) -> QuerySet[Price]:
    return prices.exclude(interval="")


def tell_all() -> None:
    """Called once, when a process starts."""
    register_messenger(StripeMessenger())
    _tell(Meter, METER, "billing.meter", shape_of_meter)
    _tell(Customer, CUSTOMER, "customer", shape_of_customer)
    _tell(Product, PRODUCT, "product", shape_of_product)
    _tell(Price, PRICE, "price", shape_of_price)
    # The same row in older words, which know only what recurs.
    _tell(Price, PRICE, "plan", shape_of_plan, _recurring)
    _tell(Coupon, COUPON, "coupon", shape_of_coupon)
    _tell(PromotionCode, PROMOTION_CODE, "promotion_code", shape_of_promotion_code)
    _tell(TaxRate, TAX_RATE, "tax_rate", shape_of_tax_rate)
    _tell(Discount, DISCOUNT, "customer.discount", shape_of_discount)
    _tell(Subscription, SUBSCRIPTION, "customer.subscription", shape_of_subscription)
    _tell(SubscriptionSchedule, SUBSCRIPTION_SCHEDULE, "subscription_schedule", shape_of_schedule)
    _tell(CreditGrant, CREDIT_GRANT, "billing.credit_grant", shape_of_grant)
    _tell(LedgerEntry, CREDIT_TRANSACTION, "billing.credit_balance_transaction", shape_of_transaction)
    _tell(AutoRecharge, AUTO_RECHARGE, "billing.auto_recharge", shape_of_auto_recharge)
    register_viewer(PreviewedInvoice, Viewer("invoice", _upcoming))
    _tell(Invoice, INVOICE, "invoice", shape_of_invoice)
    _tell(Payment, INVOICE_PAYMENT, "invoice_payment", shape_of_payment)
    _tell(CreditNote, CREDIT_NOTE, "credit_note", shape_of_credit_note)
    _tell(TestClock, TEST_CLOCK, "test_helpers.test_clock", shape_of_test_clock)
    _tell(InvoiceItem, INVOICE_ITEM, "invoiceitem", shape_of_invoice_item)
