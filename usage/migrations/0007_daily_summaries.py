import django.db.models.deletion
from django.db import migrations, models

# By hand, as the first one: the key begins with the shard key, and no foreign key leads out of the app. What the hourly
# summaries say so far is added up under the roll-up's own lock, so that nothing comes between the two.
FORWARD = """
CREATE TABLE usage_dailysummary (
    environment_id uuid NOT NULL,
    meter_id uuid NOT NULL,
    customer_id uuid NOT NULL,
    day timestamptz NOT NULL,
    dimensions jsonb NOT NULL,
    event_count bigint NOT NULL CONSTRAINT daily_summary_not_empty CHECK (event_count > 0),
    value_sum numeric,
    value_min numeric,
    value_max numeric,
    PRIMARY KEY (environment_id, meter_id, customer_id, day, dimensions)
);
SELECT 1 FROM usage_watermark WHERE id = 1 FOR UPDATE;
INSERT INTO usage_dailysummary
SELECT environment_id, meter_id, customer_id, date_trunc('day', hour, 'UTC'), dimensions,
       sum(event_count), sum(value_sum), min(value_min), max(value_max)
  FROM usage_usagesummary GROUP BY 1, 2, 3, 4, 5;

ALTER TABLE usage_recountdifference ADD COLUMN is_of_day boolean NOT NULL DEFAULT false;
"""

BACKWARD = """
DROP TABLE usage_dailysummary;
ALTER TABLE usage_recountdifference DROP COLUMN is_of_day;
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
    dependencies = [("usage", "0006_report_keys")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(FORWARD, BACKWARD)],
            state_operations=[
                migrations.CreateModel(
                    name="DailySummary",
                    fields=[
                        (
                            "pk",
                            models.CompositePrimaryKey(
                                "environment",
                                "meter",
                                "customer",
                                "day",
                                "dimensions",
                                blank=True,
                                editable=False,
                                primary_key=True,
                                serialize=False,
                            ),
                        ),
                        ("day", models.DateTimeField(help_text="The UTC day's start; it covers [day, day + 24 h).")),
                        ("dimensions", models.JSONField(default=dict)),
                        ("event_count", models.BigIntegerField()),
                        ("value_sum", models.DecimalField(decimal_places=30, max_digits=80, null=True)),
                        ("value_min", models.DecimalField(decimal_places=30, max_digits=60, null=True)),
                        ("value_max", models.DecimalField(decimal_places=30, max_digits=60, null=True)),
                        ("customer", reference("accounts.customer")),
                        ("environment", reference("accounts.environment")),
                        ("meter", reference("meters.meter")),
                    ],
                    options={
                        "verbose_name_plural": "daily summaries",
                        "constraints": [
                            models.CheckConstraint(
                                condition=models.Q(("event_count__gt", 0)), name="daily_summary_not_empty"
                            )
                        ],
                    },
                ),
                migrations.AddField(
                    model_name="recountdifference",
                    name="is_of_day",
                    field=models.BooleanField(
                        db_default=False,
                        default=False,
                        help_text="Whether a UTC day's summary differs from those of its hours, and not an hour's from "
                        "its events.",
                    ),
                ),
            ],
        ),
    ]
