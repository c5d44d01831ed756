import django.db.models.deletion
from django.db import migrations, models

import core.ids

# Written by hand: Django makes no partitioned tables and no composite keys on models that the admin can show. Every key
# begins with environment_id, the shard key, and there is no foreign key to a table of another app (see usage/models.py).
TABLES = """
CREATE TABLE usage_meterevent (
    environment_id uuid NOT NULL,
    id uuid NOT NULL,
    "timestamp" timestamptz NOT NULL,
    meter_id uuid NOT NULL,
    customer_id uuid NOT NULL,
    received_at timestamptz NOT NULL,
    xid bigint NOT NULL,
    value numeric,
    unique_value varchar(100),
    identifier varchar(255) NOT NULL,
    source varchar(8) NOT NULL,
    dimensions jsonb NOT NULL,
    payload jsonb NOT NULL,
    PRIMARY KEY (environment_id, id, "timestamp")
) PARTITION BY RANGE ("timestamp");
CREATE INDEX event_by_customer_and_time ON usage_meterevent (environment_id, meter_id, customer_id, "timestamp");
-- What lies beyond the watermark, asked by every read and by the roll-up each second. A B-tree, since block ranges are
-- not summarized before a vacuum comes by: until then all that is new would be looked through each time.
CREATE INDEX event_by_transaction ON usage_meterevent (xid);

CREATE TABLE usage_eventclaim (
    environment_id uuid NOT NULL,
    namespace smallint NOT NULL,
    identifier varchar(255) NOT NULL,
    event_id uuid NOT NULL,
    event_timestamp timestamptz NOT NULL,
    claimed_at timestamptz NOT NULL,
    fingerprint bytea,
    PRIMARY KEY (environment_id, namespace, identifier)
);
-- Identifiers are kept for good; only the keys of re-sends grow old.
CREATE INDEX retry_key_by_age ON usage_eventclaim (environment_id, claimed_at) WHERE namespace = 2;

CREATE TABLE usage_eventadjustment (
    environment_id uuid NOT NULL,
    id uuid NOT NULL,
    meter_id uuid NOT NULL,
    customer_id uuid NOT NULL,
    event_id uuid NOT NULL,
    event_timestamp timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    identifier varchar(255) NOT NULL,
    reason varchar(500) NOT NULL,
    PRIMARY KEY (environment_id, id),
    CONSTRAINT event_canceled_once UNIQUE (environment_id, event_id)
);
CREATE INDEX adjustment_newest_first ON usage_eventadjustment (environment_id, created_at DESC);

CREATE TABLE usage_eventrejection (
    environment_id uuid NOT NULL,
    id uuid NOT NULL,
    meter_id uuid,
    "timestamp" timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    code varchar(50) NOT NULL,
    event_name varchar(100) NOT NULL,
    identifier varchar(255) NOT NULL,
    source varchar(8) NOT NULL,
    payload jsonb NOT NULL,
    PRIMARY KEY (environment_id, id)
);
CREATE INDEX rejection_newest_first ON usage_eventrejection (environment_id, received_at DESC);

CREATE TABLE usage_usagesummary (
    environment_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    meter_id uuid NOT NULL,
    customer_id uuid NOT NULL,
    hour timestamptz NOT NULL,
    dimensions jsonb NOT NULL,
    event_count bigint NOT NULL CONSTRAINT summary_not_empty CHECK (event_count > 0),
    value_sum numeric,
    value_min numeric,
    value_max numeric,
    last_value numeric,
    last_timestamp timestamptz NOT NULL,
    last_event_id uuid NOT NULL,
    PRIMARY KEY (environment_id, id),
    CONSTRAINT summary_one_per_hour_and_dimensions UNIQUE (environment_id, meter_id, customer_id, hour, dimensions)
);
CREATE INDEX summary_by_hour ON usage_usagesummary (environment_id, hour);

CREATE TABLE usage_uniquevalue (
    environment_id uuid NOT NULL,
    meter_id uuid NOT NULL,
    customer_id uuid NOT NULL,
    hour timestamptz NOT NULL,
    dimensions jsonb NOT NULL,
    value varchar(100) NOT NULL,
    PRIMARY KEY (environment_id, meter_id, customer_id, hour, dimensions, value)
);

CREATE TABLE usage_dirtyhour (
    environment_id uuid NOT NULL,
    id uuid NOT NULL,
    meter_id uuid NOT NULL,
    customer_id uuid NOT NULL,
    hour timestamptz NOT NULL,
    reason varchar(100) NOT NULL,
    marked_at timestamptz NOT NULL,
    PRIMARY KEY (environment_id, id)
);
CREATE INDEX dirty_hour_oldest_first ON usage_dirtyhour (environment_id, marked_at);
CREATE INDEX dirty_hour_by_hour ON usage_dirtyhour (environment_id, meter_id, customer_id, hour);

CREATE TABLE usage_watermark (
    id smallint PRIMARY KEY CONSTRAINT watermark_is_one_row CHECK (id = 1),
    xid bigint NOT NULL,
    read_at timestamptz NOT NULL
);
"""

