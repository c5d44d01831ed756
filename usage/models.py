"""Usage: events as they came, the claims that make each count once, and the hourly summaries computed from them.

These tables are made for one shard key, ``environment``: every unique key begins with it, and none has a database
foreign key to a table outside this app. The first migration writes them by hand (partitions, bigint transaction ids);
the classes here describe what it made.
"""

from datetime import datetime
from typing import Self

from django.db import models
from django.db.models import CheckConstraint, Q, UniqueConstraint
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy

from accounts.models import Customer, Environment
from core.ids import new_id
from meters.models import Meter


class Source(models.TextChoices):
    """The way an event came in."""

    API = "api", gettext_lazy("API")
    STREAM = "stream", gettext_lazy("stream")
    BULK = "bulk", gettext_lazy("bulk")
    IMPORT = "import", gettext_lazy("import")


class MeterEventQuerySet(models.QuerySet["MeterEvent"]):
    def of(self, environment: Environment) -> Self:
        return self.filter(environment=environment)


class MeterEvent(models.Model):
    """One accepted usage event: append-only, partitioned by the month of ``timestamp``.

    ``xid`` is the id of the transaction that stored it, plus :attr:`Watermark.xid_offset`. The roll-up reads by it,
    since ids and times of concurrent writers do not become visible in their own order.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(
        Environment, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    meter = models.ForeignKey(Meter, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False)
    customer = models.ForeignKey(
        Customer, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    identifier = models.CharField(max_length=255)
    timestamp = models.DateTimeField(help_text=gettext_lazy("When the usage took place: the window that it counts in."))
    value = models.DecimalField(
        max_digits=60, decimal_places=30, null=True, help_text=gettext_lazy("Empty where the meter only counts.")
    )
    unique_value = models.CharField(
        max_length=100, null=True, help_text=gettext_lazy("The value of a meter that counts different ones.")
    )
    dimensions = models.JSONField(
        default=dict, help_text=gettext_lazy("The meter's declared dimensions, from the payload.")
    )
    payload = models.JSONField()
    source = models.CharField(max_length=8, choices=Source)
    received_at = models.DateTimeField()
    xid = models.BigIntegerField(editable=False)

    objects = MeterEventQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["environment", "meter", "customer", "timestamp"], name="event_by_customer_and_time"),
        ]

    def __str__(self) -> str:
        return self.identifier


class EventClaim(models.Model):
    """The right to count an event once: whoever inserts the row has it.

    It stands beside the events because a unique key on a table partitioned by time cannot see the same identifier
    under another timestamp.
    """

    class Namespace(models.IntegerChoices):
        IDENTIFIER = 1, "event identifier"
        RETRY_KEY = 2, "idempotency key of a request that reported events"
        # Not compared with what comes under it later, and never forgotten.
        REPORT_KEY = 3, "key under which one event was reported"

    pk = models.CompositePrimaryKey("environment", "namespace", "identifier")
    environment = models.ForeignKey(
        Environment, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    namespace = models.PositiveSmallIntegerField(choices=Namespace)
    identifier = models.CharField(max_length=255)
    event_id = models.UUIDField(help_text=gettext_lazy("The event, or the rejection, that the claim was made for."))
    event_timestamp = models.DateTimeField(help_text=gettext_lazy("Its timestamp, which leads to its partition."))
    fingerprint = models.BinaryField(
        null=True, help_text=gettext_lazy("Of a retry key: the hash of the request that made it.")
    )
    request_id = models.UUIDField(null=True, help_text=gettext_lazy("Of a retry key: the request that made it."))
    claimed_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.identifier


class EventNote(models.Model):
    """What a caller wants to have kept beside an event. Nothing is counted by it."""

    event_id = models.UUIDField()
    pk = models.CompositePrimaryKey("environment", "event_id")
    environment = models.ForeignKey(
        Environment, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    content = models.JSONField()

    def __str__(self) -> str:
        return str(self.event_id)


class EventAdjustment(models.Model):
    """The cancellation of an event. The event stays where it is, visible as canceled, and counts no more."""

    REASON_LENGTH = 500

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(
        Environment, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    meter = models.ForeignKey(Meter, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False)
    customer = models.ForeignKey(
        Customer, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    event_id = models.UUIDField()
    event_timestamp = models.DateTimeField()
    identifier = models.CharField(max_length=255)
    reason = models.CharField(
        max_length=REASON_LENGTH, blank=True, help_text=gettext_lazy("Why; required once a day has passed.")
    )
    created_at = models.DateTimeField()
    noticed_at = models.DateTimeField(
        null=True, help_text=gettext_lazy("When whoever charges for events took note of it; empty: not yet.")
    )

    class Meta:
        constraints = [UniqueConstraint(fields=["environment", "event_id"], name="event_canceled_once")]
        indexes = [
            models.Index(fields=["environment"], condition=Q(noticed_at__isnull=True), name="adjustment_unnoticed"),
            models.Index(fields=["environment", "-created_at"], name="adjustment_newest_first"),
            # A customer's canceled events by their time.
            models.Index(
                fields=["environment", "meter", "customer", "event_timestamp", "event_id"],
                name="adjustment_by_customer",
            ),
            models.Index(fields=["environment", "meter", "event_timestamp", "event_id"], name="adjustment_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.identifier} canceled"


class EventRejection(models.Model):
    """An event that was taken in but cannot be counted, with the reason."""

    class Code(models.TextChoices):
        NO_METER = "no_meter", gettext_lazy("no such meter")
        METER_CLOSED = "archived_meter", gettext_lazy("the meter is closed")
        NO_CUSTOMER = "meter_event_no_customer_defined", gettext_lazy("no customer named")
        CUSTOMER_NOT_FOUND = "meter_event_customer_not_found", gettext_lazy("no such customer")
        NO_VALUE = "meter_event_value_not_found", gettext_lazy("no value")
        INVALID_VALUE = "meter_event_invalid_value", gettext_lazy("invalid value")
        TOO_MANY_DIGITS = "meter_event_value_too_many_digits", gettext_lazy("too many digits")
        TOO_OLD = "timestamp_too_far_in_past", gettext_lazy("too old")
        IN_FUTURE = "timestamp_in_future", gettext_lazy("in the future")

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(
        Environment, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    meter = models.ForeignKey(
        Meter, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False, null=True
    )
    code = models.CharField(max_length=50, choices=Code)
    event_name = models.CharField(max_length=100)
    identifier = models.CharField(max_length=255)
    timestamp = models.DateTimeField()
    payload = models.JSONField()
    message = models.CharField(
        max_length=500, default="", help_text=gettext_lazy("The reason, as the caller would have been told.")
    )
    source = models.CharField(max_length=8, choices=Source)
    received_at = models.DateTimeField()
    reported_at = models.DateTimeField(
        null=True, help_text=gettext_lazy("When an error report took it up; empty: none yet.")
    )

    class Meta:
        indexes = [
            models.Index(fields=["environment", "-received_at"], name="rejection_newest_first"),
            models.Index(
                fields=["environment", "received_at"],
                name="rejection_unreported",
                condition=Q(reported_at__isnull=True),
            ),
            models.Index(fields=["environment", "meter", "-received_at"], name="rejection_by_meter"),
            models.Index(fields=["environment", "-timestamp", "-id"], name="rejection_by_time"),
            # One of the stream's claims nothing: it is found by this alone.
            models.Index(fields=["environment", "identifier", "-received_at"], name="rejection_by_identifier"),
        ]

    def __str__(self) -> str:
        return f"{self.identifier}: {self.get_code_display()}"


class UsageSummary(models.Model):
    """What one customer used on one meter in one UTC clock hour, per combination of declared dimensions.

    It covers the events of transactions before the watermark; :mod:`usage.reports` adds what came since.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    environment = models.ForeignKey(
        Environment, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    meter = models.ForeignKey(Meter, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False)
    customer = models.ForeignKey(
        Customer, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    hour = models.DateTimeField(help_text=gettext_lazy("The hour's start; it covers [hour, hour + 1 h)."))
    dimensions = models.JSONField(default=dict)
    event_count = models.BigIntegerField()
    value_sum = models.DecimalField(max_digits=80, decimal_places=30, null=True)
    value_min = models.DecimalField(max_digits=60, decimal_places=30, null=True)
    value_max = models.DecimalField(max_digits=60, decimal_places=30, null=True)
    last_value = models.DecimalField(max_digits=60, decimal_places=30, null=True)
    last_timestamp = models.DateTimeField()
    last_event_id = models.UUIDField(
        help_text=gettext_lazy("Decides between events of the same instant: the later id wins.")
    )

    class Meta:
        verbose_name_plural = gettext_lazy("usage summaries")
        constraints = [
            UniqueConstraint(
                fields=["environment", "meter", "customer", "hour", "dimensions"],
                name="summary_one_per_hour_and_dimensions",
            ),
            CheckConstraint(condition=Q(event_count__gt=0), name="summary_not_empty"),
        ]
        # For the console: the usage of the last hours, whoever's it is.
        indexes = [models.Index(fields=["environment", "hour"], name="summary_by_hour")]

    def __str__(self) -> str:
        return f"{self.meter} {self.hour:%Y-%m-%d %H}:00"


class DailySummary(models.Model):
    """The hourly summaries of one UTC day, added up: what reads of whole days look at.

    Whoever changes summaries of hours changes that of their day in the same transaction. It has no last value, which
    the day's latest hour tells, and no different values, which do not add up.
    """

    pk = models.CompositePrimaryKey("environment", "meter", "customer", "day", "dimensions")
    environment = models.ForeignKey(
        Environment, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    meter = models.ForeignKey(Meter, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False)
    customer = models.ForeignKey(
        Customer, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    day = models.DateTimeField(help_text=gettext_lazy("The UTC day's start; it covers [day, day + 24 h)."))
    dimensions = models.JSONField(default=dict)
    event_count = models.BigIntegerField()
    value_sum = models.DecimalField(max_digits=80, decimal_places=30, null=True)
    value_min = models.DecimalField(max_digits=60, decimal_places=30, null=True)
    value_max = models.DecimalField(max_digits=60, decimal_places=30, null=True)

    class Meta:
        verbose_name_plural = gettext_lazy("daily summaries")
        constraints = [CheckConstraint(condition=Q(event_count__gt=0), name="daily_summary_not_empty")]
        # Leads lists of events to the days on which anybody used a meter.
        indexes = [models.Index(fields=["environment", "meter", "day"], name="daily_summary_by_day")]

    def __str__(self) -> str:
        return f"{self.meter} {self.day:%Y-%m-%d}"


class UniqueValue(models.Model):
    """That a customer's events of one hour had this value, for meters that count different values.

    Beside the summary of the same hour and dimensions: different values cannot be added up, only looked at together.
    """

    pk = models.CompositePrimaryKey("environment", "meter", "customer", "hour", "dimensions", "value")
    environment = models.ForeignKey(
        Environment, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    meter = models.ForeignKey(Meter, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False)
    customer = models.ForeignKey(
        Customer, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    hour = models.DateTimeField()
    dimensions = models.JSONField(default=dict)
    value = models.CharField(max_length=100)

    def __str__(self) -> str:
        return self.value


class DirtyHour(models.Model):
    """A note that the summaries of one hour must be computed again from its events. Written and consumed, never changed."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(
        Environment, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    meter = models.ForeignKey(Meter, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False)
    customer = models.ForeignKey(
        Customer, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    hour = models.DateTimeField()
    reason = models.CharField(max_length=100)
    marked_at = models.DateTimeField()

    class Meta:
        indexes = [
            models.Index(fields=["environment", "marked_at"], name="dirty_hour_oldest_first"),
            # Reads take a marked hour from its events until it is computed again.
            models.Index(fields=["environment", "meter", "customer", "hour"], name="dirty_hour_by_hour"),
        ]

    def __str__(self) -> str:
        return f"{self.meter} {self.hour:%Y-%m-%d %H}:00"


class DroppedMonth(models.Model):
    """A UTC month whose events retention has dropped. Its summaries are all there is, and are never made anew.

    That its partition is gone would not tell: an import may have made it again, for other events.
    """

    month = models.DateTimeField(primary_key=True, help_text=gettext_lazy("The month's start."))
    dropped_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"{self.month:%Y-%m}"


class RecountDifferenceQuerySet(models.QuerySet["RecountDifference"]):
    def of(self, environment: Environment) -> Self:
        return self.filter(environment=environment)

    def unresolved(self) -> Self:
        return self.filter(resolved_at__isnull=True)


class RecountDifference(models.Model):
    """A summary that did not agree with what it is made from when that was counted again: an alarm, and its record.

    The hour is computed again within seconds. What remains is the question how it came about, until a person says that
    it is settled.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(
        Environment, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    meter = models.ForeignKey(Meter, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False)
    customer = models.ForeignKey(
        Customer, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    hour = models.DateTimeField(help_text=gettext_lazy("The hour's start; it covers [hour, hour + 1 h)."))
    is_of_day = models.BooleanField(
        default=False,
        db_default=False,
        help_text=gettext_lazy(
            "Whether a UTC day's summary differs from those of its hours, and not an hour's from its events."
        ),
    )
    dimensions = models.JSONField(default=dict)
    summarized = models.JSONField(
        null=True, help_text=gettext_lazy("What the summary said; empty where there was none.")
    )
    counted = models.JSONField(null=True, help_text=gettext_lazy("What the events say; empty where there are none."))
    found_at = models.DateTimeField()
    resolved_at = models.DateTimeField(null=True)

    objects = RecountDifferenceQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["environment", "-found_at"], name="difference_newest_first")]

    def __str__(self) -> str:
        return f"{self.meter} {self.hour:%Y-%m-%d %H}:00"


class Backfill(models.Model):
    """A file of events that a person brought in by hand: looked at first, then carried out once, and kept."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(
        Environment, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    file_name = models.CharField(max_length=200)
    content = models.BinaryField()
    rows = models.PositiveIntegerField()
    reason = models.CharField(max_length=500, help_text=gettext_lazy("Why these events come by hand; stays on record."))
    made_by = models.CharField(max_length=150)
    made_at = models.DateTimeField()
    carried_out_by = models.CharField(max_length=150, blank=True)
    carried_out_at = models.DateTimeField(null=True, blank=True)
    accepted = models.PositiveIntegerField(null=True, help_text=gettext_lazy("Events that count since."))
    known = models.PositiveIntegerField(
        null=True, help_text=gettext_lazy("Events that were there already, by their identifiers.")
    )
    refused = models.PositiveIntegerField(null=True, help_text=gettext_lazy("Rows that cannot be counted."))

    class Meta:
        indexes = [models.Index(fields=["environment", "-made_at"], name="backfill_newest_first")]

    def __str__(self) -> str:
        return self.file_name


class Watermark(models.Model):
    """How far the roll-up has read: all events of transactions before ``xid`` are in the summaries. One row.

    Ids count on over a move to another server, whose own begin anew: ``xid_offset`` is added to each.
    """

    SINGLETON = 1

    id = models.PositiveSmallIntegerField(primary_key=True, default=SINGLETON)
    xid = models.BigIntegerField(help_text=gettext_lazy("The first transaction id that is not rolled up yet."))
    read_at = models.DateTimeField(
        help_text=gettext_lazy("When that was true: summaries hold everything committed before.")
    )
    xid_offset = models.BigIntegerField(
        default=0, db_default=0, help_text=gettext_lazy("What is added to the server's own ids.")
    )
    system_identifier = models.BigIntegerField(
        null=True,
        help_text=gettext_lazy(
            "The PostgreSQL cluster that these ids are of. It changes when a dump is restored elsewhere."
        ),
    )

    class Meta:
        constraints = [CheckConstraint(condition=Q(id=1), name="watermark_is_one_row")]

    def __str__(self) -> str:
        return f"complete up to {self.read_at:%Y-%m-%d %H:%M:%S} UTC"

    def age_seconds(self, now: datetime) -> int:
        return int((now - self.read_at).total_seconds())
