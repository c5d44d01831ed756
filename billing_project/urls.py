"""Every address of Tollbook. The dialects' folders are mounted here and nowhere else."""

from django.contrib import admin
from django.urls import include, path

from billing_project.health import healthz

urlpatterns = [
    path("admin/", admin.site.urls),
    path("healthz", healthz),
    path("", include("billing_project.api.stripe.urls")),
]
