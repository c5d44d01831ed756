"""Final invoices are computed again: quantities from the events themselves, amounts from prices, totals from lines."""

import logging
from collections import Counter
from collections.abc import Iterator
from copy import copy
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

from django.db import transaction
from django.db.models import Q, Sum

from core.ids import first_id, made_at
from core.money import EXACT, plain, share, to_minor_units
from credits.models import LedgerEntry
from invoices.models import Invoice, InvoiceLine, InvoiceVerification, LineDiscount, LineTax
from invoices.reducing import compute_again, read_reduced
from subscriptions.models import Discount
from subscriptions.pricing import billable_quantity, rate
from usage.raw import count_events
from usage.services import has_all_events
from usage.totals import Span

logger = logging.getLogger(__name__)

VERIFIED_DAYS = 3
# An event that was on its way into the database as its period was counted has an id from before, and was not seen.
_ON_ITS_WAY = [timedelta(seconds=seconds) for seconds in (0, 1, 5, 60)]

Difference = dict[str, str]


@transaction.atomic
def verify_invoice(*, invoice: Invoice, now: datetime) -> InvoiceVerification:
    """Compute a final invoice again, and keep what came of it. A difference is an alarm; the invoice stays as it is.

    Metered lines are counted from the events that were there when they were billed; what came or was canceled later is
    no difference, but a matter of the meter's late policy. Lines whose events retention has dropped are computed from
    the quantity that they kept. Other lines are rated by their prices again: prorations by the part of a period that they
    are for, what took an invoice's place by that invoice's lines.
    """
    lines = list(
        InvoiceLine.objects.filter(invoice=invoice)
        .select_related("price__meter", "invoice", "invoice_item")
        .prefetch_related("price__tiers")
        .order_by("position")
    )
    gone = [line for line in lines if "meter" in line.basis and not has_all_events(line.period)]
    differences = [*_of_totals(invoice, lines), *_of_reductions(invoice, lines)]
    for line in lines:
        differences += _of_line(line, has_events=line not in gone)
    for difference in differences:
        logger.error("invoice %s computed again differs: %s", invoice.number, difference)
    verification, _ = InvoiceVerification.objects.update_or_create(
        invoice=invoice,
        defaults={
            "environment_id": invoice.environment_id,
            "is_equal": not differences,
            "line_count": len(lines),
            "uncounted": len(gone),
            "differences": differences,
            "verified_at": now,
            "resolved_at": None,
        },
    )
    return verification


def verify_invoices(*, now: datetime) -> int:
    """Verify all invoices that became final in the last days.

    :returns: how many differ
    """
    final = Invoice.objects.exclude(status=Invoice.Status.DRAFT).filter(
        finalized_at__gte=now - timedelta(days=VERIFIED_DAYS)
    )
    return sum(not verify_invoice(invoice=one, now=now).is_equal for one in final.order_by("pk").iterator())


def resolve_verification(*, verification: InvoiceVerification, now: datetime) -> None:
    """Say that what was found is explained and settled. It stays on record; a second time changes nothing."""
    InvoiceVerification.objects.filter(pk=verification.pk, resolved_at__isnull=True).update(resolved_at=now)


def _of_totals(invoice: Invoice, lines: list[InvoiceLine]) -> Iterator[Difference]:
    of_lines = {"environment": invoice.environment_id, "line__invoice": invoice}
    discounts = LineDiscount.objects.filter(**of_lines)
    of_items = discounts.filter(
        Q(discount__subscription_item__isnull=False) | Q(discount__bound_to=Discount.Bound.INVOICE_ITEM)
    )
    taxes = LineTax.objects.filter(**of_lines)
    amounts = sum(line.amount for line in lines)
    taken_off = discounts.aggregate(taken=Sum("amount"))["taken"] or 0
    before = of_items.aggregate(taken=Sum("amount"))["taken"] or 0
    added = taxes.filter(tax_rate__inclusive=False).aggregate(tax=Sum("amount"))["tax"] or 0
    within = taxes.filter(tax_rate__inclusive=True).aggregate(tax=Sum("amount"))["tax"] or 0
    total = amounts - int(taken_off) - invoice.credit_applied + int(added)
    yield from _compared(None, "subtotal", invoice.subtotal, amounts - int(before))
    yield from _compared(None, "exclusive tax", invoice.exclusive_tax, int(added))
    yield from _compared(None, "inclusive tax", invoice.inclusive_tax, int(within))
    yield from _compared(None, "total", invoice.total, total)
    if invoice.ending_balance is not None:
        yield from _compared(None, "amount due", invoice.amount_due, max(invoice.starting_balance + total, 0))


