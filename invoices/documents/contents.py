"""An invoice as words, amounts and steps: what its PDF and its page both show. It reads, and stores nothing.

Credit notes are in :mod:`invoices.documents.notes`.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID
from zoneinfo import ZoneInfo

from accounts.models import Company
from credits.models import LedgerEntry
from invoices.documents.arithmetic import Step, day, exact_money, money, number, span, steps_of, title_of
from invoices.models import Invoice, InvoiceLine, LineTax
from invoices.parties import Parties, parties_of
from subscriptions.models import Discount, TaxRate

CREDIT = "Paid by credit"
_MARKS = {Invoice.Status.DRAFT: "Draft", Invoice.Status.VOID: "Void"}


@dataclass(frozen=True, slots=True)
class Party:
    """Someone's name and address, as printed."""

    name: str
    lines: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Sum:
    """A row below the lines.

    :ivar is_part: it is within the rows around it, and not added
    """

    label: str
    amount: str
    is_strong: bool = False
    is_part: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    title: str
    period: str
    quantity: str
    unit_price: str
    amount: str
    steps: Sequence[Step] = ()
    changes: Sequence[Sum] = ()


@dataclass(frozen=True, slots=True)
class Document:
    """
    :ivar mark: printed across each page of what is not to be paid as it stands
    :ivar paper: a4 or us-letter
    :ivar addressed: what stands above the buyer
    """

    kind: str
    number: str
    status: str
    mark: str
    headline: str
    paper: str
    seller: Party
    buyer: Party
    addressed: str
    facts: Sequence[tuple[str, str]]
    lines: Sequence[Line]
    sums: Sequence[Sum]
    memo: str = ""
    footer: str = ""
    is_test: bool = False
    country: str = ""


def document_of(invoice: Invoice) -> Document:
    """All that an invoice says."""
    parties = parties_of(invoice)
    zone = invoice.subscription.zone if invoice.subscription else None
    lines = list(invoice.lines.order_by("position").prefetch_related("discounts__discount__coupon", "taxes__tax_rate"))
    credit = _credit(invoice)
    return Document(
        kind="Invoice",
        number=invoice.number,
        status=invoice.status,
        mark=_MARKS.get(Invoice.Status(invoice.status), ""),
        headline=_headline(invoice, zone),
        paper=paper_of(invoice.environment.company),
        seller=seller_of(parties),
        buyer=buyer_of(parties),
        addressed="Bill to",
        facts=list(_facts(invoice, zone)),
        lines=[_line(line, invoice.currency, zone, credit.get(line.pk, 0)) for line in lines],
        sums=list(_sums(invoice, lines)),
        memo=invoice.description,
        footer=invoice.footer,
        is_test=not invoice.environment.is_live,
        country=country_of(parties),
    )


def _credit(invoice: Invoice) -> dict[UUID | None, int]:
    """What credit paid of each line."""
    paid: dict[UUID | None, int] = defaultdict(int)
    if invoice.credit_applied:
        entries = LedgerEntry.objects.of(invoice.environment).applied_to([invoice.pk])
        for line_id, amount in entries.values_list("invoice_line_id", "amount"):
            paid[line_id] -= int(amount)
    return paid


def paper_of(company: Company) -> str:
    return "us-letter" if company.paper == company.Paper.LETTER else "a4"


def country_of(parties: Parties) -> str:
    """The buyer's, in two letters; empty where it is not known."""
    return str((parties["buyer"]["address"] or {}).get("country") or "")


def seller_of(parties: Parties) -> Party:
    return Party(parties["seller"]["name"], parties["seller"]["address"])


def buyer_of(parties: Parties) -> Party:
    buyer = parties["buyer"]
    address = buyer["address"] or {}
    city = " ".join(part for part in (address.get("postal_code"), address.get("city")) if part)
    lines = [address.get("line1"), address.get("line2"), city, address.get("state"), address.get("country")]
    printed = [str(line) for line in lines if line]
    name = buyer["name"] or buyer["email"]
    return Party(name, [*printed, *([buyer["email"]] if buyer["email"] and buyer["email"] != name else [])])


