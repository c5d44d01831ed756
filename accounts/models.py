"""Who may do what: companies with their two environments, keys, licenses, members, and the customers they bill."""

import hashlib
from datetime import datetime, timedelta
from typing import Self

from django.contrib.auth.models import AbstractUser
from django.contrib.postgres.fields import ArrayField
from django.core.validators import validate_ipv46_address
from django.db import models
from django.db.models import CheckConstraint, F, Q, UniqueConstraint
from django.db.models.functions import Upper

import accounts.approvals.models  # noqa: F401 (Django looks for models here)
from core.ids import new_id


class User(AbstractUser):
    """A person who signs in to the console. What they see follows from their memberships."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)


class OverdueOutcome(models.TextChoices):
    """What may follow when an invoice stays open for long."""

    PAST_DUE = "past_due", "stays past due"
    UNPAID = "unpaid", "becomes unpaid: its invoices stay drafts"
    CANCELED = "canceled", "is canceled"


class Company(models.Model):
    """A tenant: the company that runs its billing here."""

    class Paper(models.TextChoices):
        A4 = "a4", "A4"
        LETTER = "letter", "US Letter"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    name = models.CharField(max_length=200, unique=True)
    members = models.ManyToManyField(User, through="Membership", related_name="companies")
    billing_zone = models.CharField(
        max_length=64,
        blank=True,
        help_text="New subscriptions bill by local midnight in this time zone, such as Europe/Berlin. Empty: by the second, in UTC.",
    )
    overdue_days = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="How many days after its due date an open invoice has the consequence below."
    )
    overdue_outcome = models.CharField(
        max_length=8,
        choices=OverdueOutcome,
        default=OverdueOutcome.PAST_DUE,
        help_text="What becomes of a subscription whose invoice stays open for so long. Until then it is past due.",
    )
    flat_fee_at_zero = models.BooleanField(
        "flat fee at zero usage",
        default=True,
        help_text="Whether the flat fee of a price's first tier is due for a period in which nothing was used. It is "
        "kept with each price as it is made: a change holds for prices made from then on.",
    )
    postal_address = models.TextField(
        blank=True,
        max_length=600,
        help_text="Printed on invoices below the name, line by line: the address, and what the law asks for beside it.",
    )
    grace_minutes = models.PositiveIntegerField(
        "grace",
        default=60,
        help_text="For how many minutes after a period's end late usage still gets onto its invoice, which is a draft so long.",
    )
    upcoming_days = models.PositiveSmallIntegerField(
        "upcoming invoices",
        default=0,
        help_text="So many days before a subscription's period ends, its next invoice is foretold by an event; 0: never.",
    )
    due_soon_days = models.PositiveSmallIntegerField(
        "invoices due soon",
        default=0,
        help_text="So many days before an invoice's due date it is told by an event that it will be due; 0: never.",
    )
    reply_to = models.EmailField(blank=True, help_text="Where answers to mailed invoices go.")
    recharges = models.BooleanField(
        "automatic recharges",
        default=False,
        help_text="Whether credit is given by itself to customers who asked for that when little is left of it, against an "
        "invoice that counts as paid outside. Nobody is charged here: allow it only if you collect the money.",
    )
    mails_documents = models.BooleanField(
        "mails invoices",
        default=False,
        help_text="Whether invoices that are sent to be paid are mailed as they become final, and credit notes as they "
        "are issued, to customers with an email address.",
    )
    paper = models.CharField(max_length=6, choices=Paper, default=Paper.A4, help_text="What documents are made for.")
    approval_days = models.PositiveSmallIntegerField(
        "days to approve",
        default=7,
        help_text="For so many days what needs a second person waits for one. After that it has to be asked for again.",
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
        verbose_name_plural = "companies"
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


class Scope(models.TextChoices):
    """What a key may do: report usage, and one read and one write scope per family of resources."""

    METER_REPORT = "meter-report"
    METERS_READ = "meters-read"
    METERS_WRITE = "meters-write"
    USAGE_READ = "usage-read"
    # Beside the right to report: usage of any age, beyond the window of 35 days.
    USAGE_WRITE = "usage-write"
    CUSTOMERS_READ = "customers-read"
    CUSTOMERS_WRITE = "customers-write"
    PRODUCTS_READ = "products-read"
    PRODUCTS_WRITE = "products-write"
    SUBSCRIPTIONS_READ = "subscriptions-read"
    SUBSCRIPTIONS_WRITE = "subscriptions-write"
    INVOICES_READ = "invoices-read"
    INVOICES_WRITE = "invoices-write"
    CREDITS_READ = "credits-read"
    CREDITS_WRITE = "credits-write"
    # What happened, objects of all families among it, and where it is told.
    EVENTS_READ = "events-read"
    EVENTS_WRITE = "events-write"


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    def with_secret(self, secret: str) -> Self:
        """The key that this secret opens, whatever its state."""
        return self.filter(digest=ApiKey.digest_of(secret)).select_related("environment__company")


class ApiKey(models.Model):
    """A credential of one environment. The secret is shown once; only its hash is kept."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="api_keys")
    name = models.CharField(max_length=100, blank=True)
    prefix = models.CharField(max_length=20, help_text="The first characters of the secret, to recognize it by.")
    digest = models.CharField(max_length=64, unique=True, editable=False)
    scopes = ArrayField(models.CharField(max_length=40, choices=Scope))
    allowed_ips = ArrayField(
        models.GenericIPAddressField(validators=[validate_ipv46_address]),
        default=list,
        blank=True,
        help_text="Addresses that may use the key; empty means any.",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["environment", "-created_at"], name="api_key_by_environment")]

    def __str__(self) -> str:
        return f"{self.prefix}…"

    @staticmethod
    def digest_of(secret: str) -> str:
        # The secret has 160 random bits: nothing to guess, so a fast hash is enough and a slow one would cost every
        # request.
        return hashlib.sha256(secret.encode()).hexdigest()

    def is_usable(self, at: datetime) -> bool:
        """Whether the key opens anything at that instant."""
        return self.revoked_at is None and (self.expires_at is None or at < self.expires_at)

    def allows(self, scope: str) -> bool:
        return scope in self.scopes


