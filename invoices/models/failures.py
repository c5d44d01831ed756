"""What billing could not do, and when it tries again."""

from datetime import datetime
from typing import Self

from django.db import models
from django.db.models import CheckConstraint, Q, UniqueConstraint
from django.utils.translation import gettext_lazy

from accounts.models import Environment
from core.ids import new_id
from invoices.models.documents import Invoice
from subscriptions.models import Subscription, SubscriptionSchedule


class BillingFailureQuerySet(models.QuerySet["BillingFailure"]):
    def of(self, environment: Environment) -> Self:
        return self.filter(environment=environment)

    def held_back(self, wall: datetime) -> Self:
        """Failures that are not to be tried again yet."""
        return self.filter(retry_at__gt=wall)


class BillingFailure(models.Model):
    """A subscription whose period could not be closed, a draft that could not be finalized, or a schedule that could not
    begin, and why.

    It stands as long as the trouble lasts: billing tries again at ``retry_at``, ever more rarely, and a success
    deletes the row.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="billing_failures")
    subscription = models.ForeignKey(
        Subscription, on_delete=models.CASCADE, null=True, blank=True, related_name="billing_failures"
    )
    invoice = models.ForeignKey(
        Invoice, on_delete=models.CASCADE, null=True, blank=True, related_name="billing_failures"
    )
    schedule = models.ForeignKey(
        SubscriptionSchedule, on_delete=models.CASCADE, null=True, blank=True, related_name="billing_failures"
    )
    reason = models.TextField()
    attempts = models.PositiveIntegerField(default=1)
    failed_at = models.DateTimeField(help_text=gettext_lazy("The latest attempt."))
    retry_at = models.DateTimeField()

    objects = BillingFailureQuerySet.as_manager()

    class Meta:
        ordering = ["-failed_at"]
        constraints = [
            CheckConstraint(
                condition=Q(subscription__isnull=False, invoice__isnull=True, schedule__isnull=True)
                | Q(subscription__isnull=True, invoice__isnull=False, schedule__isnull=True)
                | Q(subscription__isnull=True, invoice__isnull=True, schedule__isnull=False),
                name="billing_failure_of_one_thing",
            ),
            UniqueConstraint(fields=["environment", "subscription"], name="billing_failure_one_per_subscription"),
            UniqueConstraint(fields=["environment", "invoice"], name="billing_failure_one_per_invoice"),
            UniqueConstraint(fields=["environment", "schedule"], name="billing_failure_one_per_schedule"),
        ]

    def __str__(self) -> str:
        return self.reason
