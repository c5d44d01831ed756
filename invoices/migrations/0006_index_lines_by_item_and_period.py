from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("invoices", "0005_true_ups")]

    operations = [
        AddIndexConcurrently(
            model_name="invoiceline",
            index=models.Index(
                fields=["environment", "subscription_item", "period_end"], name="invoice_line_by_item_period"
            ),
        ),
    ]
