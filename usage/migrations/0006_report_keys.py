from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("usage", "0005_claims_know_their_request")]

    operations = [
        migrations.AlterField(
            model_name="eventclaim",
            name="namespace",
            field=models.PositiveSmallIntegerField(
                choices=[
                    (1, "event identifier"),
                    (2, "idempotency key of a request that reported events"),
                    (3, "key under which one event was reported"),
                ]
            ),
        )
    ]
