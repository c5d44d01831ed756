"""Addresses that events are sent to, and how far each event has got."""

from datetime import datetime
from typing import TYPE_CHECKING, Self

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import CheckConstraint, Exists, OuterRef, Q, UniqueConstraint
from django.utils.translation import gettext_lazy

from core.ids import new_id
from webhooks.models.events import Event

if TYPE_CHECKING:
    from accounts.models import Environment

EVERYTHING = "*"
# Through this many attempts, about an hour, later events wait for one that fails. Then it steps aside.
HOLDING_ATTEMPTS = 7


class WebhookEndpointQuerySet(models.QuerySet["WebhookEndpoint"]):
    def of(self, environment: "Environment") -> Self:
        return self.filter(environment=environment)

    def present(self) -> Self:
        return self.filter(deleted_at__isnull=True)

    def listening(self) -> Self:
        """Those that are told of what happens now."""
        return self.present().filter(status=WebhookEndpoint.Status.ENABLED)

    def due(self, now: datetime) -> Self:
        """Those with something to be sent by now, and nobody at it."""
        waiting = Delivery.objects.filter(endpoint=OuterRef("pk"), state=Delivery.State.PENDING, due_at__lte=now)
        return self.listening().filter(
            Q(claimed_until__isnull=True) | Q(claimed_until__lte=now),
            Q(resumes_at__isnull=True) | Q(resumes_at__lte=now),
            Exists(waiting),
        )


class WebhookEndpoint(models.Model):
    """An address that events are posted to, one after the other. Closed, never deleted: deliveries point here."""

    class Status(models.TextChoices):
        ENABLED = "enabled"
        DISABLED = "disabled"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(
        "accounts.Environment", on_delete=models.PROTECT, related_name="webhook_endpoints", db_index=False
    )
    url = models.CharField(max_length=2048)
    enabled_events = ArrayField(models.CharField(max_length=100), help_text=gettext_lazy("Types of events; * for all."))
    description = models.CharField(max_length=5000, blank=True)
    metadata = models.JSONField(default=dict, blank=True)
    status = models.CharField(max_length=8, choices=Status, default=Status.ENABLED)
    disabled_because = models.CharField(
        max_length=500, blank=True, help_text=gettext_lazy("Empty where a person disabled it.")
    )
    # As it is and not as a hash: every message is signed with it.
    secret = models.CharField(max_length=80)
    previous_secret = models.CharField(max_length=80, blank=True)
    previous_secret_until = models.DateTimeField(
        null=True, blank=True, help_text=gettext_lazy("Until then messages are signed with the secret before, too.")
    )
    failing_since = models.DateTimeField(
        null=True, blank=True, help_text=gettext_lazy("No message has got through since.")
    )
    resumes_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text=gettext_lazy("The first of its messages failed and holds the others until then."),
    )
    claim = models.UUIDField(null=True, blank=True, help_text=gettext_lazy("Whoever is at work on it."))
    claimed_until = models.DateTimeField(
        null=True, blank=True, help_text=gettext_lazy("Whoever is at work has died if they have not said more by then.")
    )
    created_at = models.DateTimeField()
    deleted_at = models.DateTimeField(null=True, blank=True)

    objects = WebhookEndpointQuerySet.as_manager()

    class Meta:
        constraints = [
            CheckConstraint(condition=~Q(enabled_events=[]), name="webhook_endpoint_listens_to_something"),
            CheckConstraint(
                condition=Q(claim__isnull=True, claimed_until__isnull=True)
                | Q(claim__isnull=False, claimed_until__isnull=False),
                name="webhook_endpoint_claim_ends",
            ),
        ]
        indexes = [models.Index(fields=["environment", "-created_at", "-id"], name="webhook_endpoint_newest_first")]

    def __str__(self) -> str:
        return self.url

    def listens_to(self, event_type: str) -> bool:
        return EVERYTHING in self.enabled_events or event_type in self.enabled_events

    def secrets_at(self, at: datetime) -> list[str]:
        """What messages are signed with at an instant: while a secret is being rolled, with both."""
        if self.previous_secret_until is not None and at < self.previous_secret_until:
            return [self.secret, self.previous_secret]
        return [self.secret]


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    def of(self, environment: "Environment") -> Self:
        return self.filter(environment=environment)

    def pending(self) -> Self:
        return self.filter(state=Delivery.State.PENDING)

    def holding(self) -> Self:
        """Those that later ones wait for."""
        return self.filter(attempts__lt=HOLDING_ATTEMPTS, is_resent=False)

    def aside(self) -> Self:
        """Those that nothing waits for."""
        return self.filter(Q(attempts__gte=HOLDING_ATTEMPTS) | Q(is_resent=True))


class Delivery(models.Model):
    """One event on its way to one endpoint, with the answer to the latest attempt."""

    class State(models.TextChoices):
        PENDING = "pending"
        SUCCEEDED = "succeeded"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(
        "accounts.Environment", on_delete=models.PROTECT, related_name="webhook_deliveries", db_index=False
    )
    endpoint = models.ForeignKey(WebhookEndpoint, on_delete=models.PROTECT, related_name="deliveries", db_index=False)
    event = models.ForeignKey(Event, on_delete=models.CASCADE, related_name="deliveries")
    state = models.CharField(max_length=9, choices=State, default=State.PENDING)
    attempts = models.PositiveSmallIntegerField(default=0)
    is_resent = models.BooleanField(
        default=False, help_text=gettext_lazy("Asked for once more by a person, out of turn.")
    )
    due_at = models.DateTimeField(help_text=gettext_lazy("When it is tried next, unless an earlier one holds it."))
    gives_up_at = models.DateTimeField(help_text=gettext_lazy("An attempt that fails after this is the last."))
    attempted_at = models.DateTimeField(null=True, blank=True)
    duration = models.DurationField(
        null=True, blank=True, help_text=gettext_lazy("From before the connection to the end of the answer.")
    )
    response_status = models.PositiveSmallIntegerField(null=True, blank=True)
    response_body = models.TextField(blank=True, help_text=gettext_lazy("The beginning of the answer."))
    error = models.CharField(max_length=500, blank=True, help_text=gettext_lazy("Why there was no answer."))

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        verbose_name_plural = gettext_lazy("deliveries")
        constraints = [UniqueConstraint(fields=["endpoint", "event"], name="delivery_one_per_endpoint_and_event")]
        indexes = [
            models.Index(fields=["endpoint", "event"], condition=Q(state="pending"), name="delivery_pending_in_order"),
            models.Index(
                fields=["endpoint", "due_at"],
                condition=Q(state="pending") & (Q(attempts__gte=HOLDING_ATTEMPTS) | Q(is_resent=True)),
                name="delivery_pending_aside",
            ),
            models.Index(fields=["environment", "-id"], name="delivery_latest_first"),
            models.Index(fields=["environment", "-id"], condition=Q(state="failed"), name="delivery_failed_first"),
        ]

    def __str__(self) -> str:
        return f"{self.event} to {self.endpoint}"
