"""What was paid on invoices, as somebody recorded it. There are only ever more rows: a mistake is reversed, not removed."""

from typing import Self

from django.db import models
from django.db.models import CheckConstraint, Exists, OuterRef, Q
from django.utils.translation import gettext_lazy

from accounts.models import Customer, Environment
from core.ids import new_id
from invoices.models.documents import Invoice


class PaymentQuerySet(models.QuerySet["Payment"]):
    def of(self, environment: Environment) -> Self:
        return self.filter(environment=environment)

    def received(self) -> Self:
        """Payments proper, without the rows that reverse others."""
        return self.filter(reverses__isnull=True)

    def standing(self) -> Self:
        """Payments that were not reversed."""
        return self.received().filter(~Exists(Payment.objects.filter(reverses=OuterRef("pk"))))


class Payment(models.Model):
    """Money that reached the company for an invoice, or the reversal of such a row: a check that bounced, a wrong entry.

    The rows of an invoice add up to its ``amount_paid``; the database sees to it.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="payments")
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="payments")
    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="payments")
    amount = models.BigIntegerField(help_text=gettext_lazy("Minor units; below zero where it reverses another."))
    currency = models.CharField(max_length=3)
    method = models.CharField(
        max_length=60, blank=True, help_text=gettext_lazy("How it was paid, such as bank transfer or check.")
    )
    reference = models.CharField(max_length=200, blank=True, help_text=gettext_lazy("What it is found by at the bank."))
    note = models.CharField(max_length=500, blank=True)
    received_at = models.DateTimeField(help_text=gettext_lazy("When the money arrived, or was found not to have."))
    recorded_by = models.CharField(
        max_length=200, blank=True, help_text=gettext_lazy("The person or the API key that recorded it.")
    )
    reverses = models.OneToOneField("self", on_delete=models.PROTECT, null=True, blank=True, related_name="reversal")
    created_at = models.DateTimeField()

    objects = PaymentQuerySet.as_manager()

    class Meta:
        constraints = [
            CheckConstraint(
                condition=Q(reverses__isnull=True, amount__gt=0) | Q(reverses__isnull=False, amount__lt=0),
                name="payment_amount_has_its_sign",
            ),
        ]
        indexes = [
            models.Index(fields=["environment", "-created_at", "-id"], name="payment_newest_first"),
            models.Index(fields=["environment", "invoice", "created_at"], name="payment_by_invoice"),
            models.Index(fields=["environment", "customer", "-created_at"], name="payment_by_customer"),
        ]

    def __str__(self) -> str:
        return self.reference or self.method or "payment"
