from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("usage", "0001_usage_tables")]

    operations = [
        migrations.AddField(
            "eventrejection",
            "message",
            models.CharField(max_length=500, default="", help_text="The reason, as the caller would have been told."),
        ),
        migrations.AddField(
            "eventrejection",
            "reported_at",
            models.DateTimeField(null=True, help_text="When an error report took it up; empty: none yet."),
        ),
        migrations.AlterField(
            "eventrejection",
            "code",
            models.CharField(
                max_length=50,
                choices=[
                    ("no_meter", "no such meter"),
                    ("archived_meter", "the meter is closed"),
                    ("meter_event_no_customer_defined", "no customer named"),
                    ("meter_event_customer_not_found", "no such customer"),
                    ("meter_event_value_not_found", "no value"),
                    ("meter_event_invalid_value", "invalid value"),
                    ("meter_event_value_too_many_digits", "too many digits"),
                    ("timestamp_too_far_in_past", "too old"),
                    ("timestamp_in_future", "in the future"),
                ],
            ),
        ),
        migrations.AlterField(
            "eventrejection",
            "source",
            models.CharField(
                max_length=8,
                choices=[("api", "API"), ("stream", "stream"), ("bulk", "bulk"), ("import", "import")],
            ),
        ),
        migrations.AlterField(
            "meterevent",
            "source",
            models.CharField(
                max_length=8,
                choices=[("api", "API"), ("stream", "stream"), ("bulk", "bulk"), ("import", "import")],
            ),
        ),
        migrations.AddIndex(
            "eventrejection",
            models.Index(
                fields=["environment", "received_at"],
                name="rejection_unreported",
                condition=Q(reported_at__isnull=True),
            ),
        ),
        migrations.AddIndex(
            "eventrejection",
            models.Index(fields=["environment", "meter", "-received_at"], name="rejection_by_meter"),
        ),
    ]
