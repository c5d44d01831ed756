from django.db import migrations

from core.db import wall, wall_parent


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial")]

    operations = [
        wall_parent("accounts_testclock"),
        wall_parent("accounts_customer"),
        wall("accounts_customer", "test_clock_id", "accounts_testclock"),
    ]
