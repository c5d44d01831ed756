import core.ids
import django.db.models.deletion
from django.db import migrations, models

from core.db import wall

# Nothing has been changed in mid-period before.
SINCE_THE_START = """
UPDATE subscriptions_subscriptionitem AS item SET effective_at = subscription.start_at
  FROM subscriptions_subscription AS subscription WHERE subscription.id = item.subscription_id
"""

# Only what ends where the next one begins can follow upon each other.
CHAIN = """
ALTER TABLE subscriptions_itemterm ADD CONSTRAINT item_term_follows_another
    FOREIGN KEY (environment_id, item_id, follows_at)
    REFERENCES subscriptions_itemterm (environment_id, item_id, ends_at) DEFERRABLE INITIALLY DEFERRED
"""
UNCHAIN = "ALTER TABLE subscriptions_itemterm DROP CONSTRAINT item_term_follows_another"


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0004_usage_write_scope"),
        ("subscriptions", "0004_subscriptions_wake_by_themselves"),
    ]

    operations = [
        migrations.CreateModel(
            name="ItemTerm",
            fields=[
                ("id", models.UUIDField(default=core.ids.new_id, editable=False, primary_key=True, serialize=False)),
                ("quantity", models.PositiveBigIntegerField(blank=True, null=True)),
                ("starts_at", models.DateTimeField()),
                ("ends_at", models.DateTimeField()),
                (
                    "follows_at",
                    models.DateTimeField(
                        blank=True,
                        help_text="Where the term before this one ends; empty for an item's first.",
                        null=True,
                    ),
                ),
            ],
            options={
                "ordering": ["starts_at", "pk"],
            },
        ),
        migrations.RemoveConstraint(
            model_name="subscriptionitem",
            name="subscription_item_one_per_price",
        ),
        migrations.AddField(
            model_name="subscriptionitem",
            name="effective_at",
            field=models.DateTimeField(
                null=True,
                help_text="Since when the item has this price and quantity; what it had before is among its terms.",
            ),
        ),
        migrations.RunSQL(SINCE_THE_START, migrations.RunSQL.noop),
        migrations.AlterField(
            model_name="subscriptionitem",
            name="effective_at",
            field=models.DateTimeField(
                help_text="Since when the item has this price and quantity; what it had before is among its terms."
            ),
        ),
        migrations.AddField(
            model_name="subscriptionitem",
            name="removed_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddConstraint(
            model_name="subscriptionitem",
            constraint=models.UniqueConstraint(
                condition=models.Q(("removed_at__isnull", True)),
                fields=("environment", "subscription", "price"),
                name="subscription_item_one_per_price",
            ),
        ),
        migrations.AddField(
            model_name="itemterm",
            name="environment",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="item_terms", to="accounts.environment"
            ),
        ),
        migrations.AddField(
            model_name="itemterm",
            name="item",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="terms", to="subscriptions.subscriptionitem"
            ),
        ),
        migrations.AddField(
            model_name="itemterm",
            name="price",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="item_terms", to="subscriptions.price"
            ),
        ),
        migrations.AddField(
            model_name="itemterm",
            name="subscription",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="terms", to="subscriptions.subscription"
            ),
        ),
        migrations.AddIndex(
            model_name="itemterm",
            index=models.Index(fields=["environment", "subscription", "ends_at"], name="item_term_by_subscription"),
        ),
        migrations.AddConstraint(
            model_name="itemterm",
            constraint=models.UniqueConstraint(fields=("environment", "item", "ends_at"), name="item_term_one_per_end"),
        ),
        migrations.AddConstraint(
            model_name="itemterm",
            constraint=models.UniqueConstraint(
                fields=("environment", "item", "follows_at"), name="item_term_one_after_another", nulls_distinct=False
            ),
        ),
        migrations.AddConstraint(
            model_name="itemterm",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("follows_at__isnull", True), ("follows_at", models.F("starts_at")), _connector="OR"
                ),
                name="item_term_follows_at_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="itemterm",
            constraint=models.CheckConstraint(
                condition=models.Q(("ends_at__gt", models.F("starts_at"))), name="item_term_not_empty"
            ),
        ),
        migrations.RunSQL(CHAIN, UNCHAIN),
        wall("subscriptions_itemterm", "subscription_id", "subscriptions_subscription"),
        wall("subscriptions_itemterm", "item_id", "subscriptions_subscriptionitem"),
        wall("subscriptions_itemterm", "price_id", "subscriptions_price"),
    ]
