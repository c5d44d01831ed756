import django.db.models.deletion
from django.db import migrations, models

import core.ids
from core.db import wall


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0017_companies_mail_documents"),
        ("invoices", "0031_unbilled_totals"),
    ]

    operations = [
        migrations.CreateModel(
            name="DraftEdit",
            fields=[
                ("id", models.UUIDField(default=core.ids.new_id, editable=False, primary_key=True, serialize=False)),
                (
                    "part",
                    models.CharField(
                        choices=[
                            ("words", "Words"),
                            ("item", "Item"),
                            ("discounts", "Discounts"),
                            ("balance", "Balance"),
                        ],
                        max_length=9,
                    ),
                ),
                (
                    "before",
                    models.JSONField(
                        help_text="What was there; empty for an item that was not on the draft.", null=True
                    ),
                ),
                ("after", models.JSONField(help_text="What has been there since.", null=True)),
                ("says", models.CharField(help_text="What was done, in words.", max_length=300)),
                ("edited_at", models.DateTimeField()),
                ("edited_by", models.CharField(max_length=200)),
                ("undone_at", models.DateTimeField(blank=True, null=True)),
                ("undone_by", models.CharField(blank=True, max_length=200)),
                (
                    "environment",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="accounts.environment"
                    ),
                ),
                (
                    "invoice",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="edits", to="invoices.invoice"
                    ),
                ),
                (
                    "item",
                    models.ForeignKey(
                        blank=True,
                        help_text="The one it is about.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="invoices.invoiceitem",
                    ),
                ),
            ],
            options={
                "ordering": ["-pk"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("item__isnull", False), ("part", "item")),
                            models.Q(models.Q(("part", "item"), _negated=True), ("item__isnull", True)),
                            _connector="OR",
                        ),
                        name="draft_edit_names_its_item",
                    ),
                ],
            },
        ),
        wall("invoices_draftedit", "invoice_id", "invoices_invoice"),
        wall("invoices_draftedit", "item_id", "invoices_invoiceitem"),
    ]
