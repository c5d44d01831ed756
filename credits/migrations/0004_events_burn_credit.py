import core.fields
import django.db.models.deletion
import django.db.models.expressions
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0012_customers_have_dids"),
        ("credits", "0003_ledger_is_append_only"),
        ("meters", "0005_currencies"),
        ("subscriptions", "0007_coupons_discounts_and_taxes"),
    ]

    operations = [
        migrations.CreateModel(
            name="BurnMark",
            fields=[
                ("id", models.PositiveSmallIntegerField(default=1, primary_key=True, serialize=False)),
                (
                    "xid",
                    models.BigIntegerField(
                        default=0, help_text="The first transaction id whose events have no charges yet."
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="EventCharge",
            fields=[
                ("id", models.UUIDField(editable=False, primary_key=True, serialize=False)),
                (
                    "event_timestamp",
                    models.DateTimeField(help_text="The event's own time, which leads to its partition."),
                ),
                (
                    "amount",
                    core.fields.WholeNumberField(help_text="The event's value in the currency's smallest units."),
                ),
                ("consumed", core.fields.WholeNumberField(default=0, help_text="What credit has paid of it.")),
                ("pending", core.fields.WholeNumberField(help_text="What is still to be paid.")),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("open", "not tried yet"),
                            ("short", "waits for credit"),
                            ("settled", "Settled"),
                            ("canceled", "the event was canceled"),
                        ],
                        default="open",
                        max_length=8,
                    ),
                ),
                ("attempts", models.PositiveIntegerField(default=0, help_text="How often credit was asked for.")),
                ("created_at", models.DateTimeField(help_text="When the event was received.")),
                (
                    "processed_at",
                    models.DateTimeField(blank=True, help_text="When credit was last asked for.", null=True),
                ),
            ],
        ),
        migrations.RemoveConstraint(
            model_name="ledgerentry",
            name="ledger_entry_amount_has_its_kind_s_sign",
        ),
        migrations.RemoveConstraint(
            model_name="ledgerentry",
            name="ledger_entry_names_its_invoice",
        ),
        migrations.AddField(
            model_name="creditgrant",
            name="own_currency",
            field=models.ForeignKey(
                blank=True,
                help_text="Of credit that events burn: the currency of their meters.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="credit_grants",
                to="meters.currency",
            ),
        ),
        migrations.AlterField(
            model_name="creditgrant",
            name="currency",
            field=models.CharField(blank=True, help_text="Of credit that is money.", max_length=3),
        ),
        migrations.AlterField(
            model_name="ledgerentry",
            name="kind",
            field=models.CharField(
                choices=[
                    ("granted", "Granted"),
                    ("applied", "applied to an invoice"),
                    ("burned", "burned by an event"),
                    ("given_back", "given back, what it paid being void"),
                    ("expired", "Expired"),
                    ("voided", "Voided"),
                ],
                max_length=10,
            ),
        ),
        migrations.AddConstraint(
            model_name="creditgrant",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("own_currency__isnull", True), models.Q(("currency", ""), _negated=True)),
                    models.Q(("currency", ""), ("own_currency__isnull", False)),
                    _connector="OR",
                ),
                name="credit_grant_has_one_currency",
            ),
        ),
        migrations.AddConstraint(
            model_name="burnmark",
            constraint=models.CheckConstraint(condition=models.Q(("id", 1)), name="burn_mark_is_one_row"),
        ),
        migrations.AddField(
            model_name="eventcharge",
            name="currency",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="event_charges",
                to="meters.currency",
            ),
        ),
        migrations.AddField(
            model_name="eventcharge",
            name="customer",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="event_charges",
                to="accounts.customer",
            ),
        ),
        migrations.AddField(
            model_name="eventcharge",
            name="environment",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="event_charges",
                to="accounts.environment",
            ),
        ),
        migrations.AddField(
            model_name="eventcharge",
            name="meter",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="event_charges",
                to="meters.meter",
            ),
        ),
        migrations.AddField(
            model_name="ledgerentry",
            name="charge",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                help_text="What an event was charged, of credit that is no money.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="entries",
                to="credits.eventcharge",
            ),
        ),
        migrations.AddIndex(
            model_name="ledgerentry",
            index=models.Index(
                condition=models.Q(("charge__isnull", False)),
                fields=["environment", "charge"],
                name="ledger_entry_by_charge",
            ),
        ),
        migrations.AddConstraint(
            model_name="ledgerentry",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("amount__gt", 0), ("kind__in", ["granted", "given_back"])),
                    models.Q(("amount__lt", 0), ("kind__in", ["applied", "burned", "expired", "voided"])),
                    _connector="OR",
                ),
                name="ledger_entry_amount_has_its_kind_s_sign",
            ),
        ),
        migrations.AddConstraint(
            model_name="ledgerentry",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("charge__isnull", True),
                        ("invoice_id__isnull", False),
                        ("invoice_line_id__isnull", False),
                        ("kind__in", ["applied", "given_back"]),
                    ),
                    models.Q(
                        ("charge__isnull", False),
                        ("invoice_id__isnull", True),
                        ("invoice_line_id__isnull", True),
                        ("kind__in", ["burned", "given_back"]),
                    ),
                    models.Q(
                        ("charge__isnull", True),
                        ("invoice_id__isnull", True),
                        ("invoice_line_id__isnull", True),
                        ("kind__in", ["granted", "expired", "voided"]),
                    ),
                    _connector="OR",
                ),
                name="ledger_entry_names_what_it_paid",
            ),
        ),
        migrations.AddIndex(
            model_name="eventcharge",
            index=models.Index(
                condition=models.Q(("pending__gt", 0)),
                fields=["environment", "customer", "id"],
                name="event_charge_due",
            ),
        ),
        migrations.AddIndex(
            model_name="eventcharge",
            index=models.Index(
                condition=models.Q(("status", "open")), fields=["environment", "customer"], name="event_charge_open"
            ),
        ),
        migrations.AddConstraint(
            model_name="eventcharge",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount__gt", 0), ("consumed__gte", 0), ("pending__gte", 0)),
                name="event_charge_amounts_not_negative",
            ),
        ),
        migrations.AddConstraint(
            model_name="eventcharge",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("consumed", 0), ("pending", 0), ("status", "canceled")),
                    models.Q(("consumed", models.F("amount")), ("pending", 0), ("status", "settled")),
                    models.Q(
                        (
                            "pending",
                            django.db.models.expressions.CombinedExpression(
                                models.F("amount"), "-", models.F("consumed")
                            ),
                        ),
                        ("pending__gt", 0),
                        ("status__in", ["open", "short"]),
                    ),
                    _connector="OR",
                ),
                name="event_charge_is_paid_or_pending",
            ),
        ),
    ]
