import core.fields
import core.ids
import django.db.models.deletion
import django.db.models.expressions
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0014_graces_differ"),
        ("credits", "0005_walls_of_what_events_burn"),
        ("meters", "0005_currencies"),
        ("subscriptions", "0010_cancellations_give_back"),
    ]

    operations = [
        migrations.CreateModel(
            name="CreditHold",
            fields=[
                ("id", models.UUIDField(default=core.ids.new_id, editable=False, primary_key=True, serialize=False)),
                ("amount", core.fields.WholeNumberField(help_text="What it still holds.")),
            ],
        ),
        migrations.CreateModel(
            name="CreditReservation",
            fields=[
                ("id", models.UUIDField(default=core.ids.new_id, editable=False, primary_key=True, serialize=False)),
                ("currency", models.CharField(blank=True, help_text="Of credit that is money.", max_length=3)),
                ("amount", core.fields.WholeNumberField()),
                ("reserved", core.fields.WholeNumberField(help_text="What it still holds.")),
                ("committed", core.fields.WholeNumberField(default=0, help_text="What was used of it.")),
                ("released", core.fields.WholeNumberField(default=0, help_text="What was given back.")),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("active", "Active"),
                            ("committed", "Committed"),
                            ("released", "Released"),
                            ("expired", "Expired"),
                        ],
                        default="active",
                        max_length=9,
                    ),
                ),
                ("expires_at", models.DateTimeField(help_text="When what it still holds is given back.")),
                ("metadata", models.JSONField(blank=True, default=dict)),
                ("created_at", models.DateTimeField()),
                ("updated_at", models.DateTimeField()),
                ("ended_at", models.DateTimeField(blank=True, null=True)),
            ],
        ),
        migrations.RemoveConstraint(
            model_name="ledgerentry",
            name="ledger_entry_amount_has_its_kind_s_sign",
        ),
        migrations.RemoveConstraint(
            model_name="ledgerentry",
            name="ledger_entry_names_what_it_paid",
        ),
        migrations.AddField(
            model_name="creditgrant",
            name="reserved",
            field=core.fields.WholeNumberField(
                default=0, help_text="What of it is reserved. The database counts it from the holds."
            ),
        ),
        migrations.AlterField(
            model_name="ledgerentry",
            name="kind",
            field=models.CharField(
                choices=[
                    ("granted", "Granted"),
                    ("applied", "applied to an invoice"),
                    ("burned", "burned by an event"),
                    ("committed", "committed from a reservation"),
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
                condition=models.Q(("reserved__gte", 0), ("reserved__lte", models.F("balance"))),
                name="credit_grant_reserved_is_left",
            ),
        ),
        migrations.AddField(
            model_name="credithold",
            name="customer",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="credit_holds",
                to="accounts.customer",
            ),
        ),
        migrations.AddField(
            model_name="credithold",
            name="environment",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="credit_holds",
                to="accounts.environment",
            ),
        ),
        migrations.AddField(
            model_name="credithold",
            name="grant",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="holds",
                to="credits.creditgrant",
            ),
        ),
        migrations.AddField(
            model_name="creditreservation",
            name="customer",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="credit_reservations",
                to="accounts.customer",
            ),
        ),
        migrations.AddField(
            model_name="creditreservation",
            name="environment",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="credit_reservations",
                to="accounts.environment",
            ),
        ),
        migrations.AddField(
            model_name="creditreservation",
            name="own_currency",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="credit_reservations",
                to="meters.currency",
            ),
        ),
        migrations.AddField(
            model_name="credithold",
            name="reservation",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="holds",
                to="credits.creditreservation",
            ),
        ),
        migrations.AddField(
            model_name="ledgerentry",
            name="reservation",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                help_text="What was committed of it.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="entries",
                to="credits.creditreservation",
            ),
        ),
        migrations.AddIndex(
            model_name="ledgerentry",
            index=models.Index(
                condition=models.Q(("reservation__isnull", False)),
                fields=["environment", "reservation"],
                name="ledger_entry_by_reservation",
            ),
        ),
        migrations.AddConstraint(
            model_name="ledgerentry",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("amount__gt", 0), ("kind__in", ["granted", "given_back"])),
                    models.Q(("amount__lt", 0), ("kind__in", ["applied", "burned", "committed", "expired", "voided"])),
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
                        ("kind__in", ["granted", "committed", "expired", "voided"]),
                    ),
                    _connector="OR",
                ),
                name="ledger_entry_names_what_it_paid",
            ),
        ),
        migrations.AddConstraint(
            model_name="ledgerentry",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("kind", "committed"), ("reservation__isnull", False)),
                    models.Q(models.Q(("kind", "committed"), _negated=True), ("reservation__isnull", True)),
                    _connector="OR",
                ),
                name="ledger_entry_names_its_reservation",
            ),
        ),
        migrations.AddIndex(
            model_name="creditreservation",
            index=models.Index(fields=["environment", "-created_at", "-id"], name="credit_reservation_newest"),
        ),
        migrations.AddIndex(
            model_name="creditreservation",
            index=models.Index(
                fields=["environment", "customer", "-created_at", "-id"], name="credit_reservation_by_customer"
            ),
        ),
        migrations.AddIndex(
            model_name="creditreservation",
            index=models.Index(
                condition=models.Q(("reserved__gt", 0)),
                fields=["environment", "customer", "expires_at"],
                name="credit_reservation_open",
            ),
        ),
        migrations.AddIndex(
            model_name="creditreservation",
            index=models.Index(
                condition=models.Q(("reserved__gt", 0)), fields=["expires_at"], name="credit_reservation_due"
            ),
        ),
        migrations.AddConstraint(
            model_name="creditreservation",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("amount__gt", 0),
                    ("committed__gte", 0),
                    ("released__gte", 0),
                    ("reserved__gte", 0),
                    (
                        "amount",
                        django.db.models.expressions.CombinedExpression(
                            django.db.models.expressions.CombinedExpression(
                                models.F("reserved"), "+", models.F("committed")
                            ),
                            "+",
                            models.F("released"),
                        ),
                    ),
                ),
                name="credit_reservation_adds_up",
            ),
        ),
        migrations.AddConstraint(
            model_name="creditreservation",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("ended_at__isnull", True), ("reserved__gt", 0), ("status", "active")),
                    models.Q(
                        ("ended_at__isnull", False),
                        ("reserved", 0),
                        ("status__in", ["committed", "released", "expired"]),
                    ),
                    _connector="OR",
                ),
                name="credit_reservation_holds_until_it_ends",
            ),
        ),
        migrations.AddConstraint(
            model_name="creditreservation",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("own_currency__isnull", True), models.Q(("currency", ""), _negated=True)),
                    models.Q(("currency", ""), ("own_currency__isnull", False)),
                    _connector="OR",
                ),
                name="credit_reservation_has_one_currency",
            ),
        ),
        migrations.AddConstraint(
            model_name="creditreservation",
            constraint=models.CheckConstraint(
                condition=models.Q(("expires_at__gt", models.F("created_at"))), name="credit_reservation_lasts"
            ),
        ),
        migrations.AddIndex(
            model_name="credithold",
            index=models.Index(condition=models.Q(("amount__gt", 0)), fields=["grant"], name="credit_hold_of_grant"),
        ),
        migrations.AddConstraint(
            model_name="credithold",
            constraint=models.UniqueConstraint(
                fields=("environment", "reservation", "grant"), name="credit_hold_one_per_grant"
            ),
        ),
        migrations.AddConstraint(
            model_name="credithold",
            constraint=models.CheckConstraint(condition=models.Q(("amount__gte", 0)), name="credit_hold_not_negative"),
        ),
    ]
