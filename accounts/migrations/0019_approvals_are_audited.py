from django.db import migrations

from audit.triggers import audited


class Migration(migrations.Migration):
    dependencies = [("accounts", "0018_second_person"), ("audit", "0003_what_is_audited")]

    operations = [audited("accounts_approvalrule"), audited("accounts_approvalrequest")]
