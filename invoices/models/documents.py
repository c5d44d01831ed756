"""Invoices and their lines. Once final, the database itself refuses to change their money."""

from datetime import datetime
from typing import Self

from django.db import models
from django.db.models import CheckConstraint, Exists, F, OuterRef, Q, Sum, UniqueConstraint, Value
from django.db.models.functions import Coalesce
from django.utils.translation import gettext_lazy

from accounts.models import Customer, Environment, TestClock
from core.fields import ExactDecimalField
from core.ids import new_id
from core.periods import Period
from subscriptions.models import Price, Subscription, SubscriptionItem


class InvoiceQuerySet(models.QuerySet["Invoice"]):
    def of(self, environment: Environment) -> Self:
        return self.filter(environment=environment)

    def due(self, now: datetime, clock: TestClock | None = None) -> Self:
        """Drafts whose time to become final has come, of the customers on a test clock or who live by the wall."""
        return self.filter(customer__test_clock=clock, finalizes_at__lte=now, status=Invoice.Status.DRAFT)

    def to_remind_of(self, now: datetime, clock: TestClock | None = None) -> Self:
        """Open invoices of which it is to be told that they are due, or will be."""
        return self.filter(customer__test_clock=clock, reminds_at__lte=now, status=Invoice.Status.OPEN)


