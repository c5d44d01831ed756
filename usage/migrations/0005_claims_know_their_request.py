from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("usage", "0004_canceled_events_by_customer")]

    operations = [
        migrations.AddField(
            model_name="eventclaim",
            name="request_id",
            field=models.UUIDField(help_text="Of a retry key: the request that made it.", null=True),
        )
    ]
