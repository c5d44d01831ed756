from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("invoices", "0035_recharge_offers"),
    ]

    # What they held is computed again within a quarter of an hour, as revenue figures.
    operations = [
        migrations.DeleteModel(name="UnbilledTotal"),
    ]
