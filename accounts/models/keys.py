"""What programs show to be let in."""

import hashlib
from datetime import datetime
from typing import Self

from django.contrib.postgres.fields import ArrayField
from django.core.validators import validate_ipv46_address
from django.db import models
from django.utils.translation import gettext_lazy

from accounts.models.companies import Environment
from core.ids import new_id


class Scope(models.TextChoices):
    """What a key may do: report usage, and one read and one write scope per family of resources."""

    METER_REPORT = "meter-report"
    METERS_READ = "meters-read"
    METERS_WRITE = "meters-write"
    USAGE_READ = "usage-read"
    # Beside the right to report: usage of any age, beyond the window of 35 days.
    USAGE_WRITE = "usage-write"
    CUSTOMERS_READ = "customers-read"
    CUSTOMERS_WRITE = "customers-write"
    PRODUCTS_READ = "products-read"
    PRODUCTS_WRITE = "products-write"
    SUBSCRIPTIONS_READ = "subscriptions-read"
    SUBSCRIPTIONS_WRITE = "subscriptions-write"
    INVOICES_READ = "invoices-read"
    INVOICES_WRITE = "invoices-write"
    CREDITS_READ = "credits-read"
    CREDITS_WRITE = "credits-write"
    # What happened, objects of all families among it, and where it is told.
    EVENTS_READ = "events-read"
    EVENTS_WRITE = "events-write"


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    def with_secret(self, secret: str) -> Self:
        """The key that this secret opens, whatever its state."""
        return self.filter(digest=ApiKey.digest_of(secret)).select_related("environment__company")


class ApiKey(models.Model):
    """A credential of one environment. The secret is shown once; only its hash is kept."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="api_keys")
    name = models.CharField(max_length=100, blank=True)
    prefix = models.CharField(
        max_length=20, help_text=gettext_lazy("The first characters of the secret, to recognize it by.")
    )
    digest = models.CharField(max_length=64, unique=True, editable=False)
    scopes = ArrayField(models.CharField(max_length=40, choices=Scope))
    allowed_ips = ArrayField(
        models.GenericIPAddressField(validators=[validate_ipv46_address]),
        default=list,
        blank=True,
        help_text=gettext_lazy("Addresses that may use the key; empty means any."),
    )
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        verbose_name = gettext_lazy("API key")
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["environment", "-created_at"], name="api_key_by_environment")]

    def __str__(self) -> str:
        return f"{self.prefix}…"

    @staticmethod
    def digest_of(secret: str) -> str:
        # The secret has 160 random bits: nothing to guess, so a fast hash is enough and a slow one would cost every
        # request.
        return hashlib.sha256(secret.encode()).hexdigest()

    def is_usable(self, at: datetime) -> bool:
        """Whether the key opens anything at that instant."""
        return self.revoked_at is None and (self.expires_at is None or at < self.expires_at)

    def allows(self, scope: str) -> bool:
        return scope in self.scopes
