from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("invoices", "0036_unbilled_usage_is_a_revenue_figure")]

    operations = [
        migrations.AlterField(
            model_name="draftedit",
            name="part",
            field=models.CharField(
                choices=[
                    ("words", "Words"),
                    ("item", "Item"),
                    ("discounts", "Discounts"),
                    ("taxes", "Taxes"),
                    ("balance", "Balance"),
                ],
                max_length=9,
            ),
        ),
    ]
