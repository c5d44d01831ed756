from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("webhooks", "0003_endpoints_and_deliveries")]

    operations = [
        AddIndexConcurrently(
            model_name="delivery",
            index=models.Index(
                fields=["environment", "-id"], condition=models.Q(("state", "failed")), name="delivery_failed_first"
            ),
        ),
    ]
