"""Drafts become final."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import chain
from operator import attrgetter
from types import MappingProxyType
from uuid import UUID

from django.db import transaction

from accounts.clocks import hold_clock
from accounts.models import Environment
from core.bulk import update_rows
from core.ids import new_id, spell
from core.related import bringing
from invoices.drafting import PRICES, Charge, count_line
from invoices.errors import InvoiceNotDraft
from invoices.models import Invoice, InvoiceLine, InvoiceNumbering, InvoiceQuerySet
from invoices.parties import present_parties
from invoices.reducing import TOTALS, reduce_again
from invoices.services.announcing import announce_invoices
from invoices.services.balances import apply_balances
from invoices.services.collecting import void_what_is_revised
from invoices.services.crediting import pay_by_credit
from invoices.services.reminding import first_reminder
from invoices.true_ups import drafted_true_ups, make_true_up_lines, read_all_usage
from subscriptions.models import Subscription, TaxRate
from webhooks import services as outbox
from webhooks.kinds import Kind

_ISSUED = [
    *TOTALS,
    "credit_applied",
    "amount_due",
    "starting_balance",
    "ending_balance",
    "number",
    "finalized_at",
    "counted_before",
    "due_at",
    "status",
    "paid_at",
    "voided_at",
    "uncollectible_at",
    "escalates_at",
    "reminds_at",
    "parties",
]
_PREFIX_LENGTH = 6


@transaction.atomic
def finalize_invoice(*, invoice: Invoice, now: datetime) -> Invoice:
    """Make a draft final: count its usage once more, give it its number, and freeze it.

    With nothing to pay it is paid at once, else it is open. An invoice that it revises is void from then on.

    :returns: the invoice as it is now
    :raises accounts.errors.ClockAdvancing: if the customer's test clock is on the move
    :raises InvoiceNotDraft: if it is final already, or became so in another process at the same moment
    :raises AmountTooLarge: if its usage has grown beyond what an invoice can hold
    :raises RevisedInvoiceSettled: if it was to take the place of an invoice that was paid or credited meanwhile
    """
    hold_clock(invoice.customer, now=now)
    invoice = locked_draft(invoice)
    finalize_drafts([invoice], now=now)
    return invoice


@transaction.atomic
def recount_draft(*, invoice: Invoice, now: datetime) -> Invoice:
    """Count a draft's usage as it is now, as will be done once more when it becomes final.

    :returns: the invoice as it is now
    :raises accounts.errors.ClockAdvancing: if the customer's test clock is on the move
    :raises InvoiceNotDraft: if it is final
    :raises AmountTooLarge: if its usage has grown beyond what an invoice can hold
    """
    hold_clock(invoice.customer, now=now)
    invoice = locked_draft(invoice)
    before = outbox.take_snapshots([invoice])
    count_again([invoice], read_at=now)
    invoice.save(update_fields=[*TOTALS, "amount_due"])
    outbox.record(Kind.INVOICE_UPDATED, rows=[invoice], now=now, before=before)
    return invoice


def count_again(drafts: Sequence[Invoice], *, read_at: datetime) -> dict[Invoice, list[InvoiceLine]]:
    """Rate the metered lines of drafts by the usage that is there now, and add up. The caller holds their locks.

    A true-up that comes to nothing by now is taken off its draft.

    :returns: the lines as they are stored now
    :raises AmountTooLarge: if an amount is beyond what an invoice can hold
    """
    lines: dict[UUID, list[InvoiceLine]] = {draft.pk: [] for draft in drafts}
    for line in (
        InvoiceLine.objects.filter(invoice__in=drafts)
        .select_related("subscription_item")
        .prefetch_related(*PRICES)
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
    left: dict[Invoice, list[InvoiceLine]] = {}
    for draft in drafts:
        counted += [count_line(line, charge, answers, read_at=read_at) for line, charge in metered[draft.pk].items()]
        kept = [line for line in lines[draft.pk] if line.trues_up_id is None]
        made = make_true_up_lines(true_ups.get(draft.pk, ()), answers, others=kept, read_at=read_at)
        by_original = {line.trues_up_id: line for line in made}
        for line in lines[draft.pk]:
            if line.trues_up_id in by_original:
                kept.append(_as_counted(line, by_original[line.trues_up_id]))
            elif line.trues_up_id is not None:
                gone.append(line)
        counted += [line for line in kept if line.trues_up_id is not None]
        left[draft] = kept
    update_rows(counted, ["description", "basis", "quantity", "exact_amount", "amount"])
    if gone:
        InvoiceLine.objects.filter(pk__in=[line.pk for line in gone]).delete()
    reduce_again(left)
    return left


def add_up_again(draft: Invoice, *, asked: Mapping[UUID, Sequence[TaxRate]] = MappingProxyType({})) -> None:
    """Set a draft's totals after its lines were changed. The caller holds its lock.

    :param asked: what taxes are asked of lines that are new, by their ids
    """
    reduce_again({draft: list(draft.lines.select_related("price"))}, asked=asked)
    draft.save(update_fields=[*TOTALS, "amount_due"])


def issue(
    drafts: Sequence[Invoice], *, now: datetime, lines: Mapping[Invoice, Iterable[InvoiceLine]] | None = None
) -> None:
    """Number drafts of one environment and make them final. Their lines are as they shall stay.

    The caller holds their locks. Those that were made while collection was paused are void or uncollectible at once.

    :param lines: all of the drafts' lines, where the caller has them in hand as they are stored
    :raises RevisedInvoiceSettled: if a draft was to take the place of an invoice that was paid or credited meanwhile
    """
    # First of all: what the old ones took of credit and balance pays the new ones.
    void_what_is_revised(drafts, now=now)
    marker = new_id()
    for invoice in drafts:
        invoice.finalized_at, invoice.counted_before = now, marker
    standing = [draft for draft in drafts if draft.pause_behavior != Subscription.PausedCollection.VOID]
    if standing:
        pay_by_credit(standing)
        apply_balances(standing)
    # Locked last and until the commit: a rollback gives the numbers back, so that none is ever missing.
    environment = Environment.objects.select_related("company").get(pk=drafts[0].environment_id)
    numbering = _locked_numbering(environment)
    for invoice in drafts:
        invoice.parties = present_parties(environment.company, invoice.customer)
        numbering.last_number += 1
        invoice.number = str(numbering)
        if invoice.collection_method == Subscription.CollectionMethod.SEND_INVOICE:
            invoice.due_at = now + timedelta(days=invoice.days_until_due or 0)
            invoice.reminds_at = first_reminder(invoice.due_at, environment.company, now=now)
        _settle(invoice, now)
    numbering.save(update_fields=["last_number"])
    update_rows(drafts, _ISSUED)
    if lines is None:
        _tell(drafts, now, in_hand=False)
    else:
        in_order = sorted(chain.from_iterable(lines.values()), key=attrgetter("position"))
        with bringing(drafts, "lines", in_order, by="invoice_id"):
            _tell(drafts, now, in_hand=True)
    if environment.company.mails_documents:
        announce_invoices(drafts, now=now)


def _tell(issued: Sequence[Invoice], now: datetime, *, in_hand: bool) -> None:
    record = partial(outbox.record, now=now, in_hand=in_hand)
    by_status = {status: [one for one in issued if one.status == status] for status in Invoice.Status}
    record(Kind.INVOICE_FINALIZED, rows=issued)
    # With nothing to pay, the payment has succeeded; what is paid elsewhere is no payment that anybody saw succeed.
    record(Kind.INVOICE_PAID, Kind.INVOICE_PAYMENT_SUCCEEDED, rows=by_status[Invoice.Status.PAID])
    record(Kind.INVOICE_VOIDED, rows=by_status[Invoice.Status.VOID])
    record(Kind.INVOICE_MARKED_UNCOLLECTIBLE, rows=by_status[Invoice.Status.UNCOLLECTIBLE])


def _settle(invoice: Invoice, now: datetime) -> None:
    """Decide what a draft becomes."""
    if invoice.pause_behavior == Subscription.PausedCollection.VOID:
        invoice.status, invoice.voided_at = Invoice.Status.VOID, now
    elif invoice.amount_due == 0:
        invoice.status, invoice.paid_at = Invoice.Status.PAID, now
    elif invoice.pause_behavior == Subscription.PausedCollection.MARK_UNCOLLECTIBLE:
        invoice.status, invoice.uncollectible_at = Invoice.Status.UNCOLLECTIBLE, now
    else:
        invoice.status = Invoice.Status.OPEN
        # Nothing follows from an invoice that stands for itself.
        invoice.escalates_at = invoice.due_at if invoice.subscription_id else None


def finalize_drafts(drafts: Sequence[Invoice], *, now: datetime) -> None:
    """Count the usage of drafts once more and make them final. The caller holds their locks, in one environment."""
    issue(drafts, now=now, lines=count_again(drafts, read_at=now))


def invoices_to_finalize() -> InvoiceQuerySet:
    """Invoices with all that making them final reads."""
    return Invoice.objects.select_related("customer__test_clock", "subscription")


def lock_invoice(invoice: Invoice) -> Invoice:
    """Take an invoice's lock, and read it as it is now."""
    # no_key: a credit note or a line that refers to the invoice need not wait.
    return invoices_to_finalize().select_for_update(of=("self",), no_key=True).get(pk=invoice.pk)


def locked_draft(invoice: Invoice) -> Invoice:
    """Take a draft's lock, and read it as it is now.

    :raises InvoiceNotDraft: if it is final
    """
    draft = lock_invoice(invoice)
    if draft.status != Invoice.Status.DRAFT:
        raise InvoiceNotDraft(draft.status)
    return draft


def _locked_numbering(environment: Environment) -> InvoiceNumbering:
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
    """A line that trues up an earlier period, as it is by now."""
    line.description, line.basis = fresh.description, fresh.basis
    line.quantity, line.exact_amount, line.amount = fresh.quantity, fresh.exact_amount, fresh.amount
    return line
