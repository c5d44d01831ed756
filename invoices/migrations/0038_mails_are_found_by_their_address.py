from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.models.functions import Upper


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("invoices", "0037_taxes_of_drafts_are_edited")]

    operations = [
        AddIndexConcurrently(
            model_name="invoicemail",
            index=models.Index(models.F("environment"), Upper("recipient"), name="invoice_mail_by_recipient"),
        ),
    ]
