from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("usage", "0007_daily_summaries")]

    operations = [
        AddIndexConcurrently(
            "eventrejection",
            models.Index(fields=["environment", "identifier", "-received_at"], name="rejection_by_identifier"),
        )
    ]
