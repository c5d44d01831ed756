"""The transactional outbox that events are listed and delivered from."""

from typing import TYPE_CHECKING, Self

from django.db import models
from django.db.models import CheckConstraint, Q
from django.utils.translation import gettext_lazy

from core.ids import new_id
from webhooks.kinds import Kind

if TYPE_CHECKING:
    # By name alone: accounts stands above, so that its services can say what happened to a customer.
    from accounts.models import Environment


class EventQuerySet(models.QuerySet["Event"]):
    def of(self, environment: "Environment") -> Self:
        return self.filter(environment=environment)

    def snapshots(self) -> Self:
        """Those that tell of an object as it was at that instant."""
        return self.exclude(type="")

    def reports(self) -> Self:
        """Those that are told in the domain's own words."""
        return self.filter(type="")


class Event(models.Model):
    """One thing that happened, written in the transaction that made it happen. Never changed.

    Most tell of an object by a snapshot, word for word as a dialect would have answered with it at that instant. One
    happening can be told more than once: a plan is a price in older words. Their ids say in which order they were
    recorded; ``created_at`` is the time that the object's customer lived at.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    # Each index of the table begins with it.
    environment = models.ForeignKey(
        "accounts.Environment", on_delete=models.PROTECT, related_name="webhook_events", db_index=False
    )
    # No choices: what else can happen is no change of the table.
    kind = models.CharField(max_length=50)
    type = models.CharField(
        max_length=80,
        blank=True,
        help_text=gettext_lazy("What the dialect of the snapshot calls it; empty without a snapshot."),
    )
    subject_id = models.UUIDField(
        null=True, help_text=gettext_lazy("The row that it is about; its kind of event says of which table.")
    )
    data = models.JSONField(
        default=dict, help_text=gettext_lazy("Without a snapshot: what there is to tell, in our own words.")
    )
    snapshot = models.TextField(blank=True, help_text=gettext_lazy("The object at that instant: JSON."))
    previous = models.TextField(
        blank=True, help_text=gettext_lazy("What stood there before, of all that changed: JSON.")
    )
    request_id = models.CharField(
        max_length=40,
        blank=True,
        help_text=gettext_lazy("The request that it is owed to; empty for what happened by itself."),
    )
    idempotency_key = models.CharField(max_length=255, blank=True)
    created_at = models.DateTimeField(help_text=gettext_lazy("To the millisecond, which is all that answers say."))

    objects = EventQuerySet.as_manager()

    class Meta:
        constraints = [
            CheckConstraint(
                condition=Q(type="", snapshot="") | (~Q(type="") & ~Q(snapshot="")), name="event_type_iff_snapshot"
            )
        ]
        indexes = [
            models.Index(
                fields=["environment", "-created_at", "-id"], condition=Q(type=""), name="report_newest_first"
            ),
            models.Index(fields=["environment", "type", "-id"], condition=~Q(type=""), name="event_by_type"),
            models.Index(fields=["environment", "subject_id", "-created_at", "-id"], name="event_by_subject"),
        ]

    def __str__(self) -> str:
        return self.type or Kind(self.kind).label
