"""Every address of Payment Kit's dialect, below ``/api``. What is not here is answered in Payment Kit's shape too."""

from typing import Any, NoReturn

from django.http import HttpRequest
from django.urls import URLPattern, URLResolver, include, path, re_path
from django.views.decorators.csrf import csrf_exempt

from billing_project.api.paymentkit import errors
from billing_project.api.paymentkit.auto_recharge_configs import AutoRechargeConfigViewSet
from billing_project.api.paymentkit.credit_grants import CreditGrantViewSet
from billing_project.api.paymentkit.credit_transactions import CreditTransactionViewSet
from billing_project.api.paymentkit.customers import CustomerViewSet
from billing_project.api.paymentkit.invoices import InvoiceViewSet, OverdueViewSet
from billing_project.api.paymentkit.meter_events import MeterEventViewSet
from billing_project.api.paymentkit.meters import MeterViewSet
from billing_project.api.paymentkit.payment_currencies import PaymentCurrencyViewSet
from billing_project.api.paymentkit.prices import PriceViewSet
from billing_project.api.paymentkit.products import ProductViewSet
from billing_project.api.paymentkit.recharge_configs import RechargeConfigViewSet
from billing_project.api.paymentkit.subscription_items import SubscriptionItemViewSet
from billing_project.api.paymentkit.subscriptions import SubscriptionViewSet
from billing_project.api.paymentkit.usage_records import UsageRecordViewSet


@csrf_exempt
def no_such_address(request: HttpRequest, **_: Any) -> NoReturn:
    raise errors.no_such_address(request)


_MANY: dict[str, Any] = {"get": "list", "post": "create"}
_ONE: dict[str, Any] = {"get": "retrieve", "put": "update"}
_ONE_THAT_GOES: dict[str, Any] = {**_ONE, "delete": "destroy"}

