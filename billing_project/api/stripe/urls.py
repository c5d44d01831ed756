"""Every address of Stripe's dialect, below ``/v1/`` and ``/v2/``. What is not here is answered in Stripe's shape too."""

from typing import Any, NoReturn

from django.http import HttpRequest
from django.urls import URLPattern, URLResolver, include, path, re_path
from django.views.decorators.csrf import csrf_exempt
from rest_framework.routers import DynamicRoute, Route, SimpleRouter

from billing_project.api.stripe.analytics import MeterUsageViewSet
from billing_project.api.stripe.balance_transactions import BalanceTransactionViewSet
from billing_project.api.stripe.clocks import TestClockViewSet
from billing_project.api.stripe.coupons import CouponViewSet
from billing_project.api.stripe.credit_balance_summary import CreditBalanceSummaryViewSet
from billing_project.api.stripe.credit_balance_transactions import CreditBalanceTransactionViewSet
from billing_project.api.stripe.credit_grants import CreditGrantViewSet
from billing_project.api.stripe.credit_notes import CreditNoteViewSet
from billing_project.api.stripe.credit_reservations import CreditReservationViewSet
from billing_project.api.stripe.customers import CustomerViewSet
from billing_project.api.stripe.errors import unrecognized
from billing_project.api.stripe.events import EventViewSet
from billing_project.api.stripe.invoice_items import InvoiceItemViewSet
from billing_project.api.stripe.invoice_payments import InvoicePaymentViewSet
from billing_project.api.stripe.invoices import InvoiceViewSet
from billing_project.api.stripe.meter_event_adjustments import MeterEventAdjustmentViewSet
from billing_project.api.stripe.meter_event_bulk import create_meter_events_in_bulk
from billing_project.api.stripe.meter_event_list import MeterEventViewSet
from billing_project.api.stripe.meter_events import meter_events
from billing_project.api.stripe.meters import MeterViewSet
from billing_project.api.stripe.middleware import StripeMiddleware
from billing_project.api.stripe.plain import by_method
from billing_project.api.stripe.plans import PlanViewSet
from billing_project.api.stripe.prices import PriceViewSet
from billing_project.api.stripe.products import ProductViewSet
from billing_project.api.stripe.promotion_codes import PromotionCodeViewSet
from billing_project.api.stripe.subscription_items import SubscriptionItemViewSet
from billing_project.api.stripe.subscription_schedules import SubscriptionScheduleViewSet
from billing_project.api.stripe.subscriptions import SubscriptionViewSet
from billing_project.api.stripe.tax_rates import TaxRateViewSet
from billing_project.api.stripe.v2 import core_events
from billing_project.api.stripe.v2 import meter_event_adjustments as v2_adjustments
from billing_project.api.stripe.v2 import meter_events as v2_events
from billing_project.api.stripe.webhook_endpoints import WebhookEndpointViewSet
from billing_project.serving.short_way import HotView, HotViews


class StripeRouter(SimpleRouter):
    """No trailing slashes, and an update is a POST on the object."""

    routes = [
        Route("^{prefix}{trailing_slash}$", {"get": "list", "post": "create"}, "{basename}-list", False, {}),
        DynamicRoute("^{prefix}/{url_path}{trailing_slash}$", "{basename}-{url_name}", False, {}),
        Route(
            "^{prefix}/{lookup}{trailing_slash}$",
            {"get": "retrieve", "post": "update", "delete": "destroy"},
            "{basename}-detail",
            True,
            {},
        ),
        DynamicRoute("^{prefix}/{lookup}/{url_path}{trailing_slash}$", "{basename}-{url_name}", True, {}),
    ]


@csrf_exempt
def no_such_address(request: HttpRequest, **_: Any) -> NoReturn:
    raise unrecognized(request)


