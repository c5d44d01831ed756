from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0016_events_ahead_of_time"),
    ]

    operations = [
        migrations.AddField(
            model_name="company",
            name="mails_documents",
            field=models.BooleanField(
                default=False,
                help_text="Whether invoices that are sent to be paid are mailed as they become final, and credit notes as they are issued, to customers with an email address.",
                verbose_name="mails invoices",
            ),
        ),
    ]
