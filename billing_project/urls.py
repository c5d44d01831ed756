"""Every address of Tollbook. The dialects' folders are mounted here and nowhere else."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from billing_project.api.common.openapi import openapi_urls
from billing_project.api.ledgerbee import openapi as ledgerbee
from billing_project.api.ledgerbee.urls import hot_views as ledgerbee_hot_views
from billing_project.api.paymentkit import openapi as paymentkit
from billing_project.api.stripe import openapi as stripe
from billing_project.api.stripe.urls import hot_views as stripe_hot_views
from billing_project.console.import_page import import_page
from billing_project.health import healthz
from billing_project.serving.short_way import HotViews

urlpatterns = [
    # Whoever opens the bare address, or types the console's without its slash, is a person.
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/import/", admin.site.admin_view(import_page), name="console-import"),
    path("admin/", admin.site.urls),
    path("healthz", healthz),
    path("i/", include("billing_project.hosted.urls")),
    path("openapi/", include(openapi_urls([stripe.DIALECT, ledgerbee.DIALECT, paymentkit.DIALECT]))),
    path("", include("billing_project.api.stripe.urls")),
    path("", include("billing_project.api.ledgerbee.urls")),
    # After the one that has an address below its own.
    path("", include("billing_project.api.paymentkit.urls")),
]

# Those of them that are answered on the short way.
hot_views: HotViews = {**stripe_hot_views, **ledgerbee_hot_views}