class LicenseQuerySet(models.QuerySet["License"]):
    def in_force(self, at: datetime) -> Self:
        """Licenses that open their product at that instant, grace included. Dates decide, never a status."""
        return self.filter(starts_at__lte=at).filter(Q(ends_at__isnull=True) | Q(ends_at__gt=at - F("grace")))


class License(models.Model):
    """A company's right to a part of the product, from ``starts_at`` until ``ends_at`` plus ``grace``."""

    class Product(models.TextChoices):
        METERED_PRODUCTS = "metered_products"
        SUBSCRIPTION = "subscription"

    class State(models.TextChoices):
        """What the dates say at an instant; computed, never stored."""

        SCHEDULED = "scheduled"
        ACTIVE = "active"
        IN_GRACE = "in grace"
        ENDED = "ended"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    company = models.ForeignKey(Company, on_delete=models.PROTECT, related_name="licenses")
    product = models.CharField(max_length=20, choices=Product)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True, help_text="Empty: does not end.")
    grace = models.DurationField(default=timedelta(days=7), help_text="How long access goes on after the end.")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = LicenseQuerySet.as_manager()

    class Meta:
        ordering = ["company__name", "product", "starts_at"]
        constraints = [
            CheckConstraint(
                condition=Q(product__in=["metered_products", "subscription"]), name="license_product_is_known"
            ),
            CheckConstraint(
                condition=Q(ends_at__isnull=True) | Q(ends_at__gt=F("starts_at")), name="license_ends_after_start"
            ),
            CheckConstraint(condition=Q(grace__gte=timedelta(0)), name="license_grace_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.company}: {self.get_product_display()}"

    def is_in_force(self, at: datetime) -> bool:
        """As :meth:`LicenseQuerySet.in_force` asks the database."""
        return self.state(at) in {self.State.ACTIVE, self.State.IN_GRACE}

    def state(self, at: datetime) -> State:
        if at < self.starts_at:
            return self.State.SCHEDULED
        if self.ends_at is None or at < self.ends_at:
            return self.State.ACTIVE
        return self.State.IN_GRACE if at < self.ends_at + self.grace else self.State.ENDED


class LicenseNotice(models.Model):
    """A warning or transition of a license, recorded once: what the console shows and webhooks will tell."""

    class Kind(models.TextChoices):
        ENDS_IN_30_DAYS = "ends_in_30_days", "ends within 30 days"
        ENDS_IN_7_DAYS = "ends_in_7_days", "ends within 7 days"
        ENDS_IN_1_DAY = "ends_in_1_day", "ends within a day"
        IN_GRACE = "in_grace", "has ended, in grace"
        ENDED = "ended", "has ended"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    license = models.ForeignKey(License, on_delete=models.CASCADE, related_name="notices")
    kind = models.CharField(max_length=20, choices=Kind)
    ends_at = models.DateTimeField(help_text="The license's end that the notice speaks of: a renewal starts anew.")
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["-created_at"]
        constraints = [UniqueConstraint(fields=["license", "kind", "ends_at"], name="license_notice_once")]

    def __str__(self) -> str:
        return f"{self.license} {self.get_kind_display()}"


class Membership(models.Model):
    """A person's role in a company."""

    class Role(models.TextChoices):
        ADMINISTRATOR = "administrator"
        FINANCE_MANAGER = "finance_manager"
        ANALYST = "analyst"
        SUPPORT = "support"
        DEVELOPER = "developer"
        AUDITOR = "auditor"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    company = models.ForeignKey(Company, on_delete=models.PROTECT, related_name="memberships")
    role = models.CharField(max_length=20, choices=Role)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [UniqueConstraint(fields=["company", "user"], name="membership_one_per_person")]

    def __str__(self) -> str:
        return f"{self.user} is {self.get_role_display()} of {self.company}"


class TestClock(models.Model):
    """A clock of a test environment. Customers bound to it live at its time instead of the wall's."""

    # Its name makes pytest take it for a test class, wherever a test imports it.
    __test__ = False

    class Status(models.TextChoices):
        READY = "ready"
        ADVANCING = "advancing"
        INTERNAL_FAILURE = "internal_failure", "failed while advancing"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="test_clocks")
    name = models.CharField(max_length=300, blank=True)
    frozen_at = models.DateTimeField(help_text="What the clock shows.")
    status = models.CharField(max_length=16, choices=Status, default=Status.READY)
    target_at = models.DateTimeField(
        null=True, blank=True, help_text="What it is advancing to; step by step, so it may lie between for a while."
    )
    failure = models.TextField(blank=True, help_text="Why the last advance stopped before its target.")
    created_at = models.DateTimeField()
    deletes_at = models.DateTimeField(help_text="When it is deleted by itself, with its customers, by the wall's time.")
    deleted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            CheckConstraint(
                condition=Q(status="ready", target_at__isnull=True)
                | (~Q(status="ready") & Q(target_at__gte=F("frozen_at"))),
                name="test_clock_has_a_target_until_ready",
            ),
        ]
        indexes = [
            models.Index(fields=["environment", "-created_at"], name="test_clock_by_environment"),
            models.Index(fields=["status"], condition=Q(status="advancing"), name="test_clock_advancing"),
        ]

    def __str__(self) -> str:
        return self.name or f"clock at {self.frozen_at:%Y-%m-%d %H:%M}"


