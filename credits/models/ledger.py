"""The ledger: all that became of grants."""

from collections.abc import Collection
from typing import Self
from uuid import UUID

from django.db import models
from django.db.models import CheckConstraint, Q, UniqueConstraint
from django.utils.translation import gettext_lazy

from accounts.models import Customer, Environment
from core.fields import WholeNumberField
from core.ids import new_id
from credits.models.charges import EventCharge
from credits.models.grants import CreditGrant
from credits.models.reservations import CreditReservation


class LedgerEntryQuerySet(models.QuerySet["LedgerEntry"]):
    def of(self, environment: Environment) -> Self:
        return self.filter(environment=environment)

    def applied_to(self, invoice_ids: Collection[UUID]) -> Self:
        """What was taken for invoices, whether or not it was given back since."""
        return self.filter(invoice_id__in=invoice_ids, kind=LedgerEntry.Kind.APPLIED)


class LedgerEntry(models.Model):
    """One change of one grant's balance. The database refuses to change or delete it.

    Each entry carries the balance that it left and continues the one before it, so that the ledger of a grant is a chain
    from its amount to its balance without a gap.
    """

    class Kind(models.TextChoices):
        GRANTED = "granted"
        APPLIED = "applied", gettext_lazy("applied to an invoice")
        BURNED = "burned", gettext_lazy("burned by an event")
        COMMITTED = "committed", gettext_lazy("committed from a reservation")
        GIVEN_BACK = "given_back", gettext_lazy("given back, what it paid being void")
        EXPIRED = "expired"
        VOIDED = "voided"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    # The table that grows: each of these is the beginning of an index below, and needs none of its own.
    environment = models.ForeignKey(
        Environment, on_delete=models.PROTECT, db_index=False, related_name="ledger_entries"
    )
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, db_index=False, related_name="ledger_entries")
    grant = models.ForeignKey(CreditGrant, on_delete=models.PROTECT, db_index=False, related_name="entries")
    number = models.PositiveIntegerField(help_text=gettext_lazy("Its place in the grant's ledger, from 1."))
    kind = models.CharField(max_length=10, choices=Kind)
    amount = WholeNumberField(help_text=gettext_lazy("What came to the balance; negative: what was taken from it."))
    balance = WholeNumberField(help_text=gettext_lazy("The grant's balance after it."))
    effective_at = models.DateTimeField(
        help_text=gettext_lazy("The instant that it counts from; an expiry may be written later.")
    )
    created_at = models.DateTimeField(help_text=gettext_lazy("When it was written, by the customer's clock."))
    # Bare ids: whatever is paid by credit stands above the ledger.
    invoice_id = models.UUIDField(null=True, blank=True)
    invoice_line_id = models.UUIDField(null=True, blank=True)
    charge = models.ForeignKey(
        EventCharge,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        db_index=False,
        related_name="entries",
        help_text=gettext_lazy("What an event was charged, of credit that is no money."),
    )
    reservation = models.ForeignKey(
        CreditReservation,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        db_index=False,
        related_name="entries",
        help_text=gettext_lazy("What was committed of it."),
    )
    gives_back = models.ForeignKey(
        "self", on_delete=models.PROTECT, null=True, blank=True, db_index=False, related_name="given_back_by"
    )

    objects = LedgerEntryQuerySet.as_manager()

    class Meta:
        verbose_name_plural = gettext_lazy("ledger entries")
        constraints = [
            UniqueConstraint(fields=["environment", "grant", "number"], name="ledger_entry_one_per_number"),
            UniqueConstraint(
                fields=["environment", "gives_back"],
                condition=Q(gives_back__isnull=False),
                name="ledger_entry_given_back_once",
            ),
            CheckConstraint(condition=Q(balance__gte=0), name="ledger_entry_balance_not_negative"),
            CheckConstraint(
                condition=Q(kind="granted", number=1) | (~Q(kind="granted") & Q(number__gt=1)),
                name="ledger_entry_begins_with_the_grant",
            ),
            CheckConstraint(
                condition=Q(kind__in=["granted", "given_back"], amount__gt=0)
                | Q(kind__in=["applied", "burned", "committed", "expired", "voided"], amount__lt=0),
                name="ledger_entry_amount_has_its_kind_s_sign",
            ),
            CheckConstraint(
                condition=Q(
                    kind__in=["applied", "given_back"],
                    invoice_id__isnull=False,
                    invoice_line_id__isnull=False,
                    charge__isnull=True,
                )
                | Q(
                    kind__in=["burned", "given_back"],
                    invoice_id__isnull=True,
                    invoice_line_id__isnull=True,
                    charge__isnull=False,
                )
                | Q(
                    kind__in=["granted", "committed", "expired", "voided"],
                    invoice_id__isnull=True,
                    invoice_line_id__isnull=True,
                    charge__isnull=True,
                ),
                name="ledger_entry_names_what_it_paid",
            ),
            CheckConstraint(
                condition=Q(kind="committed", reservation__isnull=False)
                | (~Q(kind="committed") & Q(reservation__isnull=True)),
                name="ledger_entry_names_its_reservation",
            ),
            CheckConstraint(
                condition=Q(kind="given_back", gives_back__isnull=False)
                | (~Q(kind="given_back") & Q(gives_back__isnull=True)),
                name="ledger_entry_gives_back_another",
            ),
        ]
        indexes = [
            models.Index(fields=["environment", "-created_at", "-id"], name="ledger_entry_newest_first"),
            models.Index(fields=["environment", "customer", "-created_at", "-id"], name="ledger_entry_by_customer"),
            models.Index(
                fields=["environment", "invoice_id"],
                condition=Q(invoice_id__isnull=False),
                name="ledger_entry_by_invoice",
            ),
            models.Index(
                fields=["environment", "charge"], condition=Q(charge__isnull=False), name="ledger_entry_by_charge"
            ),
            models.Index(
                fields=["environment", "reservation"],
                condition=Q(reservation__isnull=False),
                name="ledger_entry_by_reservation",
            ),
        ]

    def __str__(self) -> str:
        return self.get_kind_display()
