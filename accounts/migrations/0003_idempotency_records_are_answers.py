from django.db import migrations, models


class Migration(migrations.Migration):
    """A record is written together with what its request did, so none is ever "in flight"."""

    dependencies = [("accounts", "0002_walls")]

    operations = [
        migrations.AlterField(model_name="idempotencyrecord", name="status", field=models.PositiveSmallIntegerField()),
        migrations.AlterField(model_name="idempotencyrecord", name="body", field=models.TextField()),
    ]