def _headline(invoice: Invoice, zone: ZoneInfo | None) -> str:
    remaining = money(invoice.amount_remaining, invoice.currency)
    match invoice.status:
        case Invoice.Status.DRAFT:
            return f"{remaining} by now; this is a draft, and not to be paid yet"
        case Invoice.Status.VOID:
            return "Void: nothing is to be paid"
        case Invoice.Status.PAID if invoice.paid_at is not None:
            return f"{money(invoice.amount_paid, invoice.currency)} paid on {day(invoice.paid_at, zone)}"
        case _:
            return f"{remaining} due {day(invoice.due_at, zone)}" if invoice.due_at else f"{remaining} due"


def _facts(invoice: Invoice, zone: ZoneInfo | None) -> Iterator[tuple[str, str]]:
    if invoice.number:
        yield "Invoice number", invoice.number
    if invoice.finalized_at:
        yield "Date of issue", day(invoice.finalized_at, zone)
    if invoice.due_at:
        yield "Date due", day(invoice.due_at, zone)
    if invoice.period_start != invoice.period_end:
        yield "Billing period", span(invoice.period, zone)
    for custom in invoice.custom_fields:
        yield str(custom["name"]), str(custom["value"])


def _line(line: InvoiceLine, currency: str, zone: ZoneInfo | None, credit: int) -> Line:
    per_unit = "packages" not in line.basis and line.unit_amount is not None
    changes = [
        Sum(words_of_discount(row.discount), money(-row.amount, currency)) for row in line.discounts.all() if row.amount
    ]
    if credit:
        changes.append(Sum(CREDIT, money(-credit, currency)))
    changes += [tax_sum(row.tax_rate, row.taxable_amount, row.amount, currency) for row in line.taxes.all()]
    return Line(
        title=title_of(line),
        period=span(line.period, zone),
        quantity=number(line.quantity),
        unit_price=exact_money(line.unit_amount, currency) if per_unit and line.unit_amount is not None else "",
        amount=money(line.amount, currency),
        steps=steps_of(line, currency),
        changes=changes,
    )


def _sums(invoice: Invoice, lines: Sequence[InvoiceLine]) -> Iterator[Sum]:
    """From the lines to what is due. Every row that is no part of others is added to the ones above."""
    currency = invoice.currency
    yield Sum("Sum of lines", money(sum(line.amount for line in lines), currency))
    taken: dict[Discount, int] = defaultdict(int)
    taxes: dict[TaxRate, list[LineTax]] = defaultdict(list)
    for line in lines:
        for row in line.discounts.all():
            taken[row.discount] += row.amount
        for tax in line.taxes.all():
            taxes[tax.tax_rate].append(tax)
    for discount, amount in taken.items():
        if amount:
            yield Sum(words_of_discount(discount), money(-amount, currency))
    if invoice.credit_applied:
        yield Sum(CREDIT, money(-invoice.credit_applied, currency))
    for rate, rows in taxes.items():
        yield tax_sum(rate, sum(row.taxable_amount for row in rows), sum(row.amount for row in rows), currency)
    yield Sum("Total", money(invoice.total, currency), is_strong=True)
    balance = invoice.amount_due - invoice.total
    if balance:
        yield Sum(_balance_words(invoice, balance), money(balance, currency))
    yield from _settled(invoice)
    yield Sum("Amount due", money(invoice.amount_remaining, currency), is_strong=True)


def _settled(invoice: Invoice) -> Iterator[Sum]:
    """What credit notes took off what was to be paid, and each payment."""
    currency = invoice.currency
    for note in invoice.credit_notes.standing().order_by("sequence"):
        if note.pre_payment_amount:
            yield Sum(f"Credit note {note.number}", money(-note.pre_payment_amount, currency))
    for payment in invoice.payments.standing().order_by("received_at", "pk"):
        yield Sum(f"Paid on {day(payment.received_at, None)}", money(-payment.amount, currency))


def _balance_words(invoice: Invoice, balance: int) -> str:
    if invoice.total < 0:
        return "Kept as your balance, for later invoices"
    return "Paid from your balance" if balance < 0 else "Owed from before"


def tax_sum(rate: TaxRate, taxable: int, amount: int, currency: str) -> Sum:
    within = ", included" if rate.inclusive else ""
    return Sum(f"{rate}{within}, on {money(taxable, currency)}", money(amount, currency), is_part=rate.inclusive)


def words_of_discount(discount: Discount) -> str:
    """A discount by its name and what it takes off."""
    coupon = discount.coupon
    if coupon.percent_off is not None:
        off = f"{coupon.percent_off.normalize():f} % off"
    else:
        off = f"{money(coupon.amount_off or 0, coupon.currency)} off"
    return f"{coupon.name} ({off})" if coupon.name else off
