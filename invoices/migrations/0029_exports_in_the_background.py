import core.ids
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0017_companies_mail_documents"),
        ("invoices", "0028_walls_refer_by_themselves"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Export",
            fields=[
                ("id", models.UUIDField(default=core.ids.new_id, editable=False, primary_key=True, serialize=False)),
                ("table", models.CharField(max_length=40)),
                ("format", models.CharField(choices=[("csv", "CSV"), ("xlsx", "XLSX")], max_length=4)),
                (
                    "since",
                    models.DateTimeField(blank=True, help_text="Inclusive; from the beginning without it.", null=True),
                ),
                ("until", models.DateTimeField(blank=True, help_text="Exclusive; to the end without it.", null=True)),
                ("status", models.CharField(blank=True, help_text="Of invoices; any without it.", max_length=20)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("waiting", "Waiting"),
                            ("running", "being written"),
                            ("done", "Done"),
                            ("failed", "Failed"),
                            ("expired", "Expired"),
                        ],
                        default="waiting",
                        max_length=7,
                    ),
                ),
                ("attempts", models.PositiveIntegerField(default=0)),
                ("rows_written", models.PositiveBigIntegerField(default=0)),
                ("size", models.PositiveBigIntegerField(blank=True, help_text="In bytes.", null=True)),
                (
                    "file",
                    models.CharField(
                        blank=True,
                        help_text="Its name in the folder of exports, which nobody can guess.",
                        max_length=60,
                    ),
                ),
                ("error", models.TextField(blank=True)),
                ("requested_at", models.DateTimeField()),
                ("started_at", models.DateTimeField(blank=True, null=True)),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
                ("expires_at", models.DateTimeField(blank=True, null=True)),
                (
                    "environment",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="exports", to="accounts.environment"
                    ),
                ),
                (
                    "requested_by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(fields=["environment", "-requested_at", "-id"], name="export_newest_first"),
                    models.Index(
                        condition=models.Q(("state__in", ["waiting", "running"])),
                        fields=["requested_at"],
                        name="export_unfinished",
                    ),
                    models.Index(condition=models.Q(("state", "done")), fields=["expires_at"], name="export_expiring"),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("expires_at__isnull", False),
                                ("size__isnull", False),
                                ("state", "done"),
                                models.Q(("file", ""), _negated=True),
                            ),
                            models.Q(models.Q(("state", "done"), _negated=True), ("file", "")),
                            _connector="OR",
                        ),
                        name="export_file_iff_done",
                    )
                ],
            },
        ),
    ]
