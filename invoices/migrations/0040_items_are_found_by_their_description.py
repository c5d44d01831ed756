from django.db import migrations


class Migration(migrations.Migration):
    # Built beside what goes on.
    atomic = False

    dependencies = [("invoices", "0039_payments_are_found_by_their_reference")]

    operations = [
        # In the order of bytes, whatever the database's collation: only so an index finds a beginning.
        migrations.RunSQL(
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS invoice_item_by_beginning_of_description "
            "ON invoices_invoiceitem (environment_id, upper(description::text) text_pattern_ops)",
            "DROP INDEX CONCURRENTLY IF EXISTS invoice_item_by_beginning_of_description",
        )
    ]
