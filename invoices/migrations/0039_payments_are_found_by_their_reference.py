from django.db import migrations


class Migration(migrations.Migration):
    # Built beside what goes on.
    atomic = False

    dependencies = [("invoices", "0038_mails_are_found_by_their_address")]

    operations = [
        # In the order of bytes, whatever the database's collation: only so an index finds a beginning.
        migrations.RunSQL(
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS payment_by_beginning_of_reference "
            "ON invoices_payment (environment_id, upper(reference::text) text_pattern_ops)",
            "DROP INDEX CONCURRENTLY IF EXISTS payment_by_beginning_of_reference",
        )
    ]
