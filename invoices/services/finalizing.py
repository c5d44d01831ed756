"""Drafts become final, and final invoices are paid or voided."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import chain
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef

from accounts.models import Environment
from core.bulk import update_rows
from core.ids import spell
from invoices.drafting import Charge, add_up, make_lines
from invoices.errors import InvoiceNotDraft, InvoiceNotOpen
from invoices.models import BillingFailure, Invoice, InvoiceLine, InvoiceNumbering, InvoiceQuerySet
from invoices.services.balances import apply_balances, give_back_to_balance
from invoices.services.sweeping import Swept, note_failure, sweep
from invoices.true_ups import drafted_true_ups, make_true_up_lines, read_all_usage
from subscriptions.models import Subscription

_CHUNK = 200
_PREFIX_LENGTH = 6


def finalize_due_drafts(*, wall: datetime, chunk: int = _CHUNK) -> Swept:
    """Finalize every draft whose time has come. One that cannot be finalized is parked and tried again later.

    :param wall: the time by the wall; customers on a test clock live at theirs
    :returns: drafts finalized, and drafts parked
    """
    held_back = BillingFailure.objects.held_back(wall).filter(invoice=OuterRef("pk"))
    due = _invoices().due(wall).filter(~Exists(held_back)).order_by("finalizes_at", "pk")
    return sweep(due=due, chunk=chunk, work=partial(_finalize_due, wall=wall), park=partial(_park, wall=wall))


@transaction.atomic
def finalize_invoice(*, invoice: Invoice, now: datetime) -> Invoice:
    """Make a draft final: count its usage once more, give it its number, and freeze it.

    With nothing to pay it is paid at once, else it is open.

    :returns: the invoice as it is now
    :raises InvoiceNotDraft: if it is final already, or became so in another process at the same moment
    :raises AmountTooLarge: if its usage has grown beyond what an invoice can hold
    """
    invoice = _locked(invoice)
    if invoice.status != Invoice.Status.DRAFT:
        raise InvoiceNotDraft(invoice.status)
    count_again([invoice], read_at=now)
    issue([invoice], now=now)
    return invoice


@transaction.atomic
def pay_invoice_out_of_band(*, invoice: Invoice, now: datetime) -> Invoice:
    """Note that an open invoice was paid in full in a way that is not seen here: by transfer, check, cash.

    :returns: the invoice as it is now
    :raises InvoiceNotOpen: if it is a draft, paid or void
    """
    invoice = _locked_open(invoice)
    invoice.status = Invoice.Status.PAID
    invoice.amount_paid = invoice.amount_due
    invoice.paid_out_of_band = True
    invoice.paid_at = now
    invoice.save(update_fields=["status", "amount_paid", "paid_out_of_band", "paid_at"])
    return invoice


@transaction.atomic
def void_invoice(*, invoice: Invoice, now: datetime) -> Invoice:
    """Declare an open invoice to be none. It keeps its number and its amounts, and is not to be paid any more.

    What it took from the customer's balance, or gave to it, is undone.

    :returns: the invoice as it is now
    :raises InvoiceNotOpen: if it is a draft, paid or void
    """
    invoice = _locked_open(invoice)
    invoice.status = Invoice.Status.VOID
    invoice.voided_at = now
    invoice.save(update_fields=["status", "voided_at"])
    give_back_to_balance(invoice, now=now)
    return invoice


def count_again(drafts: Sequence[Invoice], *, read_at: datetime) -> None:
    """Rate the metered lines of drafts by the usage that is there now, and add up. The caller holds their locks.

    A true-up that comes to nothing by now is taken off its draft.

    :raises AmountTooLarge: if an amount is beyond what an invoice can hold
    """
    lines: dict[UUID, list[InvoiceLine]] = {draft.pk: [] for draft in drafts}
    for line in (
        InvoiceLine.objects.filter(invoice__in=drafts)
        .select_related("price__product", "price__meter", "subscription_item")
        .prefetch_related("price__tiers")
        .order_by("invoice", "position")
    ):
        lines[line.invoice_id].append(line)
    metered = {draft.pk: _metered_charges(lines[draft.pk], draft) for draft in drafts}
    charges = {pk: list(of_draft.values()) for pk, of_draft in metered.items()}
    true_ups = drafted_true_ups(
        chain.from_iterable(lines.values()), {draft.pk: draft.subscription for draft in drafts if draft.subscription}
    )
    answers, true_ups = read_all_usage(drafts[0].environment_id, charges, true_ups)
    counted: list[InvoiceLine] = []
    gone: list[InvoiceLine] = []
    for draft in drafts:
        fresh = make_lines(charges[draft.pk], answers, read_at=read_at)
        counted += [_as_counted(line, now) for line, now in zip(metered[draft.pk], fresh, strict=True)]
        kept = [line for line in lines[draft.pk] if line.trues_up_id is None]
        made = make_true_up_lines(true_ups.get(draft.pk, ()), answers, others=kept, read_at=read_at)
        by_original = {line.trues_up_id: line for line in made}
        for line in lines[draft.pk]:
            if line.trues_up_id in by_original:
                kept.append(_as_counted(line, by_original[line.trues_up_id]))
            elif line.trues_up_id is not None:
                gone.append(line)
        counted += [line for line in kept if line.trues_up_id is not None]
        add_up(draft, kept)
    update_rows(counted, ["description", "basis", "quantity", "exact_amount", "amount"])
    if gone:
        InvoiceLine.objects.filter(pk__in=[line.pk for line in gone]).delete()


def issue(drafts: Sequence[Invoice], *, now: datetime) -> None:
    """Number drafts of one environment and make them final. Their lines are as they shall stay.

    The caller holds their locks. A draft on a test clock that jumped ahead is final at the time that was set for it.
    """
    for invoice in drafts:
        invoice.finalized_at = _finalized_at(invoice, now)
    apply_balances(drafts)
    # Locked last and until the commit: a rollback gives the numbers back, so that none is ever missing.
    numbering = _locked_numbering(drafts[0].environment_id)
    for invoice in drafts:
        numbering.last_number += 1
        invoice.number = str(numbering)
        if invoice.collection_method == Subscription.CollectionMethod.SEND_INVOICE:
            invoice.due_at = _finalized_at(invoice, now) + timedelta(days=invoice.days_until_due or 0)
        if invoice.amount_due == 0:
            invoice.status = Invoice.Status.PAID
            invoice.paid_at = invoice.finalized_at
        else:
            invoice.status = Invoice.Status.OPEN
    numbering.save(update_fields=["last_number"])
    update_rows(
        drafts,
        [
            "subtotal",
            "total",
            "amount_due",
            "starting_balance",
            "ending_balance",
            "number",
            "finalized_at",
            "due_at",
            "status",
            "paid_at",
        ],
    )


def _finalize_due(drafts: list[Invoice], *, wall: datetime) -> None:
    count_again(drafts, read_at=wall)
    issue(drafts, now=wall)
    BillingFailure.objects.filter(environment_id=drafts[0].environment_id, invoice__in=drafts).delete()


def _park(invoice: Invoice, error: Exception, *, wall: datetime) -> None:
    note_failure(environment_id=invoice.environment_id, invoice=invoice, error=error, now=wall)


def _finalized_at(invoice: Invoice, now: datetime) -> datetime:
    clock = invoice.customer.test_clock
    if clock is None:
        return now
    return min(clock.frozen_at, invoice.finalizes_at or clock.frozen_at)


def _invoices() -> InvoiceQuerySet:
    return Invoice.objects.select_related("customer__test_clock", "subscription")


def _locked(invoice: Invoice) -> Invoice:
    # no_key: a credit note or a line that refers to the invoice need not wait.
    return _invoices().select_for_update(of=("self",), no_key=True).get(pk=invoice.pk)


def _locked_open(invoice: Invoice) -> Invoice:
    invoice = _locked(invoice)
    if invoice.status != Invoice.Status.OPEN:
        raise InvoiceNotOpen(invoice.status)
    return invoice


def _locked_numbering(environment_id: UUID) -> InvoiceNumbering:
    environment = Environment.objects.get(pk=environment_id)
    # The id's last digits are random. Test and live invoices are told apart at a glance.
    short = spell("", environment.pk)[-_PREFIX_LENGTH:].upper()
    prefix = short if environment.is_live else f"TEST-{short}"
    numbering, _ = InvoiceNumbering.objects.select_for_update().get_or_create(
        environment=environment, defaults={"prefix": prefix}
    )
    return numbering


def _metered_charges(lines: Iterable[InvoiceLine], invoice: Invoice) -> dict[InvoiceLine, Charge]:
    """The lines of a draft whose own usage is counted again. True-ups are not among them."""
    charges = {}
    for line in lines:
        if line.price is None or line.price.meter_id is None or line.subscription_item is None:
            continue
        if invoice.subscription is not None and line.trues_up_id is None:
            charges[line] = Charge(invoice.subscription, line.subscription_item, line.price, line.period)
    return charges


def _as_counted(line: InvoiceLine, fresh: InvoiceLine) -> InvoiceLine:
    line.description, line.basis = fresh.description, fresh.basis
    line.quantity, line.exact_amount, line.amount = fresh.quantity, fresh.exact_amount, fresh.amount
    return line
