from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("invoices", "0032_drafts_are_edited")]

    operations = [
        AddIndexConcurrently(
            model_name="invoice",
            index=models.Index(
                fields=["environment", "due_at"],
                condition=models.Q(("status", "open")),
                name="invoice_open_by_due_date",
            ),
        ),
        AddIndexConcurrently(
            model_name="invoicemail",
            index=models.Index(
                fields=["environment", "invoice"],
                condition=models.Q(("state", "failed")),
                name="invoice_mail_failed",
            ),
        ),
        AddIndexConcurrently(
            model_name="invoiceverification",
            index=models.Index(
                fields=["environment"],
                condition=models.Q(("is_equal", False), ("resolved_at__isnull", True)),
                name="verification_alarming",
            ),
        ),
    ]
