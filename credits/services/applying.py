"""Credit pays for invoices that become final, and comes back from those that are void."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from uuid import UUID

from django.db import transaction

from credits.applying import PayableInvoice, Share, spread
from credits.models import CreditGrant, LedgerEntry
from credits.services.holding import let_lapse
from credits.services.journal import Journal, as_spendable, lock_accounts

Key = tuple[UUID, str]


@transaction.atomic
def apply_credit(*, environment_id: UUID, invoices: Sequence[PayableInvoice]) -> list[LedgerEntry]:
    """Let the customers' credit pay for invoices, one invoice after the other.

    :param invoices: of one environment; each once in its life
    :returns: an entry per grant and line, in the invoices' order
    """
    held = lock_accounts(environment_id, [invoice.customer_id for invoice in invoices])
    if not held:
        return []
    instants = {invoice.customer_id: invoice.at for invoice in invoices}
    let_lapse(environment_id, {customer_id: instants[customer_id] for customer_id in held})
    grants = _spendable(environment_id, held)
    journal = Journal()
    for invoice in invoices:
        of_customer = grants[invoice.customer_id, invoice.currency]
        for share in spread(map(as_spendable, of_customer.values()), invoice):
            journal.enter(
                of_customer[share.grant_id],
                LedgerEntry.Kind.APPLIED,
                -share.amount,
                now=invoice.at,
                invoice_id=invoice.invoice_id,
                invoice_line_id=share.line_id,
            )
    return journal.write()


def customers_with_credit(environment_id: UUID, customer_ids: Iterable[UUID]) -> set[UUID]:
    """Those of the customers who have any credit left, usable or not. One indexed question, whatever the answer."""
    left = CreditGrant.objects.filter(environment_id=environment_id, customer__in=set(customer_ids), balance__gt=0)
    left = left.money()
    return set(left.order_by().values_list("customer_id", flat=True).distinct())


def preview_credit(*, environment_id: UUID, invoice: PayableInvoice) -> list[Share]:
    """What credit would pay if the invoice became final. Nothing is held or stored."""
    grants = _spendable(environment_id, [invoice.customer_id], invoice.at)[invoice.customer_id, invoice.currency]
    return spread(map(as_spendable, grants.values()), invoice)


@transaction.atomic
def give_back_credit(
    *,
    environment_id: UUID,
    customer_ids: Collection[UUID],
    invoice_ids: Collection[UUID],
    now: datetime,
    line_ids: Collection[UUID] | None = None,
) -> list[LedgerEntry]:
    """Return to their grants what invoices took, since they are void or credited. Twice is as good as once.

    A grant that has expired by now loses at once what comes back to it; its ledger shows both.

    :param customer_ids: whose invoices they are
    :param now: the customers' time
    :param line_ids: only what these lines of the invoices took
    :returns: the entries written
    """
    lock_accounts(environment_id, customer_ids)
    applied = (
        LedgerEntry.objects.filter(environment_id=environment_id, given_back_by__isnull=True)
        .applied_to(invoice_ids)
        .select_related("grant__environment")
        .order_by("pk")
    )
    if line_ids is not None:
        applied = applied.filter(invoice_line_id__in=line_ids)
    journal = Journal()
    grants: dict[UUID, CreditGrant] = {}
    for entry in applied:
        # One object per grant, so that each entry goes on from what the one before it left.
        grant = grants.setdefault(entry.grant_id, entry.grant)
        journal.enter(
            grant,
            LedgerEntry.Kind.GIVEN_BACK,
            -entry.amount,
            now=now,
            invoice_id=entry.invoice_id,
            invoice_line_id=entry.invoice_line_id,
            gives_back=entry,
        )
    for grant in grants.values():
        if grant.has_expired(now):
            journal.enter(grant, LedgerEntry.Kind.EXPIRED, -grant.available, now=now)
    return journal.write()


def _spendable(
    environment_id: UUID, customer_ids: Iterable[UUID], at: datetime | None = None
) -> dict[Key, dict[UUID, CreditGrant]]:
    """All grants with something left, by customer and currency. Which of them are usable, an invoice's instant says.

    :param at: where nothing was booked before: the instant at which reservations must hold something to be counted
    """
    grants: dict[Key, dict[UUID, CreditGrant]] = defaultdict(dict)
    left = CreditGrant.objects.filter(environment_id=environment_id, customer__in=customer_ids, balance__gt=0)
    if at is not None:
        left = left.with_held(at)
    for grant in left.money().select_related("environment").prefetch_related("granted_prices"):
        if at is not None:
            grant.reserved = int(grant.held)  # type: ignore[attr-defined]  # annotated above
        grants[grant.customer_id, grant.currency][grant.pk] = grant
    return grants
