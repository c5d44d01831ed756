import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0009_credits_scopes"),
        ("usage", "0010_take_in_events"),
    ]

    operations = [
        migrations.CreateModel(
            name="EventNote",
            fields=[
                ("event_id", models.UUIDField()),
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "environment", "event_id", blank=True, editable=False, primary_key=True, serialize=False
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
                ("content", models.JSONField()),
            ],
        ),
    ]
