from django.db import migrations

from core.db import wall, wall_parent


class Migration(migrations.Migration):
    dependencies = [("subscriptions", "0001_initial"), ("accounts", "0002_walls"), ("meters", "0002_walls")]

    operations = [
        wall_parent("subscriptions_product"),
        wall_parent("subscriptions_price"),
        wall_parent("subscriptions_subscription"),
        wall_parent("subscriptions_subscriptionitem"),
        wall("subscriptions_price", "product_id", "subscriptions_product"),
        wall("subscriptions_price", "meter_id", "meters_meter"),
        wall("subscriptions_subscription", "customer_id", "accounts_customer"),
        wall("subscriptions_subscriptionitem", "subscription_id", "subscriptions_subscription"),
        wall("subscriptions_subscriptionitem", "price_id", "subscriptions_price"),
    ]