# Static words stand before ids, for which they would pass.
_below = [
    path("meters", MeterViewSet.as_view(_MANY), name="paymentkit-meters"),
    path("meters/<str:pk>/activate", MeterViewSet.as_view({"put": "activate"}), name="paymentkit-meter-activate"),
    path("meters/<str:pk>/deactivate", MeterViewSet.as_view({"put": "deactivate"}), name="paymentkit-meter-deactivate"),
    path("meters/<str:pk>", MeterViewSet.as_view(_ONE), name="paymentkit-meter"),
    path("meter-events", MeterEventViewSet.as_view(_MANY), name="paymentkit-meter-events"),
    path("meter-events/stats", MeterEventViewSet.as_view({"get": "stats"}), name="paymentkit-meter-event-stats"),
    path(
        "meter-events/pending-amount",
        MeterEventViewSet.as_view({"get": "pending_amount"}),
        name="paymentkit-pending-amount",
    ),
    path("meter-events/<str:pk>", MeterEventViewSet.as_view({"get": "retrieve"}), name="paymentkit-meter-event"),
    path("credit-grants", CreditGrantViewSet.as_view(_MANY), name="paymentkit-grants"),
    path("credit-grants/summary", CreditGrantViewSet.as_view({"get": "summary"}), name="paymentkit-grant-summary"),
    path(
        "credit-grants/verify-availability",
        CreditGrantViewSet.as_view({"get": "verify_availability"}),
        name="paymentkit-availability",
    ),
    path("credit-grants/holders", CreditGrantViewSet.as_view({"get": "holders"}), name="paymentkit-holders"),
    path("credit-grants/stats", CreditGrantViewSet.as_view({"get": "stats"}), name="paymentkit-grant-stats"),
    path("credit-grants/<str:pk>", CreditGrantViewSet.as_view(_ONE), name="paymentkit-grant"),
    path(
        "credit-transactions", CreditTransactionViewSet.as_view({"get": "list"}), name="paymentkit-credit-transactions"
    ),
    path(
        "credit-transactions/summary",
        CreditTransactionViewSet.as_view({"get": "summary"}),
        name="paymentkit-credit-transaction-summary",
    ),
    path(
        "credit-transactions/<str:pk>",
        CreditTransactionViewSet.as_view({"get": "retrieve"}),
        name="paymentkit-credit-transaction",
    ),
    path("customers", CustomerViewSet.as_view({"get": "list"}), name="paymentkit-customers"),
    path("customers/search", CustomerViewSet.as_view({"get": "search"}), name="paymentkit-customer-search"),
    path(
        "customers/<str:pk>/overdue/invoices",
        OverdueViewSet.as_view({"get": "of_customer"}),
        name="paymentkit-customer-overdue",
    ),
    path("customers/<str:pk>", CustomerViewSet.as_view(_ONE), name="paymentkit-customer"),
    path("payment-currencies", PaymentCurrencyViewSet.as_view(_MANY), name="paymentkit-currencies"),
    path(
        "payment-currencies/check-recurring-support",
        PaymentCurrencyViewSet.as_view({"post": "check_recurring_support"}),
        name="paymentkit-recurring-support",
    ),
    path(
        "payment-currencies/<str:pk>/recharge-config",
        RechargeConfigViewSet.as_view(_ONE),
        name="paymentkit-recharge-config",
    ),
    path("payment-currencies/<str:pk>", PaymentCurrencyViewSet.as_view(_ONE), name="paymentkit-currency"),
    path("products", ProductViewSet.as_view(_MANY), name="paymentkit-products"),
    path("products/search", ProductViewSet.as_view({"get": "search"}), name="paymentkit-product-search"),
    path("products/<str:pk>/archive", ProductViewSet.as_view({"put": "archive"}), name="paymentkit-product-archive"),
    path("products/<str:pk>", ProductViewSet.as_view(_ONE_THAT_GOES), name="paymentkit-product"),
    path("prices", PriceViewSet.as_view(_MANY), name="paymentkit-prices"),
    path("prices/search", PriceViewSet.as_view({"get": "search"}), name="paymentkit-price-search"),
    path("prices/<str:pk>/archive", PriceViewSet.as_view({"put": "archive"}), name="paymentkit-price-archive"),
    path("prices/<str:pk>", PriceViewSet.as_view(_ONE_THAT_GOES), name="paymentkit-price"),
    path("subscriptions", SubscriptionViewSet.as_view(_MANY), name="paymentkit-subscriptions"),
    path("subscriptions/search", SubscriptionViewSet.as_view({"get": "search"}), name="paymentkit-subscription-search"),
    *(
        path(
            f"subscriptions/<str:pk>/{word}",
            SubscriptionViewSet.as_view({"put": word}),
            name=f"paymentkit-subscription-{word}",
        )
        for word in ("cancel", "recover", "pause", "resume")
    ),
    path(
        "subscriptions/<str:pk>/overdue/invoices",
        OverdueViewSet.as_view({"get": "of_subscription"}),
        name="paymentkit-subscription-overdue",
    ),
    path("subscriptions/<str:pk>", SubscriptionViewSet.as_view(_ONE), name="paymentkit-subscription"),
    path("subscription-items", SubscriptionItemViewSet.as_view(_MANY), name="paymentkit-subscription-items"),
    path(
        "subscription-items/<str:pk>",
        SubscriptionItemViewSet.as_view(_ONE_THAT_GOES),
        name="paymentkit-subscription-item",
    ),
    path("usage-records", UsageRecordViewSet.as_view(_MANY), name="paymentkit-usage-records"),
    path("usage-records/summary", UsageRecordViewSet.as_view({"get": "summary"}), name="paymentkit-usage-summary"),
    path("invoices", InvoiceViewSet.as_view({"get": "list"}), name="paymentkit-invoices"),
    path("invoices/search", InvoiceViewSet.as_view({"get": "search"}), name="paymentkit-invoice-search"),
    path("invoices/<str:pk>/void", InvoiceViewSet.as_view({"post": "void"}), name="paymentkit-invoice-void"),
    path("invoices/<str:pk>", InvoiceViewSet.as_view(_ONE), name="paymentkit-invoice"),
    path(
        "auto-recharge-configs/submit",
        AutoRechargeConfigViewSet.as_view({"post": "submit"}),
        name="paymentkit-recharge-submit",
    ),
    path(
        "auto-recharge-configs/retrieve/<str:pk>",
        AutoRechargeConfigViewSet.as_view({"get": "retrieve"}),
        name="paymentkit-recharge",
    ),
    path(
        "auto-recharge-configs/customer/<str:pk>",
        AutoRechargeConfigViewSet.as_view({"get": "of_customer"}),
        name="paymentkit-recharge-of-customer",
    ),
]

urlpatterns: list[URLPattern | URLResolver] = [
    path("api/", include(_below)),
    re_path(r"^api(?:/[\s\S]*)?$", no_such_address),
]
