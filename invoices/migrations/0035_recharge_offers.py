import core.fields
import core.ids
import django.db.models.deletion
from django.db import migrations, models

from audit.triggers import audited
from core.db import wall


class Migration(migrations.Migration):
    dependencies = [
        ("audit", "0002_changes_are_noted_by_triggers"),
        ("accounts", "0022_customers_are_found_by_the_beginning_of_their_name"),
        ("invoices", "0034_what_if_prices"),
        ("meters", "0005_currencies"),
        ("subscriptions", "0014_walls_refer_by_themselves"),
    ]

    operations = [
        migrations.CreateModel(
            name="RechargeOffer",
            fields=[
                ("id", models.UUIDField(default=core.ids.new_id, editable=False, primary_key=True, serialize=False)),
                (
                    "least",
                    core.fields.WholeNumberField(
                        blank=True,
                        help_text="What one recharge gives at least, in smallest units of the currency.",
                        null=True,
                    ),
                ),
                ("most", core.fields.WholeNumberField(blank=True, help_text="What it gives at most.", null=True)),
                (
                    "url",
                    models.URLField(
                        blank=True, help_text="Where customers buy it by themselves, outside of here.", max_length=500
                    ),
                ),
                ("created_at", models.DateTimeField()),
                ("updated_at", models.DateTimeField()),
                (
                    "currency",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="recharge_offers",
                        to="meters.currency",
                    ),
                ),
                (
                    "environment",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="recharge_offers",
                        to="accounts.environment",
                    ),
                ),
                (
                    "price",
                    models.ForeignKey(
                        help_text="One-time.",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="recharge_offers",
                        to="subscriptions.price",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("environment", "currency"), name="recharge_offer_one_per_currency"),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("least__isnull", True), ("least__gt", 0), _connector="OR"),
                            models.Q(("most__isnull", True), ("most__gt", 0), _connector="OR"),
                            models.Q(
                                ("least__isnull", True),
                                ("most__isnull", True),
                                ("least__lte", models.F("most")),
                                _connector="OR",
                            ),
                        ),
                        name="recharge_offer_bounds_in_order",
                    ),
                ],
            },
        ),
        wall("invoices_rechargeoffer", "currency_id", "meters_currency"),
        wall("invoices_rechargeoffer", "price_id", "subscriptions_price"),
        audited("invoices_rechargeoffer"),
    ]
