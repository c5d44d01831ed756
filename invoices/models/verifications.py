"""What came of computing final invoices again."""

from typing import Self

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy

from accounts.models import Environment
from core.ids import new_id
from invoices.models.documents import Invoice


class InvoiceVerificationQuerySet(models.QuerySet["InvoiceVerification"]):
    def of(self, environment: Environment) -> Self:
        return self.filter(environment=environment)

    def alarming(self) -> Self:
        """Those that found a difference which nobody has explained yet."""
        return self.filter(is_equal=False, resolved_at__isnull=True)


class InvoiceVerification(models.Model):
    """An invoice that was computed again from its events and prices, and what came out otherwise: nothing, as it should."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="+")
    invoice = models.OneToOneField(Invoice, on_delete=models.PROTECT, related_name="verification")
    is_equal = models.BooleanField(help_text=gettext_lazy("Whether everything came out as it was billed."))
    line_count = models.PositiveIntegerField(help_text=gettext_lazy("Lines that were computed again."))
    uncounted = models.PositiveIntegerField(
        default=0,
        help_text=gettext_lazy("Lines whose events are gone by retention: computed from the quantity that they kept."),
    )
    differences = models.JSONField(
        default=list, blank=True, help_text=gettext_lazy("What is different, of which line, and how.")
    )
    verified_at = models.DateTimeField()
    resolved_at = models.DateTimeField(null=True, blank=True)

    objects = InvoiceVerificationQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["environment", "-verified_at"], name="verification_newest_first"),
            models.Index(
                fields=["environment"],
                condition=Q(is_equal=False, resolved_at__isnull=True),
                name="verification_alarming",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.invoice}: {'equal' if self.is_equal else 'different'}"
