"""The audit trail: what was changed, by whom, from where, and what stood there before."""

from typing import TYPE_CHECKING, Any, Self

from django.apps import apps
from django.db import models
from django.utils.translation import gettext_lazy

if TYPE_CHECKING:
    # By name alone: the trail lies below all that it tells of.
    from accounts.models import Company, Environment


class EntryQuerySet(models.QuerySet["Entry"]):
    def about(self, row: models.Model) -> Self:
        """Changes of one row, the latest first."""
        return self.filter(relation=row._meta.db_table, object_id=str(row.pk)).latest_first()  # noqa: SLF001

    def latest_first(self) -> Self:
        return self.order_by("-occurred_at", "-pk")


class Entry(models.Model):
    """One change of one row.

    The database's triggers write it (see :mod:`audit.triggers`), so that whatever changes a row cannot help being told of,
    and refuse to change it. It refers to rows by their ids alone: they may be gone.
    """

    class Operation(models.TextChoices):
        INSERT = "insert", gettext_lazy("made")
        UPDATE = "update", gettext_lazy("changed")
        DELETE = "delete", gettext_lazy("deleted")
        TRUNCATE = "truncate", gettext_lazy("emptied")

    class ActorKind(models.TextChoices):
        PERSON = "person", gettext_lazy("a person")
        KEY = "key", gettext_lazy("an API key")
        JOB = "job", gettext_lazy("a job")
        COMMAND = "command", gettext_lazy("a command")
        STRANGER = "stranger", gettext_lazy("somebody who did not sign in")
        # Whoever has the database's password.
        DATABASE = "database", gettext_lazy("a database session")

    id = models.BigAutoField(primary_key=True)
    occurred_at = models.DateTimeField(
        help_text=gettext_lazy("By the database's clock, whatever time the row lives at.")
    )
    company: "models.ForeignKey[Company | None, Company | None]" = models.ForeignKey(
        "accounts.Company",
        on_delete=models.DO_NOTHING,
        null=True,
        related_name="+",
        db_constraint=False,
        db_index=False,
        help_text=gettext_lazy("None for what belongs to none, such as people."),
    )
    environment: "models.ForeignKey[Environment | None, Environment | None]" = models.ForeignKey(
        "accounts.Environment",
        on_delete=models.DO_NOTHING,
        null=True,
        related_name="+",
        db_constraint=False,
        db_index=False,
    )
    relation = models.CharField(max_length=63, help_text=gettext_lazy("The table."))
    object_id = models.CharField(
        max_length=40, help_text=gettext_lazy("The row's key; empty where the whole table was emptied.")
    )
    operation = models.CharField(max_length=8, choices=Operation)
    before = models.JSONField(
        null=True, help_text=gettext_lazy("What stood there before, of all that changed. No secret is in it.")
    )
    after = models.JSONField(null=True)
    actor_kind = models.CharField(max_length=8, choices=ActorKind)
    actor_id = models.CharField(max_length=40, blank=True)
    actor_name = models.CharField(max_length=300)
    address = models.CharField(max_length=100, blank=True)
    request_id = models.CharField(
        max_length=40, blank=True, help_text=gettext_lazy("One for all changes of a request.")
    )
    reason = models.TextField(blank=True)

    objects = EntryQuerySet.as_manager()

    class Meta:
        verbose_name = gettext_lazy("change")
        verbose_name_plural = gettext_lazy("audit trail")
        indexes = [
            models.Index(fields=["-occurred_at", "-id"], name="audit_latest_first"),
            models.Index(fields=["company", "-occurred_at", "-id"], name="audit_by_company"),
            models.Index(fields=["environment", "-occurred_at", "-id"], name="audit_by_environment"),
            models.Index(fields=["object_id", "-occurred_at", "-id"], name="audit_by_object"),
            models.Index(fields=["relation", "-occurred_at", "-id"], name="audit_by_relation"),
            models.Index(fields=["actor_id", "-occurred_at", "-id"], name="audit_by_actor"),
            models.Index(fields=["request_id"], condition=~models.Q(request_id=""), name="audit_by_request"),
        ]

    def __str__(self) -> str:
        return f"{self.noun} {self.get_operation_display()}"

    @property
    def model(self) -> type[models.Model] | None:
        """What the row is one of; None where there is no such thing any more."""
        return models_by_table().get(self.relation)

    @property
    def noun(self) -> str:
        model = self.model
        return str(model._meta.verbose_name) if model else self.relation  # noqa: SLF001

    @property
    def changes(self) -> dict[str, tuple[Any, Any]]:
        """By column: what stood there before, and after."""
        before, after = self.before or {}, self.after or {}
        return {name: (before.get(name), after.get(name)) for name in sorted({*before, *after})}


def models_by_table() -> dict[str, type[models.Model]]:
    return {model._meta.db_table: model for model in apps.get_models(include_auto_created=True)}  # noqa: SLF001
