"""What waits for an invoice: prorations, and what is charged or given back once."""

from typing import Self

from django.db import models
from django.db.models import CheckConstraint, F, Q
from django.utils.translation import gettext_lazy

from accounts.models import Customer, Environment
from core.fields import ExactDecimalField
from core.ids import new_id
from core.periods import Period
from invoices.models.documents import Invoice, InvoiceLine
from subscriptions.models import Price, Subscription, SubscriptionItem


class InvoiceItemQuerySet(models.QuerySet["InvoiceItem"]):
    def of(self, environment: Environment) -> Self:
        return self.filter(environment=environment)

    def present(self) -> Self:
        """Items that were not removed."""
        return self.filter(removed_at__isnull=True)

    def waiting(self) -> Self:
        """Items that are on no invoice yet."""
        return self.present().filter(invoice__isnull=True)

    def standing(self) -> Self:
        """Items that are, or will be, owed or given back: all but those whose invoice was voided."""
        return self.exclude(invoice__status=Invoice.Status.VOID)


class InvoiceItem(models.Model):
    """An amount for a customer's next invoice, or that of one subscription; below zero it is given back.

    A proration is made when a subscription item is changed: one gives back what was charged for time that is left, the
    other charges what takes its place. What it gives back is a line of an invoice, or another proration; so no time is
    given back twice.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="invoice_items")
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="invoice_items")
    subscription = models.ForeignKey(
        Subscription, on_delete=models.PROTECT, null=True, blank=True, related_name="invoice_items"
    )
    subscription_item = models.ForeignKey(
        SubscriptionItem, on_delete=models.PROTECT, null=True, blank=True, related_name="invoice_items"
    )
    invoice = models.ForeignKey(
        Invoice,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="items",
        help_text=gettext_lazy("The invoice that it is on; empty while it waits for one."),
    )
    price = models.ForeignKey(Price, on_delete=models.PROTECT, null=True, blank=True, related_name="invoice_items")
    currency = models.CharField(max_length=3)
    description = models.CharField(max_length=500)
    quantity = ExactDecimalField()
    unit_amount = models.DecimalField(
        max_digits=30,
        decimal_places=12,
        null=True,
        blank=True,
        help_text=gettext_lazy("Minor units per unit, with fraction; empty where a price has none."),
    )
    exact_amount = ExactDecimalField(help_text=gettext_lazy("Minor units before rounding."))
    amount = models.BigIntegerField(
        help_text=gettext_lazy("Minor units: the exact amount, rounded once, half away from zero.")
    )
    is_discountable = models.BooleanField(default=True)
    is_proration = models.BooleanField(default=False)
    credits_line = models.ForeignKey(
        InvoiceLine,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="credits",
        help_text=gettext_lazy("The line whose remaining time a proration gives back."),
    )
    credits_item = models.ForeignKey(
        "self",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="credits",
        help_text=gettext_lazy("The earlier proration whose remaining time this one gives back."),
    )
    period_start = models.DateTimeField()
    period_end = models.DateTimeField()
    basis = models.JSONField(
        default=dict, blank=True, help_text=gettext_lazy("What the amount was computed from, as text.")
    )
    metadata = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField()
    removed_at = models.DateTimeField(null=True, blank=True)

    objects = InvoiceItemQuerySet.as_manager()

    class Meta:
        constraints = [
            CheckConstraint(condition=Q(period_end__gte=F("period_start")), name="invoice_item_period_in_order"),
            CheckConstraint(
                condition=Q(removed_at__isnull=True) | Q(invoice__isnull=True), name="invoice_item_removed_is_on_none"
            ),
            CheckConstraint(
                condition=Q(subscription_item__isnull=True) | Q(subscription__isnull=False),
                name="invoice_item_of_subscription_item_is_of_subscription",
            ),
            CheckConstraint(
                condition=Q(credits_line__isnull=True, credits_item__isnull=True)
                | (Q(is_proration=True, amount__lte=0) & (Q(credits_line__isnull=True) | Q(credits_item__isnull=True))),
                name="invoice_item_gives_back_one_thing",
            ),
        ]
        indexes = [
            models.Index(fields=["environment", "-created_at", "-id"], name="invoice_item_newest_first"),
            models.Index(fields=["environment", "customer", "-created_at"], name="invoice_item_by_customer"),
            models.Index(
                fields=["environment", "customer"],
                condition=Q(invoice__isnull=True, removed_at__isnull=True),
                name="invoice_item_waiting",
            ),
            models.Index(
                fields=["environment", "subscription_item", "period_end"],
                condition=Q(is_proration=True),
                name="invoice_item_proration",
            ),
        ]

    def __str__(self) -> str:
        return self.description

    @property
    def period(self) -> Period:
        return Period(self.period_start, self.period_end)
