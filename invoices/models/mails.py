"""Mails with invoices and credit notes: what is to be sent, and what was."""

from typing import Self

from django.db import models
from django.db.models import CheckConstraint, Q, UniqueConstraint
from django.db.models.functions import Upper
from django.utils.translation import gettext_lazy

from accounts.models import Environment
from core.ids import new_id
from invoices.models.credit_notes import CreditNote
from invoices.models.documents import Invoice


class InvoiceMailQuerySet(models.QuerySet["InvoiceMail"]):
    def of(self, environment: Environment) -> Self:
        return self.filter(environment=environment)


class InvoiceMail(models.Model):
    """An invoice, or a credit note on it, on its way to its customer. It is sent once: what may have been sent is not sent again by itself."""

    class State(models.TextChoices):
        WAITING = "waiting"
        # In the hands of the mail server, or of a process that died with it: whether it was sent, nobody knows.
        SENDING = "sending"
        SENT = "sent"
        # Of test mode: nobody is bothered with it.
        WITHHELD = "withheld"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="+")
    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="mails")
    credit_note = models.ForeignKey(
        CreditNote,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="mails",
        help_text=gettext_lazy("What is sent, if it is not the invoice itself."),
    )
    recipient = models.CharField(max_length=512)
    state = models.CharField(max_length=8, choices=State, default=State.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(help_text=gettext_lazy("By the wall."))
    error = models.TextField(blank=True, help_text=gettext_lazy("What the last attempt came to, if it failed."))
    requested_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True, blank=True)

    objects = InvoiceMailQuerySet.as_manager()

    class Meta:
        constraints = [
            UniqueConstraint(
                fields=["environment", "invoice", "credit_note"],
                condition=Q(state="waiting"),
                nulls_distinct=False,
                name="invoice_mail_one_waits",
            ),
            CheckConstraint(
                condition=Q(state="sent", sent_at__isnull=False) | (~Q(state="sent") & Q(sent_at__isnull=True)),
                name="invoice_mail_sent_at_iff_sent",
            ),
        ]
        indexes = [
            models.Index(fields=["environment", "-requested_at", "-id"], name="invoice_mail_newest_first"),
            models.Index(fields=["next_attempt_at"], condition=Q(state="waiting"), name="invoice_mail_due"),
            models.Index(fields=["environment", "invoice"], condition=Q(state="failed"), name="invoice_mail_failed"),
            models.Index("environment", Upper("recipient"), name="invoice_mail_by_recipient"),
        ]

    def __str__(self) -> str:
        return f"{self.document} to {self.recipient}"

    @property
    def document(self) -> Invoice | CreditNote:
        """What is sent."""
        return self.credit_note or self.invoice
