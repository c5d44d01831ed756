import django.db.models.deletion
from django.db import migrations, models


# The items of a period are written once more as it ends. On the same page that touches none of their indexes.
ROOM = "ALTER TABLE subscriptions_subscriptionitem SET (fillfactor = 50)"
NO_ROOM = "ALTER TABLE subscriptions_subscriptionitem RESET (fillfactor)"


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0017_companies_mail_documents"),
        ("subscriptions", "0013_upcoming_invoices_are_foretold"),
    ]

    operations = [
        migrations.AlterField(
            model_name="subscription",
            name="customer",
            field=models.ForeignKey(
                db_constraint=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="subscriptions",
                to="accounts.customer",
            ),
        ),
        migrations.AlterField(
            model_name="subscription",
            name="environment",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="subscriptions",
                to="accounts.environment",
            ),
        ),
        migrations.AlterField(
            model_name="subscriptionitem",
            name="environment",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="subscription_items",
                to="accounts.environment",
            ),
        ),
        migrations.AlterField(
            model_name="subscriptionitem",
            name="price",
            field=models.ForeignKey(
                db_constraint=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="subscription_items",
                to="subscriptions.price",
            ),
        ),
        migrations.AlterField(
            model_name="subscriptionitem",
            name="subscription",
            field=models.ForeignKey(
                db_constraint=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="items",
                to="subscriptions.subscription",
            ),
        ),
        migrations.RunSQL(ROOM, NO_ROOM),
    ]
