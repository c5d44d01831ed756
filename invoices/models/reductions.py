"""What was taken off each line of an invoice, and what taxes came to: rows that are frozen with their invoice."""

from django.db import models
from django.db.models import CheckConstraint, Q, UniqueConstraint
from django.utils.translation import gettext_lazy

from accounts.models import Environment
from core.ids import new_id
from invoices.models.documents import Invoice, InvoiceLine
from invoices.models.items import InvoiceItem
from subscriptions.models import Discount, TaxRate


class InvoiceDiscount(models.Model):
    """A discount that an invoice was made with, whether it took something off or not."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="+")
    invoice = models.ForeignKey(Invoice, on_delete=models.CASCADE, related_name="discounts")
    discount = models.ForeignKey(Discount, on_delete=models.PROTECT, related_name="invoices")
    position = models.PositiveSmallIntegerField()

    class Meta:
        ordering = ["position"]
        constraints = [
            UniqueConstraint(fields=["environment", "invoice", "discount"], name="invoice_discount_once"),
        ]

    def __str__(self) -> str:
        return str(self.discount)


class InvoiceTaxRate(models.Model):
    """A rate that is asked for what is on an invoice and has none of its own."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="+")
    invoice = models.ForeignKey(Invoice, on_delete=models.CASCADE, related_name="default_tax_rates")
    tax_rate = models.ForeignKey(TaxRate, on_delete=models.PROTECT, related_name="+")
    position = models.PositiveSmallIntegerField()

    class Meta:
        ordering = ["position"]
        constraints = [UniqueConstraint(fields=["environment", "invoice", "tax_rate"], name="invoice_tax_rate_once")]

    def __str__(self) -> str:
        return str(self.tax_rate)


class ItemDiscount(models.Model):
    """A discount that an invoice item has of its own."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="+")
    item = models.ForeignKey(InvoiceItem, on_delete=models.CASCADE, related_name="discounts")
    discount = models.ForeignKey(Discount, on_delete=models.PROTECT, related_name="invoice_items")
    position = models.PositiveSmallIntegerField()

    class Meta:
        ordering = ["position"]
        constraints = [UniqueConstraint(fields=["environment", "item", "discount"], name="item_discount_once")]

    def __str__(self) -> str:
        return str(self.discount)


class ItemTaxRate(models.Model):
    """A rate that is asked for an invoice item, instead of those of its invoice."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="+")
    item = models.ForeignKey(InvoiceItem, on_delete=models.CASCADE, related_name="tax_rates")
    tax_rate = models.ForeignKey(TaxRate, on_delete=models.PROTECT, related_name="+")
    position = models.PositiveSmallIntegerField()

    class Meta:
        ordering = ["position"]
        constraints = [UniqueConstraint(fields=["environment", "item", "tax_rate"], name="item_tax_rate_once")]

    def __str__(self) -> str:
        return str(self.tax_rate)


class LineDiscount(models.Model):
    """What a discount took off a line; negative where the line gives back what had been discounted."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="+")
    line = models.ForeignKey(InvoiceLine, on_delete=models.CASCADE, related_name="discounts")
    discount = models.ForeignKey(Discount, on_delete=models.PROTECT, related_name="lines")
    position = models.PositiveSmallIntegerField()
    amount = models.BigIntegerField(help_text=gettext_lazy("Minor units."))

    class Meta:
        ordering = ["position"]
        constraints = [UniqueConstraint(fields=["environment", "line", "discount"], name="line_discount_once")]

    def __str__(self) -> str:
        return str(self.discount)


class LineTax(models.Model):
    """What a tax came to on a line, after discounts."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="+")
    line = models.ForeignKey(InvoiceLine, on_delete=models.CASCADE, related_name="taxes")
    tax_rate = models.ForeignKey(TaxRate, on_delete=models.PROTECT, related_name="lines")
    position = models.PositiveSmallIntegerField()
    taxable_amount = models.BigIntegerField(default=0, help_text=gettext_lazy("Minor units, without the tax."))
    amount = models.BigIntegerField(
        default=0, help_text=gettext_lazy("Minor units, rounded once, half away from zero.")
    )

    class Meta:
        ordering = ["position"]
        verbose_name_plural = gettext_lazy("line taxes")
        constraints = [
            UniqueConstraint(fields=["environment", "line", "tax_rate"], name="line_tax_once"),
            CheckConstraint(
                condition=Q(amount__lte=0, taxable_amount__lte=0) | Q(amount__gte=0, taxable_amount__gte=0),
                name="line_tax_has_the_sign_of_its_line",
            ),
        ]

    def __str__(self) -> str:
        return str(self.tax_rate)
