from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("usage", "0008_rejections_by_identifier")]

    operations = [
        AddIndexConcurrently(
            "dailysummary",
            models.Index(fields=["environment", "meter", "day"], name="daily_summary_by_day"),
        ),
        AddIndexConcurrently(
            "eventadjustment",
            models.Index(fields=["environment", "meter", "event_timestamp", "event_id"], name="adjustment_by_time"),
        ),
        AddIndexConcurrently(
            "eventrejection",
            models.Index(fields=["environment", "-timestamp", "-id"], name="rejection_by_time"),
        ),
    ]
