"""What needs a second person, and what waits for one."""

from datetime import datetime
from typing import TYPE_CHECKING, Self

from django.conf import settings
from django.db import models
from django.db.models import CheckConstraint, Q, UniqueConstraint
from django.utils.translation import gettext_lazy

from core.ids import new_id
from core.money import format_amount

if TYPE_CHECKING:
    from accounts.models import Company, Environment, User


class ApprovalKind(models.TextChoices):
    VOID = "void", gettext_lazy("voiding, of invoices and credit notes")
    CREDIT_NOTE = "credit_note", gettext_lazy("credit notes")
    WRITE_OFF = "write_off", gettext_lazy("writing off")
    PAYMENT = "payment", gettext_lazy("payments recorded or reversed by hand")
    PRICE = "price", gettext_lazy("changes of prices")
    BACKFILL = "backfill", gettext_lazy("backfills of usage")
    ROLE = "role", gettext_lazy("changes of roles")


# What has an amount that a rule's limit can be held against.
OF_MONEY = (ApprovalKind.VOID, ApprovalKind.CREDIT_NOTE, ApprovalKind.WRITE_OFF, ApprovalKind.PAYMENT)


class ApprovalRule(models.Model):
    """A company's wish that a kind of action needs a second person. Without one, nothing does."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    company: "models.ForeignKey[Company, Company]" = models.ForeignKey(
        "accounts.Company", on_delete=models.PROTECT, related_name="approval_rules"
    )
    kind = models.CharField(max_length=12, choices=ApprovalKind)
    currency = models.CharField(
        max_length=3,
        blank=True,
        help_text=gettext_lazy("Such as usd. Empty: in all currencies that have no rule of their own."),
    )
    limit = models.BigIntegerField(
        null=True,
        blank=True,
        help_text=gettext_lazy(
            "Up to this amount nobody else is needed, in the currency's smallest unit: 10000 are 100.00 USD. "
            "Empty: somebody always is."
        ),
    )

    class Meta:
        ordering = ["company__name", "kind", "currency"]
        constraints = [
            UniqueConstraint(fields=["company", "kind", "currency"], name="approval_rule_once"),
            CheckConstraint(
                condition=Q(limit__isnull=True)
                | (Q(limit__gte=0) & ~Q(currency="") & Q(kind__in=[kind.value for kind in OF_MONEY])),
                name="approval_limit_is_of_money",
                violation_error_message="A limit is an amount in a currency, of a kind that moves money.",
            ),
        ]

    def __str__(self) -> str:
        if self.limit is None:
            return f"{self.get_kind_display()}{f' in {self.currency.upper()}' if self.currency else ''}"
        return f"{self.get_kind_display()} above {format_amount(self.limit, self.currency)}"


class ApprovalRequestQuerySet(models.QuerySet["ApprovalRequest"]):
    def waiting(self, at: datetime) -> Self:
        """Those that can be decided."""
        return self.filter(status=ApprovalRequest.Status.WAITING, expires_at__gt=at)


class ApprovalRequest(models.Model):
    """Something that one person wants done, and another has to let be done."""

    class Status(models.TextChoices):
        WAITING = "waiting", gettext_lazy("waits for a second person")
        APPROVED = "approved", gettext_lazy("approved and done")
        REJECTED = "rejected"
        WITHDRAWN = "withdrawn"
        # What it was asked about is not what it was.
        STALE = "stale", gettext_lazy("overtaken by a change")
        EXPIRED = "expired"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    company: "models.ForeignKey[Company, Company]" = models.ForeignKey(
        "accounts.Company", on_delete=models.PROTECT, related_name="approval_requests"
    )
    environment: "models.ForeignKey[Environment | None, Environment | None]" = models.ForeignKey(
        "accounts.Environment", on_delete=models.PROTECT, null=True, related_name="approval_requests"
    )
    kind = models.CharField(max_length=12, choices=ApprovalKind)
    action = models.CharField(
        max_length=100, help_text=gettext_lazy("Who knows how to do it (accounts/approvals/services.py).")
    )
    object_id = models.CharField(
        max_length=40, blank=True, help_text=gettext_lazy("The row it is about, if there is one yet.")
    )
    title = models.CharField(max_length=300)
    consequence = models.TextField(help_text=gettext_lazy("What will happen, as the person who asked was told."))
    amount = models.BigIntegerField(null=True, help_text=gettext_lazy("Minor units; none where no money moves."))
    currency = models.CharField(max_length=3, blank=True)
    answers = models.JSONField(
        default=dict, help_text=gettext_lazy("What the person entered, as it came from the form.")
    )
    state = models.JSONField(default=dict, help_text=gettext_lazy("What it is about, as it was when it was asked."))
    why = models.CharField(max_length=500)
    asked_by: "models.ForeignKey[User, User]" = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="approvals_asked"
    )
    asked_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    status = models.CharField(max_length=9, choices=Status, default=Status.WAITING)
    decided_by: "models.ForeignKey[User | None, User | None]" = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="approvals_decided"
    )
    decided_at = models.DateTimeField(null=True)
    note = models.CharField(
        max_length=2000, blank=True, help_text=gettext_lazy("Why it was rejected, or what has changed since.")
    )

    objects = ApprovalRequestQuerySet.as_manager()

    class Meta:
        ordering = ["-asked_at", "-pk"]
        constraints = [
            # Two people who ask for the same at once ask once.
            UniqueConstraint(
                fields=["company", "action", "object_id"],
                condition=Q(status="waiting") & ~Q(object_id=""),
                name="approval_asked_once",
            ),
            CheckConstraint(
                condition=Q(status="waiting", decided_at__isnull=True)
                | (~Q(status="waiting") & Q(decided_at__isnull=False)),
                name="approval_decided_unless_waiting",
            ),
            # Whatever else goes wrong, nobody lets be done what they asked for.
            CheckConstraint(
                condition=~Q(status="approved") | (Q(decided_by__isnull=False) & ~Q(decided_by=models.F("asked_by"))),
                name="approval_by_another_person",
            ),
        ]
        indexes = [models.Index(fields=["company", "-asked_at", "-id"], name="approval_newest_first")]

    def __str__(self) -> str:
        return self.title

    def state_at(self, at: datetime) -> str:
        """The status, by a clock that no job has to keep up with."""
        is_over = self.status == self.Status.WAITING and self.expires_at <= at
        return str(self.Status.EXPIRED.label if is_over else self.get_status_display())
