"""Who pays what, from when: subscriptions and their items."""

from datetime import datetime
from fractions import Fraction
from typing import Self, cast
from zoneinfo import ZoneInfo

from django.db import models
from django.db.models import CheckConstraint, F, Q, UniqueConstraint
from django.utils.translation import gettext_lazy

from accounts.models import Customer, Environment, TestClock
from core.ids import new_id
from core.periods import Interval, Period, full_periods, next_boundary
from meters.models import Meter
from subscriptions import statuses
from subscriptions.models.catalog import Interval as PriceInterval
from subscriptions.models.catalog import Price


class SubscriptionQuerySet(models.QuerySet["Subscription"]):
    def of(self, environment: Environment) -> Self:
        return self.filter(environment=environment)

    def due(self, now: datetime, clock: TestClock | None = None) -> Self:
        """Subscriptions that something is due for, of the customers on a test clock or of those who live by the wall."""
        return self.filter(customer__test_clock=clock, wakes_at__lte=now)


class Subscription(models.Model):
    """A customer's agreement to pay the prices of its items, period after period, from an anchor."""

    Status = statuses.Status

    class CollectionMethod(models.TextChoices):
        CHARGE_AUTOMATICALLY = "charge_automatically"
        SEND_INVOICE = "send_invoice"

    class TrialEnd(models.TextChoices):
        """What follows a trial, as nobody here knows of a way to be paid."""

        CREATE_INVOICE = "create_invoice"
        PAUSE = "pause"
        CANCEL = "cancel"

    class PausedCollection(models.TextChoices):
        """What becomes of invoices that are made while collection is paused."""

        KEEP_AS_DRAFT = "keep_as_draft"
        MARK_UNCOLLECTIBLE = "mark_uncollectible"
        VOID = "void"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    # A wall refers to the customer together with the environment; the same without it would be checked once more for each
    # row. And each index begins with the environment.
    environment = models.ForeignKey(
        Environment, on_delete=models.PROTECT, related_name="subscriptions", db_constraint=False, db_index=False
    )
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="subscriptions", db_constraint=False)
    status = models.CharField(max_length=20, choices=Status, default=Status.ACTIVE)
    currency = models.CharField(max_length=3)
    collection_method = models.CharField(
        max_length=20, choices=CollectionMethod, default=CollectionMethod.CHARGE_AUTOMATICALLY
    )
    days_until_due = models.PositiveSmallIntegerField(null=True, blank=True)
    start_at = models.DateTimeField(help_text=gettext_lazy("Usage before this instant is not billed."))
    anchor_at = models.DateTimeField(help_text=gettext_lazy("The instant that all period boundaries are counted from."))
    anchor_config = models.JSONField(
        null=True,
        blank=True,
        help_text=gettext_lazy("The day and time that the anchor was asked for by, where it was."),
    )
    billing_zone = models.CharField(
        max_length=64,
        blank=True,
        help_text=gettext_lazy(
            "The company's zone when this began: period boundaries are local midnights there. Empty: UTC."
        ),
    )
    wakes_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text=gettext_lazy(
            "The next instant at which something happens by itself: the earliest of those that the row knows."
        ),
    )
    schedule = models.ForeignKey(
        "subscriptions.SubscriptionSchedule",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text=gettext_lazy("The schedule that manages it now."),
    )
    phase_ends_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text=gettext_lazy("When the schedule's phase that it is in ends, and the next one begins."),
    )
    expires_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text=gettext_lazy("When an incomplete subscription is given up; empty for any other."),
    )
    trial_start_at = models.DateTimeField(null=True, blank=True)
    trial_end_at = models.DateTimeField(null=True, blank=True)
    trial_warns_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text=gettext_lazy("When it is told that the trial ends soon; empty once that was told."),
    )
    trial_end_behavior = models.CharField(max_length=14, choices=TrialEnd, default=TrialEnd.CREATE_INVOICE)
    pending_interval = models.CharField(
        max_length=5,
        choices=PriceInterval,
        blank=True,
        help_text=gettext_lazy("How often what waits for it is invoiced between its periods' ends; empty: not at all."),
    )
    pending_interval_count = models.PositiveSmallIntegerField(null=True, blank=True)
    pending_invoice_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text=gettext_lazy("When what waits for it is invoiced next: boundaries count from its anchor."),
    )
    upcoming_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text=gettext_lazy("When its next invoice is foretold; empty once that was done, or if it is not."),
    )
    foreseen_end_at = models.DateTimeField(
        null=True, editable=False, help_text=gettext_lazy("The end of the period that this was decided for.")
    )
    pause_behavior = models.CharField(
        max_length=18, choices=PausedCollection, blank=True, help_text=gettext_lazy("Empty: invoices are collected.")
    )
    pause_resumes_at = models.DateTimeField(
        null=True, blank=True, help_text=gettext_lazy("Empty: paused until somebody resumes.")
    )
    paused_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text=gettext_lazy("When it was last paused: usage before that is settled, and billed no more."),
    )
    cancel_at = models.DateTimeField(null=True, blank=True)
    cancel_at_period_end = models.BooleanField(default=False)
    cancel_prorates = models.BooleanField(
        default=False,
        help_text=gettext_lazy("Whether a cancellation in mid-period gives back what was paid for the time after it."),
    )
    canceled_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    cancellation_details = models.JSONField(default=dict, blank=True)
    description = models.CharField(max_length=500, blank=True)
    metadata = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField()

    objects = SubscriptionQuerySet.as_manager()

    class Meta:
        constraints = [
            CheckConstraint(condition=Q(status__in=statuses.Status.values), name="subscription_status_is_known"),
            CheckConstraint(
                condition=Q(status__in=sorted(statuses.OVER), ended_at__isnull=False)
                | (~Q(status__in=sorted(statuses.OVER)) & Q(ended_at__isnull=True)),
                name="subscription_ended_at_iff_over",
            ),
            CheckConstraint(
                condition=Q(ended_at__isnull=True) | Q(wakes_at__isnull=True),
                name="subscription_wakes_no_more_when_over",
            ),
            CheckConstraint(
                condition=Q(status="incomplete", expires_at__isnull=False)
                | (~Q(status="incomplete") & Q(expires_at__isnull=True)),
                name="subscription_expires_at_iff_incomplete",
            ),
            CheckConstraint(
                condition=Q(trial_start_at__isnull=True, trial_end_at__isnull=True)
                | Q(trial_start_at__isnull=False, trial_end_at__gte=F("trial_start_at")),
                name="subscription_trial_has_both_ends",
            ),
            CheckConstraint(
                condition=~Q(status="trialing") | Q(trial_end_at__isnull=False),
                name="subscription_trialing_has_a_trial",
            ),
            CheckConstraint(
                condition=Q(schedule__isnull=True, phase_ends_at__isnull=True)
                | Q(schedule__isnull=False, phase_ends_at__isnull=False),
                name="subscription_in_a_phase_iff_scheduled",
            ),
            CheckConstraint(
                condition=Q(ended_at__isnull=True) | Q(schedule__isnull=True),
                name="subscription_scheduled_no_more_when_over",
            ),
            CheckConstraint(
                condition=Q(pending_interval="", pending_interval_count__isnull=True, pending_invoice_at__isnull=True)
                | (~Q(pending_interval="") & Q(pending_interval_count__gte=1, pending_invoice_at__isnull=False)),
                name="subscription_pending_interval_is_whole",
            ),
            CheckConstraint(
                condition=Q(pause_resumes_at__isnull=True) | ~Q(pause_behavior=""),
                name="subscription_resumes_only_if_paused",
            ),
            CheckConstraint(
                condition=~Q(collection_method="send_invoice") | Q(days_until_due__isnull=False),
                name="subscription_days_until_due_if_sent",
            ),
            CheckConstraint(
                condition=Q(ended_at__isnull=True) | Q(ended_at__gte=F("start_at")),
                name="subscription_ends_after_start",
            ),
        ]
        indexes = [
            models.Index(fields=["environment", "-created_at", "-id"], name="subscription_newest_first"),
            models.Index(fields=["environment", "customer"], name="subscription_by_customer"),
            models.Index(fields=["wakes_at"], condition=Q(wakes_at__isnull=False), name="subscription_due"),
        ]

    def __str__(self) -> str:
        return f"{self.customer} since {self.start_at:%Y-%m-%d}"

    @property
    def is_over(self) -> bool:
        return self.status in statuses.OVER

    def next_boundary(self, price: Price, after: datetime) -> datetime:
        """The first period boundary strictly later than an instant, for a price of this subscription."""
        interval, count = cast("Interval", price.interval), price.interval_count
        return next_boundary(self.anchor_at, interval, count, after, self.zone)

    def next_pending_invoice(self, after: datetime) -> datetime | None:
        """The first instant, strictly later than another, at which what waits for it is to be invoiced."""
        if not self.pending_interval:
            return None
        interval, count = cast("Interval", self.pending_interval), self.pending_interval_count or 1
        return next_boundary(self.anchor_at, interval, count, after, self.zone)

    def full_periods(self, price: Price, span: Period) -> Fraction:
        """How many full periods of a price a span is long."""
        interval, count = cast("Interval", price.interval), price.interval_count
        return full_periods(self.anchor_at, interval, count, span, self.zone)

    @property
    def zone(self) -> ZoneInfo | None:
        """Where boundaries are midnights, if they are."""
        return ZoneInfo(self.billing_zone) if self.billing_zone else None


