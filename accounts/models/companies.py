"""Who bills, and the two halves of what is theirs."""

from typing import Self

from django.db import models
from django.db.models import CheckConstraint, Q, UniqueConstraint
from django.utils.translation import gettext_lazy

from accounts.models.people import User
from core.ids import new_id


class OverdueOutcome(models.TextChoices):
    """What may follow when an invoice stays open for long."""

    PAST_DUE = "past_due", gettext_lazy("stays past due")
    UNPAID = "unpaid", gettext_lazy("becomes unpaid: its invoices stay drafts")
    CANCELED = "canceled", gettext_lazy("is canceled")


class Company(models.Model):
    """A tenant: the company that runs its billing here."""

    class Paper(models.TextChoices):
        A4 = "a4", gettext_lazy("A4")
        LETTER = "letter", gettext_lazy("US Letter")

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    name = models.CharField(max_length=200, unique=True)
    members = models.ManyToManyField(User, through="Membership", related_name="companies")
    billing_zone = models.CharField(
        max_length=64,
        blank=True,
        help_text=gettext_lazy(
            "New subscriptions bill by local midnight in this time zone, such as Europe/Berlin. Empty: by the second, in UTC."
        ),
    )
    overdue_days = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        help_text=gettext_lazy("How many days after its due date an open invoice has the consequence below."),
    )
    overdue_outcome = models.CharField(
        max_length=8,
        choices=OverdueOutcome,
        default=OverdueOutcome.PAST_DUE,
        help_text=gettext_lazy(
            "What becomes of a subscription whose invoice stays open for so long. Until then it is past due."
        ),
    )
    flat_fee_at_zero = models.BooleanField(
        gettext_lazy("flat fee at zero usage"),
        default=True,
        help_text=gettext_lazy(
            "Whether the flat fee of a price's first tier is due for a period in which nothing was used. It is "
            "kept with each price as it is made: a change holds for prices made from then on."
        ),
    )
    postal_address = models.TextField(
        blank=True,
        max_length=600,
        help_text=gettext_lazy(
            "Printed on invoices below the name, line by line: the address, and what the law asks for beside it."
        ),
    )
    grace_minutes = models.PositiveIntegerField(
        gettext_lazy("grace"),
        default=60,
        help_text=gettext_lazy(
            "For how many minutes after a period's end late usage still gets onto its invoice, which is a draft so long."
        ),
    )
    upcoming_days = models.PositiveSmallIntegerField(
        gettext_lazy("upcoming invoices"),
        default=0,
        help_text=gettext_lazy(
            "So many days before a subscription's period ends, its next invoice is foretold by an event; 0: never."
        ),
    )
    due_soon_days = models.PositiveSmallIntegerField(
        gettext_lazy("invoices due soon"),
        default=0,
        help_text=gettext_lazy(
            "So many days before an invoice's due date it is told by an event that it will be due; 0: never."
        ),
    )
    reply_to = models.EmailField(blank=True, help_text=gettext_lazy("Where answers to mailed invoices go."))
    recharges = models.BooleanField(
        gettext_lazy("automatic recharges"),
        default=False,
        help_text=gettext_lazy(
            "Whether credit is given by itself to customers who asked for that when little is left of it, against an "
            "invoice that counts as paid outside. Nobody is charged here: allow it only if you collect the money."
        ),
    )
    mails_documents = models.BooleanField(
        gettext_lazy("mails invoices"),
        default=False,
        help_text=gettext_lazy(
            "Whether invoices that are sent to be paid are mailed as they become final, and credit notes as they "
            "are issued, to customers with an email address."
        ),
    )
    paper = models.CharField(
        max_length=6, choices=Paper, default=Paper.A4, help_text=gettext_lazy("What documents are made for.")
    )
    approval_days = models.PositiveSmallIntegerField(
        gettext_lazy("days to approve"),
        default=7,
        help_text=gettext_lazy(
            "For so many days what needs a second person waits for one. After that it has to be asked for again."
        ),
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            CheckConstraint(condition=Q(paper__in=["a4", "letter"]), name="company_paper_is_known"),
            CheckConstraint(
                condition=Q(overdue_outcome="past_due") | Q(overdue_days__isnull=False),
                name="company_overdue_days_if_something_follows",
            ),
        ]
        verbose_name_plural = gettext_lazy("companies")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class CompanyLogo(models.Model):
    """What stands at the head of a company's documents. Beside the company, since whatever reads that needs no picture."""

    class Format(models.TextChoices):
        PNG = "png"
        JPEG = "jpg"

    company = models.OneToOneField(Company, on_delete=models.CASCADE, primary_key=True, related_name="logo")
    image = models.BinaryField()
    format = models.CharField(max_length=3, choices=Format)
    set_at = models.DateTimeField()

    class Meta:
        constraints = [CheckConstraint(condition=Q(format__in=["png", "jpg"]), name="company_logo_format_is_known")]

    def __str__(self) -> str:
        return f"logo of {self.company}"


class Mode(models.TextChoices):
    """The two halves of a company's data. They share nothing."""

    TEST = "test"
    LIVE = "live"


class EnvironmentQuerySet(models.QuerySet["Environment"]):
    def visible_to(self, user: User) -> Self:
        """The environments whose rows this person may see: all for a superuser, else those of their companies."""
        return self if user.is_superuser else self.filter(company__members=user)


class Environment(models.Model):
    """A company in one mode. Every domain row points at exactly one: it is the wall between tenants and modes."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    company = models.ForeignKey(Company, on_delete=models.PROTECT, related_name="environments")
    mode = models.CharField(max_length=4, choices=Mode)

    objects = EnvironmentQuerySet.as_manager()

    class Meta:
        ordering = ["company__name", "mode"]
        constraints = [
            UniqueConstraint(fields=["company", "mode"], name="environment_one_per_mode"),
            CheckConstraint(condition=Q(mode__in=Mode.values), name="environment_mode_is_known"),
        ]

    def __str__(self) -> str:
        return f"{self.company.name} ({self.mode})"

    @property
    def is_live(self) -> bool:
        return self.mode == Mode.LIVE
