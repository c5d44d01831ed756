"""What of the product a company may use, and until when."""

from datetime import datetime, timedelta
from typing import Self

from django.db import models
from django.db.models import CheckConstraint, F, Q, UniqueConstraint
from django.utils.translation import gettext_lazy

from accounts.models.companies import Company
from core.ids import new_id


class LicenseQuerySet(models.QuerySet["License"]):
    def in_force(self, at: datetime) -> Self:
        """Licenses that open their product at that instant, grace included. Dates decide, never a status."""
        return self.filter(starts_at__lte=at).filter(Q(ends_at__isnull=True) | Q(ends_at__gt=at - F("grace")))


class License(models.Model):
    """A company's right to a part of the product, from ``starts_at`` until ``ends_at`` plus ``grace``."""

    class Product(models.TextChoices):
        METERED_PRODUCTS = "metered_products"
        SUBSCRIPTION = "subscription"

    class State(models.TextChoices):
        """What the dates say at an instant; computed, never stored."""

        SCHEDULED = "scheduled"
        ACTIVE = "active"
        IN_GRACE = "in grace"
        ENDED = "ended"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    company = models.ForeignKey(Company, on_delete=models.PROTECT, related_name="licenses")
    product = models.CharField(max_length=20, choices=Product)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True, help_text=gettext_lazy("Empty: does not end."))
    grace = models.DurationField(
        default=timedelta(days=7), help_text=gettext_lazy("How long access goes on after the end.")
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = LicenseQuerySet.as_manager()

    class Meta:
        ordering = ["company__name", "product", "starts_at"]
        constraints = [
            CheckConstraint(
                condition=Q(product__in=["metered_products", "subscription"]), name="license_product_is_known"
            ),
            CheckConstraint(
                condition=Q(ends_at__isnull=True) | Q(ends_at__gt=F("starts_at")), name="license_ends_after_start"
            ),
            CheckConstraint(condition=Q(grace__gte=timedelta(0)), name="license_grace_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.company}: {self.get_product_display()}"

    def is_in_force(self, at: datetime) -> bool:
        """As :meth:`LicenseQuerySet.in_force` asks the database."""
        return self.state(at) in {self.State.ACTIVE, self.State.IN_GRACE}

    def state(self, at: datetime) -> State:
        if at < self.starts_at:
            return self.State.SCHEDULED
        if self.ends_at is None or at < self.ends_at:
            return self.State.ACTIVE
        return self.State.IN_GRACE if at < self.ends_at + self.grace else self.State.ENDED


class LicenseNotice(models.Model):
    """A warning or transition of a license, recorded once: what the console shows and webhooks will tell."""

    class Kind(models.TextChoices):
        ENDS_IN_30_DAYS = "ends_in_30_days", gettext_lazy("ends within 30 days")
        ENDS_IN_7_DAYS = "ends_in_7_days", gettext_lazy("ends within 7 days")
        ENDS_IN_1_DAY = "ends_in_1_day", gettext_lazy("ends within a day")
        IN_GRACE = "in_grace", gettext_lazy("has ended, in grace")
        ENDED = "ended", gettext_lazy("has ended")

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    license = models.ForeignKey(License, on_delete=models.CASCADE, related_name="notices")
    kind = models.CharField(max_length=20, choices=Kind)
    ends_at = models.DateTimeField(
        help_text=gettext_lazy("The license's end that the notice speaks of: a renewal starts anew.")
    )
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["-created_at"]
        constraints = [UniqueConstraint(fields=["license", "kind", "ends_at"], name="license_notice_once")]

    def __str__(self) -> str:
        return f"{self.license} {self.get_kind_display()}"
