"""What a month's usage would have cost at another price: reports, which change nothing."""

from datetime import datetime
from typing import Self

from django.db import models
from django.db.models import CheckConstraint, F, Q, UniqueConstraint
from django.utils.translation import gettext_lazy

from accounts.models import Customer, Environment
from core.fields import ExactDecimalField
from core.ids import new_id
from core.periods import Period
from meters.models import Meter
from subscriptions.models import Price


class WhatIfQuerySet(models.QuerySet["WhatIf"]):
    def of(self, environment: Environment) -> Self:
        return self.filter(environment=environment)

    def unfinished(self) -> Self:
        return self.filter(state__in=[WhatIf.State.WAITING, WhatIf.State.RUNNING])


class WhatIf(models.Model):
    """One price held against what a month's usage was billed by. Amounts are minor units, before discounts and taxes."""

    class State(models.TextChoices):
        WAITING = "waiting"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="+")
    name = models.CharField(max_length=200)
    meter = models.ForeignKey(Meter, on_delete=models.PROTECT, related_name="+")
    price = models.ForeignKey(
        Price,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text=gettext_lazy("Whose customers are looked at; empty: whoever used the meter, or has a price of it."),
    )
    other_price = models.ForeignKey(
        Price,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text=gettext_lazy("If it is one that exists."),
    )
    terms = models.JSONField(help_text=gettext_lazy("What the other price says about money, as text."))
    currency = models.CharField(max_length=3)
    period_start = models.DateTimeField()
    period_end = models.DateTimeField()
    state = models.CharField(max_length=7, choices=State, default=State.WAITING)
    failure = models.TextField(blank=True)
    customer_count = models.PositiveIntegerField(
        null=True, blank=True, help_text=gettext_lazy("Empty until they are gathered.")
    )
    done_count = models.PositiveIntegerField(default=0)
    amount_now = models.BigIntegerField(null=True, blank=True)
    amount_then = models.BigIntegerField(null=True, blank=True)
    asked_by = models.CharField(max_length=200)
    asked_at = models.DateTimeField()
    done_at = models.DateTimeField(null=True, blank=True)

    objects = WhatIfQuerySet.as_manager()

    class Meta:
        verbose_name = gettext_lazy("what-if price")
        ordering = ["-pk"]
        constraints = [
            CheckConstraint(condition=Q(period_end__gt=F("period_start")), name="what_if_period_not_empty"),
            CheckConstraint(
                condition=Q(state="done", amount_now__isnull=False, amount_then__isnull=False, done_at__isnull=False)
                | (~Q(state="done") & Q(amount_now__isnull=True, amount_then__isnull=True, done_at__isnull=True)),
                name="what_if_has_sums_iff_done",
            ),
        ]
        indexes = [
            models.Index(fields=["environment", "-id"], name="what_if_newest_first"),
            models.Index(fields=["id"], condition=Q(state__in=["waiting", "running"]), name="what_if_unfinished"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def period(self) -> Period:
        return Period(self.period_start, self.period_end)

    @property
    def month(self) -> datetime:
        return self.period_start


class WhatIfOutcome(models.Model):
    """What one customer's usage was billed at, and would have been. Empty until it is computed."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="+")
    what_if = models.ForeignKey(WhatIf, on_delete=models.CASCADE, related_name="outcomes")
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="+")
    quantity = ExactDecimalField(null=True, blank=True)
    amount_now = models.BigIntegerField(null=True, blank=True)
    amount_then = models.BigIntegerField(null=True, blank=True)
    difference = models.BigIntegerField(null=True, blank=True)

    class Meta:
        verbose_name = gettext_lazy("what-if outcome")
        constraints = [
            UniqueConstraint(fields=["environment", "what_if", "customer"], name="what_if_outcome_one_per_customer"),
            CheckConstraint(
                condition=Q(quantity=None, amount_now=None, amount_then=None, difference=None)
                | Q(quantity__isnull=False, difference=F("amount_then") - F("amount_now")),
                name="what_if_outcome_adds_up",
            ),
        ]
        indexes = [
            models.Index(fields=["what_if", "difference", "id"], name="what_if_outcome_by_difference"),
            models.Index(fields=["what_if", "customer"], condition=Q(quantity=None), name="what_if_outcome_to_do"),
        ]

    def __str__(self) -> str:
        return str(self.customer)