class CustomerQuerySet(models.QuerySet["Customer"]):
    def of(self, environment: Environment) -> Self:
        return self.filter(environment=environment)

    def present(self) -> Self:
        """Customers that were not deleted."""
        return self.filter(deleted_at__isnull=True)


class Customer(models.Model):
    """Someone the company bills. Closed, never deleted: usage and invoices go on pointing here."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="customers")
    name = models.CharField(max_length=256, blank=True)
    email = models.CharField(max_length=512, blank=True)
    phone = models.CharField(max_length=40, blank=True)
    description = models.CharField(max_length=5000, blank=True)
    did = models.CharField(
        max_length=100, blank=True, default="", db_default="", help_text="A decentralized identifier, if one is known."
    )
    address = models.JSONField(null=True, blank=True)
    metadata = models.JSONField(default=dict, blank=True)
    grace_minutes = models.PositiveIntegerField(
        "grace",
        null=True,
        blank=True,
        help_text="In minutes; empty: the company's. How long their invoices stay drafts.",
    )
    test_clock = models.ForeignKey(TestClock, on_delete=models.PROTECT, null=True, blank=True, related_name="customers")
    created_at = models.DateTimeField()
    deleted_at = models.DateTimeField(null=True, blank=True)

    objects = CustomerQuerySet.as_manager()

    class Meta:
        constraints = [
            # Who comes back after being deleted is somebody new.
            UniqueConstraint(
                fields=["environment", "did"],
                condition=Q(deleted_at__isnull=True) & ~Q(did=""),
                name="customer_one_per_did",
            )
        ]
        indexes = [
            models.Index(fields=["environment", "-created_at", "-id"], name="customer_newest_first"),
            models.Index(fields=["environment", "email"], name="customer_by_email"),
            models.Index("environment", Upper("email"), name="customer_by_email_any_case"),
        ]

    def __str__(self) -> str:
        return self.name or self.email or str(self.pk)

    def now(self, wall: datetime) -> datetime:
        """The time this customer lives at: its test clock's, or the wall's."""
        return self.test_clock.frozen_at if self.test_clock else wall


class CustomerNote(models.Model):
    """What people of the company want to remember of a customer. Written once, never changed."""

    LENGTH = 2000

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="+", db_index=False)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="notes", db_index=False)
    text = models.CharField(max_length=LENGTH)
    written_by = models.CharField(max_length=150)
    written_at = models.DateTimeField()

    class Meta:
        constraints = [CheckConstraint(condition=~Q(text=""), name="customer_note_not_empty")]
        indexes = [models.Index(fields=["environment", "customer", "-written_at"], name="note_by_customer")]

    def __str__(self) -> str:
        return self.text if len(self.text) <= 60 else f"{self.text[:59]}…"  # noqa: PLR2004


class ApiRequest(models.Model):
    """A program's request and how it was answered, for whoever looks for what went wrong. Neither bodies nor parameters
    are kept: they may hold what nobody should read here.

    Events that were taken in at once are in their own table, and not here.
    """

    id = models.UUIDField(primary_key=True, editable=False, help_text="The request's own id, which its answer names.")
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="+", db_index=False)
    key = models.ForeignKey(ApiKey, on_delete=models.PROTECT, related_name="+", db_index=False)
    at = models.DateTimeField(help_text="When it was answered.")
    method = models.CharField(max_length=10)
    path = models.CharField(max_length=300)
    status = models.PositiveSmallIntegerField()
    duration_ms = models.PositiveIntegerField("milliseconds")
    error_code = models.CharField(max_length=100, blank=True)
    error = models.CharField(max_length=300, blank=True)
    customer_id = models.UUIDField(null=True, help_text="Whom it is about, as far as its address or its answer says.")

    class Meta:
        verbose_name = "API request"
        indexes = [
            # Ids ascend in time.
            models.Index(fields=["environment", "-id"], name="request_newest_first"),
            models.Index(fields=["environment", "-id"], condition=Q(status__gte=400), name="request_refused_first"),
            models.Index(
                fields=["environment", "customer_id", "-id"],
                condition=Q(customer_id__isnull=False),
                name="request_by_customer",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


class IdempotencyRecord(models.Model):
    """The first answer to a POST with an Idempotency-Key, to be given again to a re-send."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.CASCADE, related_name="idempotency_records")
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(
        max_length=64, help_text="Hash of path and parameters: another request may not use the key."
    )
    request_id = models.CharField(max_length=40)
    status = models.PositiveSmallIntegerField()
    body = models.TextField()
    created_at = models.DateTimeField()

    class Meta:
        constraints = [UniqueConstraint(fields=["environment", "key"], name="idempotency_one_record_per_key")]
        indexes = [models.Index(fields=["created_at"], name="idempotency_by_age")]

    def __str__(self) -> str:
        return self.key
