from django.db import migrations


class Migration(migrations.Migration):
    # Built beside what goes on.
    atomic = False

    dependencies = [("credits", "0009_grants_say_who_gave_them")]

    operations = [
        # In the order of bytes, whatever the database's collation: only so an index finds a beginning.
        migrations.RunSQL(
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS credit_grant_by_beginning_of_name "
            "ON credits_creditgrant (environment_id, upper(name::text) text_pattern_ops)",
            "DROP INDEX CONCURRENTLY IF EXISTS credit_grant_by_beginning_of_name",
        )
    ]