class Invoice(models.Model):
    """What a customer owes for a period. Amounts are whole minor units of ``currency``."""

    class Status(models.TextChoices):
        DRAFT = "draft"
        OPEN = "open"
        PAID = "paid"
        VOID = "void"
        # Given up by the company; the customer may still pay.
        UNCOLLECTIBLE = "uncollectible"

    class BillingReason(models.TextChoices):
        SUBSCRIPTION_CREATE = "subscription_create"
        SUBSCRIPTION_CYCLE = "subscription_cycle"
        # Billed at once when a subscription ends between two boundaries.
        SUBSCRIPTION_UPDATE = "subscription_update"
        MANUAL = "manual"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    # A wall refers to each of these together with the environment; the same without it would be checked once more for each
    # row. And each index begins with the environment.
    environment = models.ForeignKey(
        Environment, on_delete=models.PROTECT, related_name="invoices", db_constraint=False, db_index=False
    )
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="invoices", db_constraint=False)
    subscription = models.ForeignKey(
        Subscription,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="invoices",
        db_constraint=False,
    )
    revises = models.ForeignKey(
        "self",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="revisions",
        help_text=gettext_lazy("The invoice that was voided, and that this one was made from to take its place."),
    )
    number = models.CharField(
        max_length=40, blank=True, help_text=gettext_lazy("Gapless per environment, taken when finalized.")
    )
    status = models.CharField(max_length=13, choices=Status, default=Status.DRAFT)
    billing_reason = models.CharField(max_length=24, choices=BillingReason)
    collection_method = models.CharField(max_length=20, choices=Subscription.CollectionMethod)
    days_until_due = models.PositiveSmallIntegerField(null=True, blank=True)
    currency = models.CharField(max_length=3)
    period_start = models.DateTimeField()
    period_end = models.DateTimeField()
    subtotal = models.BigIntegerField(default=0)
    credit_applied = models.BigIntegerField(
        default=0,
        help_text=gettext_lazy(
            "What the customer's credit paid when the invoice became final; the total is without it."
        ),
    )
    subtotal_inclusive_tax = models.BigIntegerField(
        default=0, help_text=gettext_lazy("Taxes that are within the subtotal.")
    )
    inclusive_tax = models.BigIntegerField(
        default=0, help_text=gettext_lazy("Taxes that are within the total and the lines.")
    )
    exclusive_tax = models.BigIntegerField(
        default=0, help_text=gettext_lazy("Taxes that the total has on top of the lines.")
    )
    total = models.BigIntegerField(default=0)
    amount_due = models.BigIntegerField(default=0)
    amount_paid = models.BigIntegerField(default=0, help_text=gettext_lazy("The sum of its payments."))
    pre_payment_credited = models.BigIntegerField(
        default=0, help_text=gettext_lazy("What credit notes took off what was still to be paid.")
    )
    post_payment_credited = models.BigIntegerField(
        default=0, help_text=gettext_lazy("What credit notes gave back of what had been paid.")
    )
    starting_balance = models.BigIntegerField(
        default=0,
        help_text=gettext_lazy(
            "The customer's balance before the invoice became final; below zero is to their credit."
        ),
    )
    ending_balance = models.BigIntegerField(
        null=True,
        blank=True,
        help_text=gettext_lazy("The customer's balance after the invoice became final; empty for a draft."),
    )
    paid_out_of_band = models.BooleanField(default=False)
    parties = models.JSONField(
        null=True,
        blank=True,
        help_text=gettext_lazy("Who bills whom, as it was when the invoice became final; empty for a draft."),
    )
    description = models.TextField(blank=True)
    footer = models.TextField(blank=True)
    custom_fields = models.JSONField(
        default=list, blank=True, help_text=gettext_lazy("Up to four names and values, as printed.")
    )
    metadata = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField()
    finalizes_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text=gettext_lazy("When a draft becomes final by itself; until then late usage still counts."),
    )
    pause_behavior = models.CharField(
        max_length=18,
        choices=Subscription.PausedCollection,
        blank=True,
        help_text=gettext_lazy("What becomes of it, as its subscription's collection was paused when it was made."),
    )
    finalized_at = models.DateTimeField(null=True, blank=True)
    counted_before = models.UUIDField(
        null=True,
        editable=False,
        help_text=gettext_lazy(
            "An id made as the invoice became final: events whose ids are smaller were there to be counted."
        ),
    )
    due_at = models.DateTimeField(null=True, blank=True)
    escalates_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text=gettext_lazy(
            "When it moves its subscription on, if it is still open: at its due date, and after the company's patience."
        ),
    )
    reminds_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text=gettext_lazy(
            "When it is told that it will be due, or is overdue, if it is still open; empty once both were told."
        ),
    )
    paid_at = models.DateTimeField(null=True, blank=True)
    voided_at = models.DateTimeField(null=True, blank=True)
    uncollectible_at = models.DateTimeField(null=True, blank=True)

    objects = InvoiceQuerySet.as_manager()

    class Meta:
        constraints = [
            UniqueConstraint(
                fields=["environment", "subscription", "period_end"],
                condition=Q(billing_reason__in=["subscription_cycle", "subscription_create"]),
                name="invoice_one_per_subscription_period",
            ),
            UniqueConstraint(fields=["environment", "number"], condition=~Q(number=""), name="invoice_one_per_number"),
            CheckConstraint(
                condition=Q(status="draft", number="", finalized_at__isnull=True)
                | (~Q(status="draft") & ~Q(number="") & Q(finalized_at__isnull=False)),
                name="invoice_number_iff_final",
            ),
            CheckConstraint(
                condition=Q(status="paid", paid_at__isnull=False) | (~Q(status="paid") & Q(paid_at__isnull=True)),
                name="invoice_paid_at_iff_paid",
            ),
            CheckConstraint(
                condition=Q(status="void", voided_at__isnull=False) | (~Q(status="void") & Q(voided_at__isnull=True)),
                name="invoice_voided_at_iff_void",
            ),
            CheckConstraint(
                condition=~Q(status="uncollectible") | Q(uncollectible_at__isnull=False),
                name="invoice_uncollectible_at_if_uncollectible",
            ),
            CheckConstraint(
                condition=Q(status="open") | Q(escalates_at__isnull=True), name="invoice_escalates_only_while_open"
            ),
            CheckConstraint(condition=Q(credit_applied__gte=0), name="invoice_credit_applied_not_negative"),
            CheckConstraint(
                condition=Q(amount_due__gte=0) & Q(amount_paid__gte=0), name="invoice_amounts_not_negative"
            ),
            CheckConstraint(
                condition=Q(pre_payment_credited__gte=0, post_payment_credited__gte=0),
                name="invoice_credited_not_negative",
            ),
            CheckConstraint(
                condition=Q(pre_payment_credited=0, post_payment_credited=0)
                | Q(total__gte=F("pre_payment_credited") + F("post_payment_credited")),
                name="invoice_not_credited_beyond_its_total",
            ),
            # Neither more nor less: what is paid and what is credited before that make up what is due, or it is not paid.
            CheckConstraint(
                condition=Q(status="paid", amount_due=F("amount_paid") + F("pre_payment_credited"))
                | Q(status__in=["open", "uncollectible"], amount_due__gt=F("amount_paid") + F("pre_payment_credited"))
                | Q(status__in=["draft", "void"], amount_paid=0, pre_payment_credited=0, post_payment_credited=0),
                name="invoice_paid_iff_nothing_remains",
            ),
            CheckConstraint(condition=Q(period_end__gte=F("period_start")), name="invoice_period_in_order"),
        ]
        indexes = [
            models.Index(fields=["environment", "-created_at", "-id"], name="invoice_newest_first"),
            models.Index(fields=["environment", "status", "-created_at"], name="invoice_by_status"),
            models.Index(fields=["environment", "customer", "-created_at"], name="invoice_by_customer"),
            models.Index(fields=["finalizes_at"], condition=Q(status="draft"), name="invoice_draft_due"),
            models.Index(fields=["environment", "due_at"], condition=Q(status="open"), name="invoice_open_by_due_date"),
            models.Index(
                fields=["escalates_at"], condition=Q(escalates_at__isnull=False), name="invoice_escalation_due"
            ),
            models.Index(
                fields=["reminds_at"], condition=Q(reminds_at__isnull=False, status="open"), name="invoice_reminder_due"
            ),
        ]

    def __str__(self) -> str:
        return self.number or "draft"

    @property
    def period(self) -> Period:
        return Period(self.period_start, self.period_end)

    @property
    def amount_remaining(self) -> int:
        """What the customer is still to pay: what was due, without payments and credit notes."""
        return self.amount_due - self.amount_paid - self.pre_payment_credited

    @property
    def amount_creditable(self) -> int:
        """What credit notes can still take back."""
        return max(self.total - self.pre_payment_credited - self.post_payment_credited, 0)


