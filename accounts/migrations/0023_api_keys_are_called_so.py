from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("accounts", "0022_customers_are_found_by_the_beginning_of_their_name")]

    operations = [
        migrations.AlterModelOptions(name="apikey", options={"ordering": ["-created_at"], "verbose_name": "API key"}),
    ]
