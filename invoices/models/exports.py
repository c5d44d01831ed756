"""Exports: files with a table of one environment, written in the background."""

from datetime import datetime
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import CheckConstraint, Q
from django.utils.translation import gettext_lazy

from accounts.models import Environment
from core.ids import new_id


class ExportQuerySet(models.QuerySet["Export"]):
    def of(self, environment: Environment) -> Self:
        return self.filter(environment=environment)

    def unfinished(self) -> Self:
        """That wait, or are being written."""
        return self.filter(state__in=(Export.State.WAITING, Export.State.RUNNING))


class Export(models.Model):
    """A table that a person asked for. Its file is kept for some hours; that it was taken stays on record."""

    class State(models.TextChoices):
        WAITING = "waiting"
        RUNNING = "running", gettext_lazy("being written")
        DONE = "done"
        FAILED = "failed"
        # The file was deleted, since its time was over or somebody wished it.
        EXPIRED = "expired"

    class Format(models.TextChoices):
        CSV = "csv", gettext_lazy("CSV")
        XLSX = "xlsx", gettext_lazy("XLSX")

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="exports")
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    table = models.CharField(max_length=40)
    format = models.CharField(max_length=4, choices=Format)
    since = models.DateTimeField(
        null=True, blank=True, help_text=gettext_lazy("Inclusive; from the beginning without it.")
    )
    until = models.DateTimeField(null=True, blank=True, help_text=gettext_lazy("Exclusive; to the end without it."))
    status = models.CharField(max_length=20, blank=True, help_text=gettext_lazy("Of invoices; any without it."))
    state = models.CharField(max_length=7, choices=State, default=State.WAITING)
    # Told apart by it: a worker that was given up may still be at work.
    attempts = models.PositiveIntegerField(default=0)
    rows_written = models.PositiveBigIntegerField(default=0)
    size = models.PositiveBigIntegerField(null=True, blank=True, help_text=gettext_lazy("In bytes."))
    file = models.CharField(
        max_length=60, blank=True, help_text=gettext_lazy("Its name in the folder of exports, which nobody can guess.")
    )
    error = models.TextField(blank=True)
    requested_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)

    objects = ExportQuerySet.as_manager()

    class Meta:
        constraints = [
            CheckConstraint(
                condition=Q(state="done", expires_at__isnull=False, size__isnull=False) & ~Q(file="")
                | ~Q(state="done") & Q(file=""),
                name="export_file_iff_done",
            )
        ]
        indexes = [
            models.Index(fields=["environment", "-requested_at", "-id"], name="export_newest_first"),
            models.Index(
                fields=["requested_at"], condition=Q(state__in=["waiting", "running"]), name="export_unfinished"
            ),
            models.Index(fields=["expires_at"], condition=Q(state="done"), name="export_expiring"),
        ]

    def __str__(self) -> str:
        return f"{self.table}.{self.format}"

    def has_file(self, now: datetime) -> bool:
        """Whether there is something to be fetched, by the wall's time."""
        return self.state == self.State.DONE and self.expires_at is not None and now < self.expires_at
