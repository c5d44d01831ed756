"""Who is billed, and the clocks that some of them live by."""

from datetime import datetime
from typing import Self

from django.db import models
from django.db.models import CheckConstraint, F, Q, UniqueConstraint
from django.db.models.functions import Upper
from django.utils.translation import gettext_lazy

from accounts.models.companies import Environment
from core.ids import new_id


class TestClock(models.Model):
    """A clock of a test environment. Customers bound to it live at its time instead of the wall's."""

    # Its name makes pytest take it for a test class, wherever a test imports it.
    __test__ = False

    class Status(models.TextChoices):
        READY = "ready"
        ADVANCING = "advancing"
        INTERNAL_FAILURE = "internal_failure", gettext_lazy("failed while advancing")

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="test_clocks")
    name = models.CharField(max_length=300, blank=True)
    frozen_at = models.DateTimeField(help_text=gettext_lazy("What the clock shows."))
    status = models.CharField(max_length=16, choices=Status, default=Status.READY)
    target_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text=gettext_lazy("What it is advancing to; step by step, so it may lie between for a while."),
    )
    failure = models.TextField(blank=True, help_text=gettext_lazy("Why the last advance stopped before its target."))
    created_at = models.DateTimeField()
    deletes_at = models.DateTimeField(
        help_text=gettext_lazy("When it is deleted by itself, with its customers, by the wall's time.")
    )
    deleted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            CheckConstraint(
                condition=Q(status="ready", target_at__isnull=True)
                | (~Q(status="ready") & Q(target_at__gte=F("frozen_at"))),
                name="test_clock_has_a_target_until_ready",
            ),
        ]
        indexes = [
            models.Index(fields=["environment", "-created_at"], name="test_clock_by_environment"),
            models.Index(fields=["status"], condition=Q(status="advancing"), name="test_clock_advancing"),
        ]

    def __str__(self) -> str:
        return self.name or f"clock at {self.frozen_at:%Y-%m-%d %H:%M}"


class CustomerQuerySet(models.QuerySet["Customer"]):
    def of(self, environment: Environment) -> Self:
        return self.filter(environment=environment)

    def present(self) -> Self:
        """Customers that were not deleted."""
        return self.filter(deleted_at__isnull=True)


class Customer(models.Model):
    """Someone the company bills. Closed, never deleted: usage and invoices go on pointing here."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="customers")
    name = models.CharField(max_length=256, blank=True)
    email = models.CharField(max_length=512, blank=True)
    phone = models.CharField(max_length=40, blank=True)
    description = models.CharField(max_length=5000, blank=True)
    did = models.CharField(
        max_length=100,
        blank=True,
        default="",
        db_default="",
        help_text=gettext_lazy("A decentralized identifier, if one is known."),
    )
    address = models.JSONField(null=True, blank=True)
    metadata = models.JSONField(default=dict, blank=True)
    grace_minutes = models.PositiveIntegerField(
        gettext_lazy("grace"),
        null=True,
        blank=True,
        help_text=gettext_lazy("In minutes; empty: the company's. How long their invoices stay drafts."),
    )
    test_clock = models.ForeignKey(TestClock, on_delete=models.PROTECT, null=True, blank=True, related_name="customers")
    created_at = models.DateTimeField()
    deleted_at = models.DateTimeField(null=True, blank=True)

    objects = CustomerQuerySet.as_manager()

    class Meta:
        constraints = [
            # Who comes back after being deleted is somebody new.
            UniqueConstraint(
                fields=["environment", "did"],
                condition=Q(deleted_at__isnull=True) & ~Q(did=""),
                name="customer_one_per_did",
            )
        ]
        indexes = [
            models.Index(fields=["environment", "-created_at", "-id"], name="customer_newest_first"),
            models.Index(fields=["environment", "email"], name="customer_by_email"),
            models.Index("environment", Upper("email"), name="customer_by_email_any_case"),
        ]

    def __str__(self) -> str:
        return self.name or self.email or str(self.pk)

    def now(self, wall: datetime) -> datetime:
        """The time this customer lives at: its test clock's, or the wall's."""
        return self.test_clock.frozen_at if self.test_clock else wall


class CustomerNote(models.Model):
    """What people of the company want to remember of a customer. Written once, never changed."""

    LENGTH = 2000

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="+", db_index=False)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="notes", db_index=False)
    text = models.CharField(max_length=LENGTH)
    written_by = models.CharField(max_length=150)
    written_at = models.DateTimeField()

    class Meta:
        constraints = [CheckConstraint(condition=~Q(text=""), name="customer_note_not_empty")]
        indexes = [models.Index(fields=["environment", "customer", "-written_at"], name="note_by_customer")]

    def __str__(self) -> str:
        return self.text if len(self.text) <= 60 else f"{self.text[:59]}…"  # noqa: PLR2004
