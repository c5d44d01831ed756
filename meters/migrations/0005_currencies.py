import core.ids
import django.db.models.deletion
from django.db import migrations, models

from core.db import wall, wall_parent


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0009_credits_scopes"),
        ("meters", "0004_late_policy"),
    ]

    operations = [
        migrations.CreateModel(
            name="Currency",
            fields=[
                ("id", models.UUIDField(default=core.ids.new_id, editable=False, primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=64)),
                ("symbol", models.CharField(max_length=32)),
                (
                    "decimals",
                    models.PositiveSmallIntegerField(default=0, help_text="How many places its amounts have."),
                ),
                ("description", models.CharField(blank=True, max_length=255)),
                ("metadata", models.JSONField(blank=True, default=dict)),
                ("created_at", models.DateTimeField()),
                ("updated_at", models.DateTimeField()),
                (
                    "environment",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="currencies",
                        to="accounts.environment",
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "currencies",
                "indexes": [
                    models.Index(fields=["environment", "-created_at", "-id"], name="currency_newest_first"),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("decimals__lte", 18)), name="currency_decimals_within_bounds"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("name", ""), _negated=True), models.Q(("symbol", ""), _negated=True)
                        ),
                        name="currency_has_name_and_symbol",
                    ),
                ],
            },
        ),
        migrations.AddField(
            model_name="meter",
            name="currency",
            field=models.ForeignKey(
                blank=True,
                help_text="The unit of the company's own that its events are paid in, by credit. Empty: they are only counted.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="meters",
                to="meters.currency",
            ),
        ),
        migrations.AddField(
            model_name="meter",
            name="unit",
            field=models.CharField(blank=True, help_text="What is counted: requests, tokens, bytes.", max_length=32),
        ),
        migrations.AddField(
            model_name="meter",
            name="description",
            field=models.CharField(blank=True, max_length=255),
        ),
        migrations.AddField(
            model_name="meter",
            name="metadata",
            field=models.JSONField(blank=True, default=dict),
        ),
        wall_parent("meters_currency"),
        wall("meters_meter", "currency_id", "meters_currency"),
    ]
