"""What happened that others may want to know of: the transactional outbox that events are listed and delivered from."""

from typing import TYPE_CHECKING, Self

from django.db import models

from core.ids import new_id

if TYPE_CHECKING:
    # By name alone: accounts stands above, so that its services can say what happened to a customer.
    from accounts.models import Environment


class EventQuerySet(models.QuerySet["Event"]):
    def of(self, environment: "Environment") -> Self:
        return self.filter(environment=environment)


class Event(models.Model):
    """One thing that happened, written in the transaction that made it happen. Never changed."""

    class Kind(models.TextChoices):
        METER_ERROR_REPORT = "meter.error_report", "a meter's events were rejected"
        NO_METER_FOUND = "meter.not_found", "events named no meter"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey("accounts.Environment", on_delete=models.PROTECT, related_name="webhook_events")
    kind = models.CharField(max_length=50, choices=Kind)
    subject_id = models.UUIDField(
        null=True, help_text="The row that it is about; its kind of event says of which table."
    )
    data = models.JSONField(help_text="What there is to tell, in the domain's own words.")
    created_at = models.DateTimeField(help_text="To the millisecond, which is all that answers say.")

    objects = EventQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["environment", "-created_at", "-id"], name="event_newest_first"),
            models.Index(fields=["environment", "subject_id", "-created_at", "-id"], name="event_by_subject"),
        ]

    def __str__(self) -> str:
        return self.get_kind_display()
