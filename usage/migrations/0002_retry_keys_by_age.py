from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("usage", "0001_usage_tables")]

    operations = [
        # Identifiers are kept for good; only the keys of re-sends grow old.
        migrations.RunSQL(
            "CREATE INDEX retry_key_by_age ON usage_eventclaim (environment_id, claimed_at) WHERE namespace = 2",
            "DROP INDEX retry_key_by_age",
        )
    ]
