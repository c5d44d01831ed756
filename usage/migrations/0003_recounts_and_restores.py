import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import core.ids

# By hand, as the first one: the keys begin with the shard key, and no foreign key leads out of the app.
FORWARD = """
ALTER TABLE usage_watermark
    ADD COLUMN xid_offset bigint NOT NULL DEFAULT 0,
    ADD COLUMN system_identifier bigint;

CREATE TABLE usage_droppedmonth (
    month timestamptz PRIMARY KEY,
    dropped_at timestamptz NOT NULL DEFAULT statement_timestamp()
);

CREATE TABLE usage_recountdifference (
    environment_id uuid NOT NULL,
    id uuid NOT NULL,
    meter_id uuid NOT NULL,
    customer_id uuid NOT NULL,
    hour timestamptz NOT NULL,
    found_at timestamptz NOT NULL,
    resolved_at timestamptz,
    dimensions jsonb NOT NULL,
    summarized jsonb,
    counted jsonb,
    PRIMARY KEY (environment_id, id)
);
CREATE INDEX difference_newest_first ON usage_recountdifference (environment_id, found_at DESC);
"""

BACKWARD = """
DROP TABLE usage_recountdifference, usage_droppedmonth;
ALTER TABLE usage_watermark DROP COLUMN xid_offset, DROP COLUMN system_identifier;
"""


def reference(model: str) -> models.ForeignKey:
    return models.ForeignKey(
        db_constraint=False,
        db_index=False,
        on_delete=django.db.models.deletion.PROTECT,
        related_name="+",
        to=model,
    )


class Migration(migrations.Migration):
    dependencies = [("usage", "0002_rejections_for_error_reports")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(FORWARD, BACKWARD)],
            state_operations=[
                migrations.AddField(
                    model_name="watermark",
                    name="xid_offset",
                    field=models.BigIntegerField(
                        db_default=0, default=0, help_text="What is added to the server's own ids."
                    ),
                ),
                migrations.AddField(
                    model_name="watermark",
                    name="system_identifier",
                    field=models.BigIntegerField(
                        help_text="The PostgreSQL cluster that these ids are of. It changes when a dump is restored "
                        "elsewhere.",
                        null=True,
                    ),
                ),
                migrations.CreateModel(
                    name="DroppedMonth",
                    fields=[
                        (
                            "month",
                            models.DateTimeField(help_text="The month's start.", primary_key=True, serialize=False),
                        ),
                        (
                            "dropped_at",
                            models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                        ),
                    ],
                ),
                migrations.CreateModel(
                    name="RecountDifference",
                    fields=[
                        (
                            "id",
                            models.UUIDField(
                                default=core.ids.new_id, editable=False, primary_key=True, serialize=False
                            ),
                        ),
                        (
                            "hour",
                            models.DateTimeField(help_text="The hour's start; it covers [hour, hour + 1 h)."),
                        ),
                        ("dimensions", models.JSONField(default=dict)),
                        (
                            "summarized",
                            models.JSONField(help_text="What the summary said; empty where there was none.", null=True),
                        ),
                        (
                            "counted",
                            models.JSONField(help_text="What the events say; empty where there are none.", null=True),
                        ),
                        ("found_at", models.DateTimeField()),
                        ("resolved_at", models.DateTimeField(null=True)),
                        ("customer", reference("accounts.customer")),
                        ("environment", reference("accounts.environment")),
                        ("meter", reference("meters.meter")),
                    ],
                    options={
                        "indexes": [models.Index(fields=["environment", "-found_at"], name="difference_newest_first")],
                    },
                ),
            ],
        ),
    ]