def _of_reductions(invoice: Invoice, lines: list[InvoiceLine]) -> Iterator[Difference]:
    """Discounts and taxes of each line, computed again from the lines, the coupons and the rates."""
    applied = LedgerEntry.objects.filter(
        environment=invoice.environment_id, invoice_id=invoice.pk, kind=LedgerEntry.Kind.APPLIED
    )
    credit: Counter[UUID] = Counter()
    for entry in applied:
        if entry.invoice_line_id is not None:
            credit[entry.invoice_line_id] -= int(entry.amount)
    # Its totals are set in memory, and are compared with what is stored elsewhere.
    [computed] = compute_again({copy(invoice): lines}, credit=credit)
    stored = read_reduced(invoice)
    told = {line.pk: line for line in lines}
    discounts = [
        {(row.line_id, row.discount_id): row.amount for row in one.line_discounts} for one in (stored, computed)
    ]
    taxes = [{(row.line_id, row.tax_rate_id): row.amount for row in one.line_taxes} for one in (stored, computed)]
    for what, (before, now) in (("discount", discounts), ("tax", taxes)):
        for line_id, key in dict.fromkeys([*before, *now]):
            yield from _compared(told.get(line_id), what, before.get((line_id, key), 0), now.get((line_id, key), 0))


def _of_line(line: InvoiceLine, *, has_events: bool) -> Iterator[Difference]:
    if "meter" in line.basis:
        yield from _of_metered_line(line, has_events=has_events)
        return
    exact = _exact_amount(line)
    yield from _compared(line, "exact amount", plain(line.exact_amount), plain(exact))
    yield from _compared(line, "amount", line.amount, to_minor_units(exact))


def _exact_amount(line: InvoiceLine) -> Decimal:
    """What a line that no meter counted comes to, by its price and the rest of what it was computed from."""
    basis, item = line.basis, line.invoice_item
    if "trial" in basis:
        return Decimal(0)
    if "revises" in basis:
        # As the invoice billed it that this one has taken the place of.
        return InvoiceLine.objects.values_list("exact_amount", flat=True).get(pk=UUID(basis["revises"]))
    if "full_periods" in basis and line.price is not None:
        rating = rate(line.price.terms, line.quantity)
        part = Fraction(basis["full_periods"]) * Fraction(basis.get("after_discounts", 1))
        exact = share(rating.amount, part)
        gives_back = item is not None and (item.credits_line_id is not None or item.credits_item_id is not None)
        return EXACT.minus(exact) if gives_back else exact
    if "scheme" in basis and line.price is not None:
        return rate(line.price.terms, line.quantity).amount
    if line.unit_amount is not None:
        return EXACT.multiply(line.quantity, line.unit_amount)
    # It was set as a whole.
    return Decimal(line.amount)


def _of_metered_line(line: InvoiceLine, *, has_events: bool) -> Iterator[Difference]:
    basis = line.basis
    if line.price is None or line.price.meter is None:
        yield from _compared(line, "meter", basis["meter"], "none")
        return
    used = Decimal(basis["used"])
    if has_events:
        span = Span(line.price.meter, line.invoice.customer_id, line.period)
        # The last answer is told where none of them fits.
        value, event_count = Decimal(0), 0
        for before in _possible_ends(line.invoice):
            totals = count_events(span, before=before)
            value, event_count = totals.value(span.meter.formula), totals.event_count
            if (value, event_count) == (used, int(basis["event_count"])):
                break
        yield from _compared(line, "used", plain(used), plain(value))
        yield from _compared(line, "event count", basis["event_count"], event_count)
    rating = rate(line.price.terms, billable_quantity(used))
    if line.trues_up_id is None:
        yield from _compared(line, "exact amount", plain(line.exact_amount), plain(rating.amount))
        yield from _compared(line, "amount", line.amount, to_minor_units(rating.amount))
        return
    billed = int(basis["billed_amount"])
    exact = EXACT.subtract(rating.amount, Decimal(billed))
    yield from _compared(line, "exact amount", plain(line.exact_amount), plain(exact))
    left_over = int(basis.get("left_over", 0))
    yield from _compared(line, "amount", line.amount, to_minor_units(rating.amount) - billed - left_over)


def _possible_ends(invoice: Invoice) -> Iterator[UUID | None]:
    """Before which id the events may have been seen; at last, as they are now."""
    if invoice.counted_before is not None:
        for before in _ON_ITS_WAY:
            yield first_id(made_at(invoice.counted_before) - before)
    yield None


def _compared(line: InvoiceLine | None, what: str, billed: object, computed: object) -> Iterator[Difference]:
    if str(billed) != str(computed):
        yield {
            "line": str(line.pk) if line else "",
            "what": what,
            "billed": str(billed),
            "computed": str(computed),
        }
