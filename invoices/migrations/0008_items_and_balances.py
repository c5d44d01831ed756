import core.fields
import core.ids
import django.db.models.deletion
from django.db import migrations, models

from core.db import wall, wall_parent


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0005_test_clocks_advance_and_companies_bill_locally"),
        ("invoices", "0007_invoices_escalate_and_may_be_uncollectible"),
        ("subscriptions", "0005_items_and_what_they_were"),
    ]

    operations = [
        migrations.AddField(
            model_name="invoice",
            name="custom_fields",
            field=models.JSONField(blank=True, default=list, help_text="Up to four names and values, as printed."),
        ),
        migrations.AddField(
            model_name="invoice",
            name="ending_balance",
            field=models.BigIntegerField(
                blank=True,
                help_text="The customer's balance after the invoice became final; empty for a draft.",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="invoice",
            name="footer",
            field=models.TextField(blank=True),
        ),
        migrations.AddField(
            model_name="invoice",
            name="starting_balance",
            field=models.BigIntegerField(
                default=0,
                help_text="The customer's balance before the invoice became final; below zero is to their credit.",
            ),
        ),
        migrations.CreateModel(
            name="CustomerBalance",
            fields=[
                ("id", models.UUIDField(default=core.ids.new_id, editable=False, primary_key=True, serialize=False)),
                ("currency", models.CharField(max_length=3)),
                ("amount", models.BigIntegerField(default=0, help_text="Minor units; the sum of all transactions.")),
                ("transaction_count", models.PositiveBigIntegerField(default=0)),
                (
                    "customer",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="balances", to="accounts.customer"
                    ),
                ),
                (
                    "environment",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="customer_balances",
                        to="accounts.environment",
                    ),
                ),
            ],
            options={
                "ordering": ["currency"],
            },
        ),
        migrations.CreateModel(
            name="CustomerBalanceTransaction",
            fields=[
                ("id", models.UUIDField(default=core.ids.new_id, editable=False, primary_key=True, serialize=False)),
                ("position", models.PositiveBigIntegerField(help_text="Its place in the balance's history, from 1.")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("adjustment", "Adjustment"),
                            ("applied_to_invoice", "Applied To Invoice"),
                            ("unapplied_from_invoice", "Unapplied From Invoice"),
                        ],
                        max_length=24,
                    ),
                ),
                ("amount", models.BigIntegerField(help_text="Minor units: below zero is to the customer's credit.")),
                ("ending_balance", models.BigIntegerField(help_text="Minor units: the balance after it.")),
                ("currency", models.CharField(max_length=3)),
                ("description", models.CharField(blank=True, max_length=350)),
                ("metadata", models.JSONField(blank=True, default=dict)),
                ("created_at", models.DateTimeField()),
                (
                    "balance",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="transactions",
                        to="invoices.customerbalance",
                    ),
                ),
                (
                    "customer",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="balance_transactions",
                        to="accounts.customer",
                    ),
                ),
                (
                    "environment",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="balance_transactions",
                        to="accounts.environment",
                    ),
                ),
                (
                    "invoice",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="balance_transactions",
                        to="invoices.invoice",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="InvoiceItem",
            fields=[
                ("id", models.UUIDField(default=core.ids.new_id, editable=False, primary_key=True, serialize=False)),
                ("currency", models.CharField(max_length=3)),
                ("description", models.CharField(max_length=500)),
                ("quantity", core.fields.ExactDecimalField()),
                (
                    "unit_amount",
                    models.DecimalField(
                        blank=True,
                        decimal_places=12,
                        help_text="Minor units per unit, with fraction; empty where a price has none.",
                        max_digits=30,
                        null=True,
                    ),
                ),
                ("exact_amount", core.fields.ExactDecimalField(help_text="Minor units before rounding.")),
                (
                    "amount",
                    models.BigIntegerField(
                        help_text="Minor units: the exact amount, rounded once, half away from zero."
                    ),
                ),
                ("is_discountable", models.BooleanField(default=True)),
                ("is_proration", models.BooleanField(default=False)),
                ("period_start", models.DateTimeField()),
                ("period_end", models.DateTimeField()),
                (
                    "basis",
                    models.JSONField(blank=True, default=dict, help_text="What the amount was computed from, as text."),
                ),
                ("metadata", models.JSONField(blank=True, default=dict)),
                ("created_at", models.DateTimeField()),
                ("removed_at", models.DateTimeField(blank=True, null=True)),
                (
                    "credits_item",
                    models.ForeignKey(
                        blank=True,
                        help_text="The earlier proration whose remaining time this one gives back.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="credits",
                        to="invoices.invoiceitem",
                    ),
                ),
                (
                    "credits_line",
                    models.ForeignKey(
                        blank=True,
                        help_text="The line whose remaining time a proration gives back.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="credits",
                        to="invoices.invoiceline",
                    ),
                ),
                (
                    "customer",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="invoice_items",
                        to="accounts.customer",
                    ),
                ),
                (
                    "environment",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="invoice_items",
                        to="accounts.environment",
                    ),
                ),
                (
                    "invoice",
                    models.ForeignKey(
                        blank=True,
                        help_text="The invoice that it is on; empty while it waits for one.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="items",
                        to="invoices.invoice",
                    ),
                ),
                (
                    "price",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="invoice_items",
                        to="subscriptions.price",
                    ),
                ),
                (
                    "subscription",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="invoice_items",
                        to="subscriptions.subscription",
                    ),
                ),
                (
                    "subscription_item",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="invoice_items",
                        to="subscriptions.subscriptionitem",
                    ),
                ),
            ],
        ),
        migrations.AddField(
            model_name="invoiceline",
            name="invoice_item",
            field=models.ForeignKey(
                blank=True,
                help_text="The proration, or the one-time charge, that the line puts onto its invoice.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="lines",
                to="invoices.invoiceitem",
            ),
        ),
        migrations.AddConstraint(
            model_name="invoiceline",
            constraint=models.UniqueConstraint(
                fields=("environment", "invoice_item"), name="invoice_line_one_per_invoice_item"
            ),
        ),
        migrations.AddConstraint(
            model_name="customerbalance",
            constraint=models.UniqueConstraint(
                fields=("environment", "customer", "currency"), name="customer_balance_one_per_currency"
            ),
        ),
        migrations.AddIndex(
            model_name="customerbalancetransaction",
            index=models.Index(
                fields=["environment", "customer", "-created_at", "-id"], name="balance_transaction_newest"
            ),
        ),
        migrations.AddConstraint(
            model_name="customerbalancetransaction",
            constraint=models.UniqueConstraint(
                fields=("environment", "balance", "position"), name="customer_balance_transaction_one_per_position"
            ),
        ),
        migrations.AddConstraint(
            model_name="customerbalancetransaction",
            constraint=models.CheckConstraint(
                condition=models.Q(("kind", "adjustment"), ("invoice__isnull", False), _connector="OR"),
                name="customer_balance_transaction_names_its_invoice",
            ),
        ),
        migrations.AddIndex(
            model_name="invoiceitem",
            index=models.Index(fields=["environment", "-created_at", "-id"], name="invoice_item_newest_first"),
        ),
        migrations.AddIndex(
            model_name="invoiceitem",
            index=models.Index(fields=["environment", "customer", "-created_at"], name="invoice_item_by_customer"),
        ),
        migrations.AddIndex(
            model_name="invoiceitem",
            index=models.Index(
                condition=models.Q(("invoice__isnull", True), ("removed_at__isnull", True)),
                fields=["environment", "customer"],
                name="invoice_item_waiting",
            ),
        ),
        migrations.AddIndex(
            model_name="invoiceitem",
            index=models.Index(
                condition=models.Q(("is_proration", True)),
                fields=["environment", "subscription_item", "period_end"],
                name="invoice_item_proration",
            ),
        ),
        migrations.AddConstraint(
            model_name="invoiceitem",
            constraint=models.CheckConstraint(
                condition=models.Q(("period_end__gte", models.F("period_start"))), name="invoice_item_period_in_order"
            ),
        ),
        migrations.AddConstraint(
            model_name="invoiceitem",
            constraint=models.CheckConstraint(
                condition=models.Q(("removed_at__isnull", True), ("invoice__isnull", True), _connector="OR"),
                name="invoice_item_removed_is_on_none",
            ),
        ),
        migrations.AddConstraint(
            model_name="invoiceitem",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("subscription_item__isnull", True), ("subscription__isnull", False), _connector="OR"
                ),
                name="invoice_item_of_subscription_item_is_of_subscription",
            ),
        ),
        migrations.AddConstraint(
            model_name="invoiceitem",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("credits_item__isnull", True), ("credits_line__isnull", True)),
                    models.Q(
                        ("amount__lte", 0),
                        ("is_proration", True),
                        models.Q(("credits_line__isnull", True), ("credits_item__isnull", True), _connector="OR"),
                    ),
                    _connector="OR",
                ),
                name="invoice_item_gives_back_one_thing",
            ),
        ),
        wall_parent("invoices_invoiceitem"),
        wall_parent("invoices_customerbalance"),
        wall("invoices_invoiceitem", "customer_id", "accounts_customer"),
        wall("invoices_invoiceitem", "subscription_id", "subscriptions_subscription"),
        wall("invoices_invoiceitem", "subscription_item_id", "subscriptions_subscriptionitem"),
        wall("invoices_invoiceitem", "invoice_id", "invoices_invoice"),
        wall("invoices_invoiceitem", "price_id", "subscriptions_price"),
        wall("invoices_invoiceitem", "credits_line_id", "invoices_invoiceline"),
        wall("invoices_invoiceitem", "credits_item_id", "invoices_invoiceitem"),
        wall("invoices_invoiceline", "invoice_item_id", "invoices_invoiceitem"),
        wall("invoices_customerbalance", "customer_id", "accounts_customer"),
        wall("invoices_customerbalancetransaction", "balance_id", "invoices_customerbalance"),
        wall("invoices_customerbalancetransaction", "customer_id", "accounts_customer"),
        wall("invoices_customerbalancetransaction", "invoice_id", "invoices_invoice"),
    ]
