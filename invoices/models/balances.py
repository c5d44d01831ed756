"""What customers have to their credit, or owe beside their invoices."""

from typing import Self

from django.db import models
from django.db.models import CheckConstraint, Q, UniqueConstraint
from django.utils.translation import gettext_lazy

from accounts.models import Customer, Environment
from core.ids import new_id
from invoices.models.documents import Invoice


class CustomerBalance(models.Model):
    """A customer's balance in one currency: below zero is to their credit. Locked while it changes."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="customer_balances")
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="balances")
    currency = models.CharField(max_length=3)
    amount = models.BigIntegerField(default=0, help_text=gettext_lazy("Minor units; the sum of all transactions."))
    transaction_count = models.PositiveBigIntegerField(default=0)

    class Meta:
        ordering = ["currency"]
        constraints = [
            UniqueConstraint(fields=["environment", "customer", "currency"], name="customer_balance_one_per_currency")
        ]

    def __str__(self) -> str:
        return f"{self.customer} in {self.currency.upper()}"


class CustomerBalanceTransactionQuerySet(models.QuerySet["CustomerBalanceTransaction"]):
    def of(self, environment: Environment) -> Self:
        return self.filter(environment=environment)


class CustomerBalanceTransaction(models.Model):
    """A change of a balance. There are only ever more of them, and each says what the balance was after it."""

    class Kind(models.TextChoices):
        ADJUSTMENT = "adjustment"
        APPLIED_TO_INVOICE = "applied_to_invoice"
        UNAPPLIED_FROM_INVOICE = "unapplied_from_invoice"
        CREDIT_NOTE = "credit_note"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="balance_transactions")
    balance = models.ForeignKey(CustomerBalance, on_delete=models.PROTECT, related_name="transactions")
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="balance_transactions")
    invoice = models.ForeignKey(
        Invoice, on_delete=models.PROTECT, null=True, blank=True, related_name="balance_transactions"
    )
    position = models.PositiveBigIntegerField(help_text=gettext_lazy("Its place in the balance's history, from 1."))
    kind = models.CharField(max_length=24, choices=Kind)
    amount = models.BigIntegerField(help_text=gettext_lazy("Minor units: below zero is to the customer's credit."))
    ending_balance = models.BigIntegerField(help_text=gettext_lazy("Minor units: the balance after it."))
    currency = models.CharField(max_length=3)
    description = models.CharField(max_length=350, blank=True)
    metadata = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField()

    objects = CustomerBalanceTransactionQuerySet.as_manager()

    class Meta:
        constraints = [
            UniqueConstraint(
                fields=["environment", "balance", "position"], name="customer_balance_transaction_one_per_position"
            ),
            CheckConstraint(
                condition=Q(kind="adjustment") | Q(invoice__isnull=False),
                name="customer_balance_transaction_names_its_invoice",
            ),
        ]
        indexes = [
            models.Index(fields=["environment", "customer", "-created_at", "-id"], name="balance_transaction_newest")
        ]

    def __str__(self) -> str:
        return self.get_kind_display()
