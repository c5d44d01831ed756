from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0011_documents_have_a_sender")]

    operations = [
        migrations.AddField(
            model_name="customer",
            name="did",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="A decentralized identifier, if one is known.",
                max_length=100,
            ),
        ),
        migrations.AddConstraint(
            model_name="customer",
            constraint=models.UniqueConstraint(
                condition=models.Q(("deleted_at__isnull", True), models.Q(("did", ""), _negated=True)),
                fields=("environment", "did"),
                name="customer_one_per_did",
            ),
        ),
    ]
