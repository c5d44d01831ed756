"""Credit notes: what is taken back of a final invoice, which itself never changes."""

from typing import Self

from django.db import models
from django.db.models import CheckConstraint, F, Q, UniqueConstraint
from django.utils.translation import gettext_lazy

from accounts.models import Customer, Environment
from core.fields import ExactDecimalField
from core.ids import new_id
from invoices.models.balances import CustomerBalanceTransaction
from invoices.models.documents import Invoice, InvoiceLine
from subscriptions.models import Discount, TaxRate


class CreditNoteQuerySet(models.QuerySet["CreditNote"]):
    def of(self, environment: Environment) -> Self:
        return self.filter(environment=environment)

    def standing(self) -> Self:
        return self.filter(status=CreditNote.Status.ISSUED)


class CreditNote(models.Model):
    """A part of an invoice, or all of it, that the customer need not pay, or gets back. Amounts are in minor units.

    What was still to be paid is lowered first; what the customer had paid already is refunded, put onto their balance, or
    given back in some way that is not seen here. ``total`` is the sum of the four.
    """

    class Status(models.TextChoices):
        ISSUED = "issued"
        VOID = "void"

    class Reason(models.TextChoices):
        DUPLICATE = "duplicate"
        FRAUDULENT = "fraudulent"
        ORDER_CHANGE = "order_change"
        PRODUCT_UNSATISFACTORY = "product_unsatisfactory"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="credit_notes")
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="credit_notes")
    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="credit_notes")
    sequence = models.PositiveIntegerField(
        help_text=gettext_lazy("Its place among the invoice's credit notes, from 1.")
    )
    number = models.CharField(max_length=60, help_text=gettext_lazy("The invoice's, and its own place after that."))
    status = models.CharField(max_length=6, choices=Status, default=Status.ISSUED)
    reason = models.CharField(max_length=22, choices=Reason, blank=True)
    memo = models.TextField(blank=True, help_text=gettext_lazy("Words for the customer, printed on it."))
    currency = models.CharField(max_length=3)
    subtotal = models.BigIntegerField(
        help_text=gettext_lazy("Of the lines, before the invoice's discounts and exclusive taxes.")
    )
    discount_amount = models.BigIntegerField(
        default=0, help_text=gettext_lazy("What discounts had taken off what is credited.")
    )
    credit_amount = models.BigIntegerField(
        default=0, help_text=gettext_lazy("What the customer's credit grants had paid of it.")
    )
    inclusive_tax = models.BigIntegerField(
        default=0, help_text=gettext_lazy("Taxes that are within the total and the lines.")
    )
    exclusive_tax = models.BigIntegerField(
        default=0, help_text=gettext_lazy("Taxes that the total has on top of the lines.")
    )
    total = models.BigIntegerField()
    pre_payment_amount = models.BigIntegerField(
        default=0, help_text=gettext_lazy("What it lowered the invoice's remaining amount by.")
    )
    refund_amount = models.BigIntegerField(default=0, help_text=gettext_lazy("To be paid back, as recorded here."))
    balance_amount = models.BigIntegerField(
        default=0, help_text=gettext_lazy("Put onto the customer's balance for next invoices.")
    )
    out_of_band_amount = models.BigIntegerField(
        default=0, help_text=gettext_lazy("Given back in some way that is not seen here.")
    )
    balance_transaction = models.OneToOneField(
        CustomerBalanceTransaction, on_delete=models.PROTECT, null=True, blank=True, related_name="credit_note"
    )
    metadata = models.JSONField(default=dict, blank=True)
    recorded_by = models.CharField(
        max_length=200, blank=True, help_text=gettext_lazy("The person or the API key that issued it.")
    )
    effective_at = models.DateTimeField(help_text=gettext_lazy("The date of issue that is printed on it."))
    created_at = models.DateTimeField()
    voided_at = models.DateTimeField(null=True, blank=True)

    objects = CreditNoteQuerySet.as_manager()

    class Meta:
        constraints = [
            UniqueConstraint(fields=["environment", "invoice", "sequence"], name="credit_note_one_per_sequence"),
            UniqueConstraint(fields=["environment", "number"], name="credit_note_one_per_number"),
            CheckConstraint(
                condition=Q(
                    pre_payment_amount__gte=0, refund_amount__gte=0, balance_amount__gte=0, out_of_band_amount__gte=0
                ),
                name="credit_note_amounts_not_negative",
            ),
            CheckConstraint(
                condition=Q(
                    total=F("pre_payment_amount") + F("refund_amount") + F("balance_amount") + F("out_of_band_amount")
                ),
                name="credit_note_total_goes_somewhere",
            ),
            CheckConstraint(
                condition=Q(total=F("subtotal") - F("discount_amount") - F("credit_amount") + F("exclusive_tax")),
                name="credit_note_total_adds_up",
            ),
            CheckConstraint(
                condition=Q(status="void", voided_at__isnull=False) | Q(status="issued", voided_at__isnull=True),
                name="credit_note_voided_at_iff_void",
            ),
            CheckConstraint(
                condition=Q(balance_amount=0, balance_transaction__isnull=True)
                | Q(balance_amount__gt=0, balance_transaction__isnull=False),
                name="credit_note_balance_transaction_iff_balance_amount",
            ),
        ]
        indexes = [
            models.Index(fields=["environment", "-created_at", "-id"], name="credit_note_newest_first"),
            models.Index(fields=["environment", "customer", "-created_at"], name="credit_note_by_customer"),
        ]

    def __str__(self) -> str:
        return self.number

    @property
    def post_payment_amount(self) -> int:
        """What goes back to the customer, who had paid it."""
        return self.refund_amount + self.balance_amount + self.out_of_band_amount