# What stands as billed, whether it was paid or not.
_BILLED = [Invoice.Status.OPEN, Invoice.Status.PAID, Invoice.Status.UNCOLLECTIBLE]


class InvoiceLineQuerySet(models.QuerySet["InvoiceLine"]):
    def billed_usage(self) -> Self:
        """The lines by which metered periods were billed first: of final invoices, void ones left out, and no true-ups."""
        return self.filter(
            invoice__status__in=_BILLED,
            price__meter__isnull=False,
            subscription_item__isnull=False,
            trues_up__isnull=True,
        )

    def with_true_ups(self) -> Self:
        """Each line with what true-ups on final invoices have billed for its period since."""
        billed = Q(true_ups__invoice__status__in=_BILLED)
        quantity, amount = Sum("true_ups__quantity", filter=billed), Sum("true_ups__amount", filter=billed)
        return self.annotate(
            trued_up_quantity=Coalesce(quantity, Value(0), output_field=ExactDecimalField()),
            trued_up_amount=Coalesce(amount, Value(0), output_field=ExactDecimalField()),
        )

    def without_drafted_true_up(self) -> Self:
        """Lines that no draft trues up.

        Together with the above it is one statement and so one snapshot: a true-up that becomes final meanwhile is
        either still seen on its draft, or among what was billed.
        """
        drafted = InvoiceLine.objects.filter(trues_up=OuterRef("pk"), invoice__status=Invoice.Status.DRAFT)
        return self.filter(~Exists(drafted))


class InvoiceLine(models.Model):
    """One price over one period: quantity, exact amount, and the one rounding between them."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    # Walls refer to these, as with invoices.
    environment = models.ForeignKey(
        Environment, on_delete=models.PROTECT, related_name="invoice_lines", db_constraint=False, db_index=False
    )
    invoice = models.ForeignKey(Invoice, on_delete=models.CASCADE, related_name="lines", db_constraint=False)
    position = models.PositiveSmallIntegerField()
    subscription_item = models.ForeignKey(
        SubscriptionItem,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="invoice_lines",
        db_constraint=False,
    )
    price = models.ForeignKey(
        Price, on_delete=models.PROTECT, null=True, blank=True, related_name="invoice_lines", db_constraint=False
    )
    trues_up = models.ForeignKey(
        "self",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="true_ups",
        help_text=gettext_lazy(
            "The line of a final invoice whose period this one brings up to what was used in it after all."
        ),
    )
    invoice_item = models.ForeignKey(
        "invoices.InvoiceItem",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="lines",
        help_text=gettext_lazy("The proration, or the one-time charge, that the line puts onto its invoice."),
    )
    description = models.CharField(max_length=500)
    quantity = ExactDecimalField()
    unit_amount = models.DecimalField(
        max_digits=30,
        decimal_places=12,
        null=True,
        blank=True,
        help_text=gettext_lazy("Minor units per unit or package, with fraction; empty if the price has tiers."),
    )
    exact_amount = ExactDecimalField(help_text=gettext_lazy("Minor units before rounding."))
    amount = models.BigIntegerField(
        help_text=gettext_lazy(
            "Minor units: the exact amount, rounded once, half away from zero. Of a true-up: the exact cost of its "
            "period, rounded once, minus what was billed for it."
        )
    )
    period_start = models.DateTimeField()
    period_end = models.DateTimeField()
    is_discountable = models.BooleanField(
        default=True, help_text=gettext_lazy("Whether an invoice's discounts take something off it.")
    )
    basis = models.JSONField(
        default=dict,
        blank=True,
        help_text=gettext_lazy("What a metered quantity was computed from: meter, formula, events, time of reading."),
    )

    objects = InvoiceLineQuerySet.as_manager()

    class Meta:
        ordering = ["position"]
        constraints = [
            UniqueConstraint(fields=["environment", "invoice", "position"], name="invoice_line_one_per_position"),
            UniqueConstraint(
                fields=["environment", "invoice", "trues_up"],
                condition=Q(trues_up__isnull=False),
                name="invoice_line_one_true_up_per_line",
            ),
            UniqueConstraint(fields=["environment", "invoice_item"], name="invoice_line_one_per_invoice_item"),
            CheckConstraint(condition=Q(period_end__gte=F("period_start")), name="invoice_line_period_in_order"),
        ]
        indexes = [
            models.Index(fields=["environment", "subscription_item", "period_end"], name="invoice_line_by_item_period")
        ]

    def __str__(self) -> str:
        return self.description

    @property
    def period(self) -> Period:
        return Period(self.period_start, self.period_end)


class InvoiceNumbering(models.Model):
    """The last number given in an environment. Locked while an invoice is finalized, so that no number is skipped."""

    environment = models.OneToOneField(
        Environment, on_delete=models.PROTECT, primary_key=True, related_name="invoice_numbering"
    )
    prefix = models.CharField(max_length=20)
    last_number = models.PositiveBigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.prefix}-{self.last_number:06d}"
