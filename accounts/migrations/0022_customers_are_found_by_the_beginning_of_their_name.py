from django.db import migrations


class Migration(migrations.Migration):
    # Built beside what goes on.
    atomic = False

    dependencies = [
        ("accounts", "0021_requests_are_kept"),
    ]

    operations = [
        # In the order of bytes, whatever the database's collation: only so an index finds a beginning.
        migrations.RunSQL(
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS customer_by_beginning_of_name "
            "ON accounts_customer (environment_id, upper(name::text) text_pattern_ops)",
            "DROP INDEX CONCURRENTLY IF EXISTS customer_by_beginning_of_name",
        )
    ]