class CreditNoteLine(models.Model):
    """What is credited of one line of the invoice, or something else, with its part of discounts, credit and taxes."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="credit_note_lines")
    credit_note = models.ForeignKey(CreditNote, on_delete=models.PROTECT, related_name="lines")
    invoice_line = models.ForeignKey(InvoiceLine, on_delete=models.PROTECT, related_name="credit_note_lines")
    position = models.PositiveSmallIntegerField()
    description = models.CharField(max_length=500, blank=True)
    quantity = ExactDecimalField(
        null=True, blank=True, help_text=gettext_lazy("Empty where an amount was credited, not a quantity.")
    )
    amount = models.BigIntegerField(
        help_text=gettext_lazy("Minor units, before discounts, credit and exclusive taxes.")
    )
    discount_amount = models.BigIntegerField(
        default=0, help_text=gettext_lazy("Minor units that discounts had taken off it.")
    )
    credit_amount = models.BigIntegerField(
        default=0, help_text=gettext_lazy("Minor units that the customer's credit had paid of it.")
    )
    metadata = models.JSONField(default=dict, blank=True)

    class Meta:
        ordering = ["position"]
        constraints = [
            UniqueConstraint(fields=["environment", "credit_note", "position"], name="credit_note_line_position"),
            UniqueConstraint(fields=["environment", "credit_note", "invoice_line"], name="credit_note_line_once"),
        ]

    def __str__(self) -> str:
        return self.description


class CreditNoteLineDiscount(models.Model):
    """What a discount had taken off what is credited of a line."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="+")
    line = models.ForeignKey(CreditNoteLine, on_delete=models.PROTECT, related_name="discounts")
    discount = models.ForeignKey(Discount, on_delete=models.PROTECT, related_name="+")
    position = models.PositiveSmallIntegerField()
    amount = models.BigIntegerField(help_text=gettext_lazy("Minor units."))

    class Meta:
        ordering = ["position"]
        constraints = [
            UniqueConstraint(fields=["environment", "line", "discount"], name="credit_note_line_discount_once")
        ]

    def __str__(self) -> str:
        return str(self.discount)


class CreditNoteLineTax(models.Model):
    """What a tax had come to on what is credited of a line."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="+")
    line = models.ForeignKey(CreditNoteLine, on_delete=models.PROTECT, related_name="taxes")
    tax_rate = models.ForeignKey(TaxRate, on_delete=models.PROTECT, related_name="+")
    position = models.PositiveSmallIntegerField()
    taxable_amount = models.BigIntegerField(default=0, help_text=gettext_lazy("Minor units, without the tax."))
    amount = models.BigIntegerField(default=0, help_text=gettext_lazy("Minor units."))

    class Meta:
        ordering = ["position"]
        verbose_name_plural = gettext_lazy("credit note line taxes")
        constraints = [UniqueConstraint(fields=["environment", "line", "tax_rate"], name="credit_note_line_tax_once")]

    def __str__(self) -> str:
        return str(self.tax_rate)
