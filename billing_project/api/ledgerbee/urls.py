"""Every address of LedgerBee's dialect, below ``/api/v1``. What is not here is answered in LedgerBee's shape too."""

from typing import Any, NoReturn

from django.http import HttpRequest
from django.urls import URLPattern, URLResolver, include, path, re_path
from django.views.decorators.csrf import csrf_exempt

from billing_project.api.ledgerbee.api_key import ApiKeyViewSet
from billing_project.api.ledgerbee.errors import no_such_route
from billing_project.api.ledgerbee.meter_report import report
from billing_project.api.ledgerbee.meters import MeterViewSet
from billing_project.api.ledgerbee.middleware import LedgerBeeMiddleware
from billing_project.serving.short_way import HotView, HotViews


@csrf_exempt
def no_such_address(request: HttpRequest, **_: Any) -> NoReturn:
    raise no_such_route(request)


urlpatterns: list[URLPattern | URLResolver] = [
    path(
        "api/v1/",
        include(
            [
                path("api-key", ApiKeyViewSet.as_view({"get": "describe"}), name="ledgerbee-api-key"),
                path("meters/report", report, name="ledgerbee-meter-report"),
                # Before the one with an id, for which "subscriptions" would pass.
                path(
                    "meters/subscriptions",
                    MeterViewSet.as_view({"get": "subscriptions_by_name"}),
                    name="ledgerbee-meter-subscriptions-by-name",
                ),
                path(
                    "meters/<str:meterId>/subscriptions",
                    MeterViewSet.as_view({"get": "subscriptions"}),
                    name="ledgerbee-meter-subscriptions",
                ),
            ]
        ),
    ),
    re_path(r"^api/v1(?:/[\s\S]*)?$", no_such_address),
]

# What is reported thousands of times a second.
hot_views: HotViews = {("POST", "/api/v1/meters/report"): HotView(report, LedgerBeeMiddleware, gathers=True)}
