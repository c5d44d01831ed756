"""What is to become of a subscription, and when: schedules of phases that follow upon each other."""

from datetime import datetime
from typing import Self

from django.db import models
from django.db.models import CheckConstraint, F, Q, UniqueConstraint
from django.utils.translation import gettext_lazy

from accounts.models import Customer, Environment, TestClock
from core.ids import new_id
from core.periods import Period
from subscriptions.models.catalog import Price
from subscriptions.models.discounts import Coupon, Discount, PromotionCode
from subscriptions.models.subscriptions import Subscription
from subscriptions.models.taxes import TaxRate


class SubscriptionScheduleQuerySet(models.QuerySet["SubscriptionSchedule"]):
    def of(self, environment: Environment) -> Self:
        return self.filter(environment=environment)

    def due(self, now: datetime, clock: TestClock | None = None) -> Self:
        """Schedules whose subscription is to begin, of the customers on a test clock or of those who live by the wall."""
        waiting = self.filter(status=SubscriptionSchedule.Status.NOT_STARTED, start_at__lte=now)
        return waiting.filter(customer__test_clock=clock)


class SubscriptionSchedule(models.Model):
    """A plan for a subscription: it begins with the first phase, and each phase makes of it what it says.

    Once it has begun, whoever holds the subscription's lock holds the schedule's.
    """

    class Status(models.TextChoices):
        """Completed: all its phases are over, and so is the subscription. Released: the subscription goes on without it."""

        NOT_STARTED = "not_started"
        ACTIVE = "active"
        COMPLETED = "completed"
        RELEASED = "released"
        CANCELED = "canceled"

    class EndBehavior(models.TextChoices):
        """What becomes of the subscription after the last phase."""

        RELEASE = "release"
        CANCEL = "cancel"

    class Anchor(models.TextChoices):
        """Where boundaries count from in a phase: as before, unless prices recur otherwise, or from its start."""

        AUTOMATIC = "automatic"
        PHASE_START = "phase_start"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="schedules")
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="schedules")
    subscription = models.ForeignKey(
        Subscription,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="schedules",
        help_text=gettext_lazy("What it manages, or managed; empty until it begins."),
    )
    status = models.CharField(max_length=11, choices=Status, default=Status.NOT_STARTED)
    start_at = models.DateTimeField(help_text=gettext_lazy("When the first phase begins."))
    end_behavior = models.CharField(max_length=7, choices=EndBehavior, default=EndBehavior.RELEASE)
    anchor = models.CharField(max_length=11, choices=Anchor, default=Anchor.AUTOMATIC)
    collection_method = models.CharField(
        max_length=20,
        choices=Subscription.CollectionMethod,
        default=Subscription.CollectionMethod.CHARGE_AUTOMATICALLY,
        help_text=gettext_lazy("In phases that say nothing else, as for the anchor and the description."),
    )
    days_until_due = models.PositiveSmallIntegerField(null=True, blank=True)
    description = models.CharField(max_length=500, blank=True)
    metadata = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField()
    completed_at = models.DateTimeField(null=True, blank=True)
    released_at = models.DateTimeField(null=True, blank=True)
    canceled_at = models.DateTimeField(null=True, blank=True)

    objects = SubscriptionScheduleQuerySet.as_manager()

    class Meta:
        constraints = [
            CheckConstraint(
                condition=Q(
                    status__in=["not_started", "active"],
                    completed_at__isnull=True,
                    released_at__isnull=True,
                    canceled_at__isnull=True,
                )
                | Q(status="completed", completed_at__isnull=False)
                | Q(status="released", released_at__isnull=False)
                | Q(status="canceled", canceled_at__isnull=False),
                name="schedule_says_when_it_was_over",
            ),
            CheckConstraint(
                condition=~Q(status="not_started") | Q(subscription__isnull=True),
                name="schedule_not_started_has_no_subscription",
            ),
            CheckConstraint(
                condition=~Q(status__in=["active", "completed"]) | Q(subscription__isnull=False),
                name="schedule_begun_has_a_subscription",
            ),
            CheckConstraint(
                condition=~Q(collection_method="send_invoice") | Q(days_until_due__isnull=False),
                name="schedule_days_until_due_if_sent",
            ),
            UniqueConstraint(
                fields=["environment", "subscription"],
                condition=Q(status="active"),
                name="schedule_one_active_per_subscription",
            ),
        ]
        indexes = [
            models.Index(fields=["environment", "-created_at", "-id"], name="schedule_newest_first"),
            models.Index(fields=["environment", "customer"], name="schedule_by_customer"),
            models.Index(fields=["start_at"], condition=Q(status="not_started"), name="schedule_due"),
        ]

    def __str__(self) -> str:
        return f"{self.customer} from {self.start_at:%Y-%m-%d}"

    @property
    def is_over(self) -> bool:
        return self.status not in {self.Status.NOT_STARTED, self.Status.ACTIVE}


