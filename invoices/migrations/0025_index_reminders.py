from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("invoices", "0024_invoices_are_told_of_when_they_are_due")]

    operations = [
        AddIndexConcurrently(
            model_name="invoice",
            index=models.Index(
                fields=["reminds_at"],
                condition=models.Q(("reminds_at__isnull", False), ("status", "open")),
                name="invoice_reminder_due",
            ),
        ),
    ]
