import django.db.models.functions.text
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("accounts", "0009_credits_scopes")]

    operations = [
        AddIndexConcurrently(
            model_name="customer",
            index=models.Index(
                models.F("environment"),
                django.db.models.functions.text.Upper("email"),
                name="customer_by_email_any_case",
            ),
        ),
    ]
