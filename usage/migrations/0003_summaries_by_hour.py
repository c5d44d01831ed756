from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("usage", "0002_retry_keys_by_age")]

    operations = [
        AddIndexConcurrently(
            model_name="usagesummary",
            index=models.Index(fields=["environment", "hour"], name="summary_by_hour"),
        )
    ]
