from django.db import migrations

from core.db import wall, wall_parent


class Migration(migrations.Migration):
    dependencies = [("invoices", "0001_initial"), ("subscriptions", "0002_walls")]

    operations = [
        wall_parent("invoices_invoice"),
        wall("invoices_invoice", "customer_id", "accounts_customer"),
        wall("invoices_invoice", "subscription_id", "subscriptions_subscription"),
        wall("invoices_invoiceline", "invoice_id", "invoices_invoice"),
        wall("invoices_invoiceline", "subscription_item_id", "subscriptions_subscriptionitem"),
        wall("invoices_invoiceline", "price_id", "subscriptions_price"),
    ]
