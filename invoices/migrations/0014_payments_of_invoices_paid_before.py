from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

from core.ids import new_id

_AT_ONCE = 1000


def record_payments(apps: StateApps, _: BaseDatabaseSchemaEditor) -> None:
    """Until now an invoice was paid as a whole, without a row that says so."""
    invoices = apps.get_model("invoices", "Invoice")
    payments = apps.get_model("invoices", "Payment")
    paid = invoices.objects.filter(amount_paid__gt=0, payments__isnull=True)
    while batch := list(paid[:_AT_ONCE]):
        payments.objects.bulk_create(
            payments(
                id=new_id(),
                environment_id=invoice.environment_id,
                customer_id=invoice.customer_id,
                invoice_id=invoice.pk,
                amount=invoice.amount_paid,
                currency=invoice.currency,
                received_at=invoice.paid_at,
                created_at=invoice.paid_at,
            )
            for invoice in batch
        )


class Migration(migrations.Migration):
    dependencies = [("invoices", "0013_payments_and_credit_notes")]

    operations = [migrations.RunPython(record_payments, migrations.RunPython.noop)]