class SubscriptionItemQuerySet(models.QuerySet["SubscriptionItem"]):
    def present(self) -> Self:
        """Items that were not removed."""
        return self.filter(removed_at__isnull=True)

    def reporting_to(self, meter: Meter, *, wall: datetime) -> Self:
        """Items that bill their customers' usage of a meter now: of subscriptions that have begun, and are not paused.

        :param wall: the wall's time; customers on a test clock live at theirs
        """
        begun = Q(subscription__customer__test_clock__isnull=True, subscription__start_at__lte=wall) | Q(
            subscription__start_at__lte=F("subscription__customer__test_clock__frozen_at")
        )
        return self.present().filter(
            begun,
            environment=meter.environment_id,
            price__meter=meter,
            subscription__pause_behavior="",
            subscription__status__in=sorted(set(statuses.Status) - statuses.OVER - {statuses.Status.PAUSED}),
        )


class SubscriptionItem(models.Model):
    """One price within a subscription, with the billing period it is in. Once removed, it stays for what was billed."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    # Walls refer to these, as with subscriptions.
    environment = models.ForeignKey(
        Environment, on_delete=models.PROTECT, related_name="subscription_items", db_constraint=False, db_index=False
    )
    subscription = models.ForeignKey(Subscription, on_delete=models.PROTECT, related_name="items", db_constraint=False)
    price = models.ForeignKey(Price, on_delete=models.PROTECT, related_name="subscription_items", db_constraint=False)
    quantity = models.PositiveBigIntegerField(
        null=True, blank=True, help_text=gettext_lazy("Units of a licensed price; empty for a metered one.")
    )
    effective_at = models.DateTimeField(
        help_text=gettext_lazy(
            "Since when the item has this price and quantity; what it had before is among its terms."
        )
    )
    current_period_start = models.DateTimeField()
    current_period_end = models.DateTimeField()
    metadata = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField()
    removed_at = models.DateTimeField(null=True, blank=True)

    objects = SubscriptionItemQuerySet.as_manager()

    class Meta:
        # As the caller listed them: their invoice lines come in the same order.
        ordering = ["created_at", "pk"]
        constraints = [
            UniqueConstraint(
                fields=["environment", "subscription", "price"],
                condition=Q(removed_at__isnull=True),
                name="subscription_item_one_per_price",
            ),
            CheckConstraint(
                condition=Q(current_period_end__gt=F("current_period_start")), name="subscription_item_period_not_empty"
            ),
        ]

    def __str__(self) -> str:
        return str(self.price)

    @property
    def current_period(self) -> Period:
        return Period(self.current_period_start, self.current_period_end)


class ItemTerm(models.Model):
    """What a subscription item was before it was changed or removed: a price and a quantity, from when until when.

    An item's terms follow upon each other without gap or overlap, and the last one ends where the item's present price
    and quantity take effect, or where it was removed.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="item_terms")
    subscription = models.ForeignKey(Subscription, on_delete=models.PROTECT, related_name="terms")
    item = models.ForeignKey(SubscriptionItem, on_delete=models.PROTECT, related_name="terms")
    price = models.ForeignKey(Price, on_delete=models.PROTECT, related_name="item_terms")
    quantity = models.PositiveBigIntegerField(null=True, blank=True)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    follows_at = models.DateTimeField(
        null=True, blank=True, help_text=gettext_lazy("Where the term before this one ends; empty for an item's first.")
    )

    class Meta:
        ordering = ["starts_at", "pk"]
        constraints = [
            # With the foreign key from (item, follows_at) to (item, ends_at), which Django has no word for: a chain
            # that begins once, goes on once from each end, and has no way to overlap.
            UniqueConstraint(fields=["environment", "item", "ends_at"], name="item_term_one_per_end"),
            UniqueConstraint(
                fields=["environment", "item", "follows_at"], nulls_distinct=False, name="item_term_one_after_another"
            ),
            CheckConstraint(
                condition=Q(follows_at__isnull=True) | Q(follows_at=F("starts_at")), name="item_term_follows_at_once"
            ),
            CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="item_term_not_empty"),
        ]
        indexes = [models.Index(fields=["environment", "subscription", "ends_at"], name="item_term_by_subscription")]

    def __str__(self) -> str:
        return f"{self.price} until {self.ends_at:%Y-%m-%d}"

    @property
    def period(self) -> Period:
        return Period(self.starts_at, self.ends_at)
