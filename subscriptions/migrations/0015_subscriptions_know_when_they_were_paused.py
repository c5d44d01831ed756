from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("subscriptions", "0014_walls_refer_by_themselves"),
    ]

    operations = [
        migrations.AddField(
            model_name="subscription",
            name="paused_at",
            field=models.DateTimeField(
                blank=True,
                help_text="When it was last paused: usage before that is settled, and billed no more.",
                null=True,
            ),
        ),
    ]