class SchedulePhase(models.Model):
    """What a subscription is for some time. A schedule's phases follow upon each other without a gap."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="+")
    schedule = models.ForeignKey(SubscriptionSchedule, on_delete=models.CASCADE, related_name="phases")
    start_at = models.DateTimeField()
    end_at = models.DateTimeField()
    begun_at = models.DateTimeField(
        null=True, blank=True, help_text=gettext_lazy("When the subscription was made what it says.")
    )
    trial_end_at = models.DateTimeField(null=True, blank=True)
    anchor = models.CharField(max_length=11, choices=SubscriptionSchedule.Anchor, blank=True)
    proration_behavior = models.CharField(
        max_length=17, help_text=gettext_lazy("About time that was paid for before it begins.")
    )
    collection_method = models.CharField(max_length=20, choices=Subscription.CollectionMethod, blank=True)
    days_until_due = models.PositiveSmallIntegerField(null=True, blank=True)
    description = models.CharField(max_length=500, blank=True)
    metadata = models.JSONField(
        default=dict, blank=True, help_text=gettext_lazy("Added to the subscription's; null takes a key away there.")
    )

    class Meta:
        ordering = ["start_at"]
        constraints = [
            UniqueConstraint(fields=["environment", "schedule", "start_at"], name="schedule_phase_one_per_start"),
            UniqueConstraint(fields=["environment", "schedule", "end_at"], name="schedule_phase_one_per_end"),
            CheckConstraint(condition=Q(end_at__gt=F("start_at")), name="schedule_phase_not_empty"),
            CheckConstraint(
                condition=Q(trial_end_at__isnull=True)
                | Q(trial_end_at__gt=F("start_at"), trial_end_at__lte=F("end_at")),
                name="schedule_phase_trial_within",
            ),
        ]

    def __str__(self) -> str:
        return f"from {self.start_at:%Y-%m-%d} to {self.end_at:%Y-%m-%d}"

    @property
    def period(self) -> Period:
        return Period(self.start_at, self.end_at)


class PhaseItem(models.Model):
    """A price that a subscription has during a phase, or one that is billed once with it."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="+")
    phase = models.ForeignKey(SchedulePhase, on_delete=models.CASCADE, related_name="items")
    position = models.PositiveSmallIntegerField()
    price = models.ForeignKey(Price, on_delete=models.PROTECT, related_name="phase_items")
    quantity = models.PositiveBigIntegerField(null=True, blank=True)
    is_once = models.BooleanField(default=False, help_text=gettext_lazy("Billed once, with the phase's first invoice."))
    is_discountable = models.BooleanField(default=True)
    metadata = models.JSONField(default=dict, blank=True)

    class Meta:
        ordering = ["position"]
        constraints = [
            UniqueConstraint(fields=["environment", "phase", "is_once", "position"], name="phase_item_in_order"),
        ]

    def __str__(self) -> str:
        return str(self.price)


class PhaseDiscount(models.Model):
    """What is redeemed when a phase begins, for the subscription or for an item; or a discount that stays."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="+")
    phase = models.ForeignKey(SchedulePhase, on_delete=models.CASCADE, related_name="discounts")
    item = models.ForeignKey(PhaseItem, on_delete=models.CASCADE, null=True, blank=True, related_name="discounts")
    position = models.PositiveSmallIntegerField()
    coupon = models.ForeignKey(Coupon, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    promotion_code = models.ForeignKey(PromotionCode, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    discount = models.ForeignKey(Discount, on_delete=models.PROTECT, null=True, blank=True, related_name="+")

    class Meta:
        ordering = ["position"]
        constraints = [
            CheckConstraint(
                condition=Q(coupon__isnull=False, promotion_code__isnull=True, discount__isnull=True)
                | Q(coupon__isnull=True, promotion_code__isnull=False, discount__isnull=True)
                | Q(coupon__isnull=True, promotion_code__isnull=True, discount__isnull=False),
                name="phase_discount_is_one_thing",
            ),
        ]

    def __str__(self) -> str:
        return str(self.coupon or self.promotion_code or self.discount)


class PhaseTaxRate(models.Model):
    """A tax that is asked during a phase, for an item or for what has none of its own."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="+")
    phase = models.ForeignKey(SchedulePhase, on_delete=models.CASCADE, related_name="tax_rates")
    item = models.ForeignKey(PhaseItem, on_delete=models.CASCADE, null=True, blank=True, related_name="tax_rates")
    position = models.PositiveSmallIntegerField()
    tax_rate = models.ForeignKey(TaxRate, on_delete=models.PROTECT, related_name="+")

    class Meta:
        ordering = ["position"]
        constraints = [
            UniqueConstraint(
                fields=["environment", "phase", "item", "tax_rate"], nulls_distinct=False, name="phase_tax_rate_once"
            ),
        ]

    def __str__(self) -> str:
        return str(self.tax_rate)