router = StripeRouter(trailing_slash=False)
router.register("billing/meters", MeterViewSet, "meter")
router.register("events", EventViewSet, "event")
router.register("billing/credit_grants", CreditGrantViewSet, "credit_grant")
router.register("billing/credit_reservations", CreditReservationViewSet, "credit_reservation")
router.register("webhook_endpoints", WebhookEndpointViewSet, "webhook_endpoint")
router.register("customers", CustomerViewSet, "customer")
router.register("products", ProductViewSet, "product")
router.register("prices", PriceViewSet, "price")
router.register("plans", PlanViewSet, "plan")
router.register("coupons", CouponViewSet, "coupon")
router.register("promotion_codes", PromotionCodeViewSet, "promotion_code")
router.register("tax_rates", TaxRateViewSet, "tax_rate")
router.register("subscriptions", SubscriptionViewSet, "subscription")
router.register("subscription_schedules", SubscriptionScheduleViewSet, "subscription_schedule")
router.register("subscription_items", SubscriptionItemViewSet, "subscription_item")
router.register("invoices", InvoiceViewSet, "invoice")
router.register("invoice_payments", InvoicePaymentViewSet, "invoice_payment")
router.register("credit_notes", CreditNoteViewSet, "credit_note")
router.register("test_helpers/test_clocks", TestClockViewSet, "test_clock")
router.register("invoiceitems", InvoiceItemViewSet, "invoice_item")

urlpatterns: list[URLPattern | URLResolver] = [
    re_path(
        r"^v1/",
        include(
            [
                path(
                    "billing/meter_events",
                    by_method(post=meter_events, get=MeterEventViewSet.as_view({"get": "list"})),
                    name="meter_event-list",
                ),
                path("billing/meter_events/bulk", by_method(post=create_meter_events_in_bulk), name="meter_event-bulk"),
                path(
                    "billing/analytics/meter_usage",
                    MeterUsageViewSet.as_view({"get": "show"}),
                    name="analytics-meter-usage",
                ),
                path(
                    "billing/credit_balance_summary",
                    CreditBalanceSummaryViewSet.as_view({"get": "show"}),
                    name="credit_balance_summary",
                ),
                path(
                    "billing/credit_balance_transactions",
                    CreditBalanceTransactionViewSet.as_view({"get": "list"}),
                    name="credit_balance_transaction-list",
                ),
                re_path(
                    "^billing/credit_balance_transactions/(?P<pk>[^/]+)$",
                    CreditBalanceTransactionViewSet.as_view({"get": "retrieve"}),
                    name="credit_balance_transaction-detail",
                ),
                # Stripe has no way to look at one again.
                path(
                    "billing/meter_event_adjustments",
                    MeterEventAdjustmentViewSet.as_view({"post": "create"}),
                    name="meter_event_adjustment-list",
                ),
                path(
                    "customers/<str:customer>/balance_transactions",
                    BalanceTransactionViewSet.as_view({"get": "list", "post": "create"}),
                    name="balance_transaction-list",
                ),
                path(
                    "customers/<str:customer>/balance_transactions/<str:pk>",
                    BalanceTransactionViewSet.as_view({"get": "retrieve", "post": "update"}),
                    name="balance_transaction-detail",
                ),
                *router.urls,
            ]
        ),
    ),
    re_path(
        r"^v2/",
        include(
            [
                path("core/events", by_method(get=core_events.list_events), name="v2-event-list"),
                path("core/events/<str:pk>", by_method(get=core_events.retrieve_event), name="v2-event-detail"),
                path("billing/meter_events", by_method(post=v2_events.create_event), name="v2-meter_event-list"),
                path(
                    "billing/meter_event_session",
                    by_method(post=v2_events.create_session),
                    name="v2-meter_event_session-list",
                ),
                path(
                    "billing/meter_event_adjustments",
                    by_method(post=v2_adjustments.create_adjustment),
                    name="v2-meter_event_adjustment-list",
                ),
                path(
                    "billing/meter_event_stream",
                    by_method(post=v2_events.create_stream),
                    name="v2-meter_event_stream-list",
                ),
            ]
        ),
    ),
    re_path(r"^v[12](?:/[\s\S]*)?$", no_such_address),
]

# What is reported thousands of times a second.
hot_views: HotViews = {
    ("POST", "/v1/billing/meter_events"): HotView(meter_events, StripeMiddleware, gathers=True),
    ("POST", "/v2/billing/meter_events"): HotView(v2_events.create_event, StripeMiddleware, gathers=True),
    ("POST", "/v2/billing/meter_event_stream"): HotView(v2_events.create_stream, StripeMiddleware, gathers=False),
}