DROP_TABLES = """
DROP TABLE usage_meterevent, usage_eventclaim, usage_eventadjustment, usage_eventrejection, usage_usagesummary,
    usage_uniquevalue, usage_dirtyhour, usage_watermark;
"""


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("accounts", "0003_idempotency_records_are_answers"),
        ("meters", "0003_unique_values"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(TABLES, DROP_TABLES)],
            state_operations=[
                migrations.CreateModel(
                    name="EventClaim",
                    fields=[
                        (
                            "pk",
                            models.CompositePrimaryKey(
                                "environment",
                                "namespace",
                                "identifier",
                                blank=True,
                                editable=False,
                                primary_key=True,
                                serialize=False,
                            ),
                        ),
                        (
                            "namespace",
                            models.PositiveSmallIntegerField(
                                choices=[
                                    (1, "event identifier"),
                                    (2, "idempotency key of a request that reported events"),
                                ]
                            ),
                        ),
                        ("identifier", models.CharField(max_length=255)),
                        (
                            "event_id",
                            models.UUIDField(help_text="The event, or the rejection, that the claim was made for."),
                        ),
                        (
                            "event_timestamp",
                            models.DateTimeField(help_text="Its timestamp, which leads to its partition."),
                        ),
                        (
                            "fingerprint",
                            models.BinaryField(
                                help_text="Of a retry key: the hash of the request that made it.", null=True
                            ),
                        ),
                        ("claimed_at", models.DateTimeField()),
                        (
                            "environment",
                            models.ForeignKey(
                                db_constraint=False,
                                db_index=False,
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="+",
                                to="accounts.environment",
                            ),
                        ),
                    ],
                ),
                migrations.CreateModel(
                    name="UniqueValue",
                    fields=[
                        (
                            "pk",
                            models.CompositePrimaryKey(
                                "environment",
                                "meter",
                                "customer",
                                "hour",
                                "dimensions",
                                "value",
                                blank=True,
                                editable=False,
                                primary_key=True,
                                serialize=False,
                            ),
                        ),
                        ("hour", models.DateTimeField()),
                        ("dimensions", models.JSONField(default=dict)),
                        ("value", models.CharField(max_length=100)),
                        (
                            "customer",
                            models.ForeignKey(
                                db_constraint=False,
                                db_index=False,
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="+",
                                to="accounts.customer",
                            ),
                        ),
                        (
                            "environment",
                            models.ForeignKey(
                                db_constraint=False,
                                db_index=False,
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="+",
                                to="accounts.environment",
                            ),
                        ),
                        (
                            "meter",
                            models.ForeignKey(
                                db_constraint=False,
                                db_index=False,
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="+",
                                to="meters.meter",
                            ),
                        ),
                    ],
                ),
                migrations.CreateModel(
                    name="Watermark",
                    fields=[
                        ("id", models.PositiveSmallIntegerField(default=1, primary_key=True, serialize=False)),
                        (
                            "xid",
                            models.BigIntegerField(help_text="The first transaction id that is not rolled up yet."),
                        ),
                        (
                            "read_at",
                            models.DateTimeField(
                                help_text="When that was true: summaries hold everything committed before."
                            ),
                        ),
                    ],
                    options={
                        "constraints": [
                            models.CheckConstraint(condition=models.Q(("id", 1)), name="watermark_is_one_row")
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="DirtyHour",
                    fields=[
                        (
                            "id",
                            models.UUIDField(
                                default=core.ids.new_id, editable=False, primary_key=True, serialize=False
                            ),
                        ),
                        ("hour", models.DateTimeField()),
                        ("reason", models.CharField(max_length=100)),
                        ("marked_at", models.DateTimeField()),
                        (
                            "customer",
                            models.ForeignKey(
                                db_constraint=False,
                                db_index=False,
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="+",
                                to="accounts.customer",
                            ),
                        ),
                        (
                            "environment",
                            models.ForeignKey(
                                db_constraint=False,
                                db_index=False,
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="+",
                                to="accounts.environment",
                            ),
                        ),
                        (
                            "meter",
                            models.ForeignKey(
                                db_constraint=False,
                                db_index=False,
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="+",
                                to="meters.meter",
                            ),
                        ),
                    ],
                    options={
                        "indexes": [
                            models.Index(fields=["environment", "marked_at"], name="dirty_hour_oldest_first"),
                            models.Index(
                                fields=["environment", "meter", "customer", "hour"], name="dirty_hour_by_hour"
                            ),
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="EventAdjustment",
                    fields=[
                        (
                            "id",
                            models.UUIDField(
                                default=core.ids.new_id, editable=False, primary_key=True, serialize=False
                            ),
                        ),
                        ("event_id", models.UUIDField()),
                        ("event_timestamp", models.DateTimeField()),
                        ("identifier", models.CharField(max_length=255)),
                        (
                            "reason",
                            models.CharField(
                                blank=True, help_text="Why; required once a day has passed.", max_length=500
                            ),
                        ),
                        ("created_at", models.DateTimeField()),
                        (
                            "customer",
                            models.ForeignKey(
                                db_constraint=False,
                                db_index=False,
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="+",
                                to="accounts.customer",
                            ),
                        ),
                        (
                            "environment",
                            models.ForeignKey(
                                db_constraint=False,
                                db_index=False,
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="+",
                                to="accounts.environment",
                            ),
                        ),
                        (
                            "meter",
                            models.ForeignKey(
                                db_constraint=False,
                                db_index=False,
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="+",
                                to="meters.meter",
                            ),
                        ),
                    ],
                    options={
                        "indexes": [
                            models.Index(fields=["environment", "-created_at"], name="adjustment_newest_first")
                        ],
                        "constraints": [
                            models.UniqueConstraint(fields=("environment", "event_id"), name="event_canceled_once")
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="EventRejection",
                    fields=[
                        (
                            "id",
                            models.UUIDField(
                                default=core.ids.new_id, editable=False, primary_key=True, serialize=False
                            ),
                        ),
                        (
                            "code",
                            models.CharField(
                                choices=[("meter_event_customer_not_found", "no such customer")], max_length=50
                            ),
                        ),
                        ("event_name", models.CharField(max_length=100)),
                        ("identifier", models.CharField(max_length=255)),
                        ("timestamp", models.DateTimeField()),
                        ("payload", models.JSONField()),
                        ("source", models.CharField(choices=[("api", "Api"), ("import", "Import")], max_length=8)),
                        ("received_at", models.DateTimeField()),
                        (
                            "environment",
                            models.ForeignKey(
                                db_constraint=False,
                                db_index=False,
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="+",
                                to="accounts.environment",
                            ),
                        ),
                        (
                            "meter",
                            models.ForeignKey(
                                db_constraint=False,
                                db_index=False,
                                null=True,
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="+",
                                to="meters.meter",
                            ),
                        ),
                    ],
                    options={
                        "indexes": [
                            models.Index(fields=["environment", "-received_at"], name="rejection_newest_first")
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="MeterEvent",
                    fields=[
                        (
                            "id",
                            models.UUIDField(
                                default=core.ids.new_id, editable=False, primary_key=True, serialize=False
                            ),
                        ),
                        ("identifier", models.CharField(max_length=255)),
                        (
                            "timestamp",
                            models.DateTimeField(help_text="When the usage took place: the window that it counts in."),
                        ),
                        (
                            "value",
                            models.DecimalField(
                                decimal_places=30,
                                help_text="Empty where the meter only counts.",
                                max_digits=60,
                                null=True,
                            ),
                        ),
                        (
                            "unique_value",
                            models.CharField(
                                help_text="The value of a meter that counts different ones.", max_length=100, null=True
                            ),
                        ),
                        (
                            "dimensions",
                            models.JSONField(
                                default=dict, help_text="The meter's declared dimensions, from the payload."
                            ),
                        ),
                        ("payload", models.JSONField()),
                        ("source", models.CharField(choices=[("api", "Api"), ("import", "Import")], max_length=8)),
                        ("received_at", models.DateTimeField()),
                        ("xid", models.BigIntegerField(editable=False)),
                        (
                            "customer",
                            models.ForeignKey(
                                db_constraint=False,
                                db_index=False,
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="+",
                                to="accounts.customer",
                            ),
                        ),
                        (
                            "environment",
                            models.ForeignKey(
                                db_constraint=False,
                                db_index=False,
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="+",
                                to="accounts.environment",
                            ),
                        ),
                        (
                            "meter",
                            models.ForeignKey(
                                db_constraint=False,
                                db_index=False,
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="+",
                                to="meters.meter",
                            ),
                        ),
                    ],
                    options={
                        "indexes": [
                            models.Index(
                                fields=["environment", "meter", "customer", "timestamp"],
                                name="event_by_customer_and_time",
                            )
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="UsageSummary",
                    fields=[
                        ("id", models.UUIDField(editable=False, primary_key=True, serialize=False)),
                        ("hour", models.DateTimeField(help_text="The hour's start; it covers [hour, hour + 1 h).")),
                        ("dimensions", models.JSONField(default=dict)),
                        ("event_count", models.BigIntegerField()),
                        ("value_sum", models.DecimalField(decimal_places=30, max_digits=80, null=True)),
                        ("value_min", models.DecimalField(decimal_places=30, max_digits=60, null=True)),
                        ("value_max", models.DecimalField(decimal_places=30, max_digits=60, null=True)),
                        ("last_value", models.DecimalField(decimal_places=30, max_digits=60, null=True)),
                        ("last_timestamp", models.DateTimeField()),
                        (
                            "last_event_id",
                            models.UUIDField(
                                help_text="Decides between events of the same instant: the later id wins."
                            ),
                        ),
                        (
                            "customer",
                            models.ForeignKey(
                                db_constraint=False,
                                db_index=False,
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="+",
                                to="accounts.customer",
                            ),
                        ),
                        (
                            "environment",
                            models.ForeignKey(
                                db_constraint=False,
                                db_index=False,
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="+",
                                to="accounts.environment",
                            ),
                        ),
                        (
                            "meter",
                            models.ForeignKey(
                                db_constraint=False,
                                db_index=False,
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="+",
                                to="meters.meter",
                            ),
                        ),
                    ],
                    options={
                        "verbose_name_plural": "usage summaries",
                        "indexes": [models.Index(fields=["environment", "hour"], name="summary_by_hour")],
                        "constraints": [
                            models.UniqueConstraint(
                                fields=("environment", "meter", "customer", "hour", "dimensions"),
                                name="summary_one_per_hour_and_dimensions",
                            ),
                            models.CheckConstraint(
                                condition=models.Q(("event_count__gt", 0)), name="summary_not_empty"
                            ),
                        ],
                    },
                ),
            ],
        ),
    ]
