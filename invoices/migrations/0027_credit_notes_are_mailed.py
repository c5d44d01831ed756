import django.db.models.deletion
from django.db import migrations, models

from core.db import wall


class Migration(migrations.Migration):
    dependencies = [
        ("invoices", "0026_lines_are_kept_by_a_key"),
    ]

    operations = [
        migrations.AddField(
            model_name="invoicemail",
            name="credit_note",
            field=models.ForeignKey(
                blank=True,
                help_text="What is sent, if it is not the invoice itself.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="mails",
                to="invoices.creditnote",
            ),
        ),
        migrations.RemoveConstraint(model_name="invoicemail", name="invoice_mail_one_waits"),
        migrations.AddConstraint(
            model_name="invoicemail",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state", "waiting")),
                fields=("environment", "invoice", "credit_note"),
                name="invoice_mail_one_waits",
                nulls_distinct=False,
            ),
        ),
        wall("invoices_invoicemail", "credit_note_id", "invoices_creditnote"),
    ]
