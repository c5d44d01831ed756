from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("usage", "0011_event_notes")]

    operations = [
        migrations.AddField(
            model_name="eventadjustment",
            name="noticed_at",
            field=models.DateTimeField(
                help_text="When whoever charges for events took note of it; empty: not yet.", null=True
            ),
        ),
        migrations.AddIndex(
            model_name="eventadjustment",
            index=models.Index(
                condition=models.Q(("noticed_at__isnull", True)), fields=["environment"], name="adjustment_unnoticed"
            ),
        ),
    ]
