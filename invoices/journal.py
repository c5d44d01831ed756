"""Double entry: what each thing that happened to the books debits and credits. Pure: facts in, balanced entries out.

Amounts are whole minor units; a posting above zero is a debit, below zero a credit, and each entry adds up to nothing.
Documents that are undone are mirrored, never removed.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from core.periods import DAY, Period, ceil_day, floor_day


class Account(StrEnum):
    """The chart of accounts; docs/documents.md says what each holds."""

    RECEIVABLE = "receivable"
    CASH = "cash"
    OUT_OF_BAND = "out_of_band"
    CUSTOMER_BALANCE = "customer_balance"
    BALANCE_ADJUSTMENTS = "balance_adjustments"
    CREDIT_LIABILITY = "credit_liability"
    CREDIT_APPLIED = "credit_applied"
    CREDIT_SALES = "credit_sales"
    PROMOTIONS = "promotions"
    BREAKAGE = "breakage"
    REVENUE = "revenue"
    DEFERRED_REVENUE = "deferred_revenue"
    TAX_PAYABLE = "tax_payable"
    WRITE_OFF = "write_off"


@dataclass(frozen=True, slots=True)
class Entry:
    """
    :ivar document: what it follows from: an invoice's or credit note's number, or an id
    :ivar postings: by account; debits above zero, credits below, none of nothing
    """

    at: datetime
    what: str
    document: str
    currency: str
    postings: dict[Account, int]


@dataclass(frozen=True, slots=True)
class BilledLine:
    """
    :ivar net: what it brings after discounts and without taxes; what credit pays of it included
    """

    net: int
    period: Period


@dataclass(frozen=True, slots=True)
class Settlement:
    """What lowered what was to be paid: a payment, its reversal (below zero), or a credit note's part of that."""

    at: datetime
    document: str
    amount: int


@dataclass(frozen=True, slots=True)
class Credited:
    """A credit note.

    :ivar net: revenue that it takes back
    :ivar tax: taxes that it takes back
    :ivar credit: what the customer's credit had paid of it
    """

    at: datetime
    document: str
    net: int
    tax: int
    credit: int
    pre_payment: int
    refund: int
    balance: int
    out_of_band: int
    voided_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Billed:
    """A final invoice, with all that was settled of it.

    :ivar total: what the customer is charged, without what credit paid
    :ivar due: the total with the customer's balance
    """

    document: str
    currency: str
    at: datetime
    lines: Sequence[BilledLine]
    tax: int
    credit: int
    total: int
    due: int
    payments: Sequence[Settlement] = ()
    notes: Sequence[Credited] = ()
    voided_at: datetime | None = None
    uncollectible_at: datetime | None = None


@dataclass(slots=True)
class _Sheet:
    """An entry that is being written."""

    postings: dict[Account, int] = field(default_factory=dict)

    def post(self, account: Account, amount: int) -> None:
        self.postings[account] = self.postings.get(account, 0) + amount

    def entry(self, at: datetime, what: str, document: str, currency: str) -> Entry:
        told = {account: amount for account, amount in self.postings.items() if amount}
        if sum(told.values()):
            raise ValueError(f"the entry of {document} does not balance: {told}")
        return Entry(at, what, document, currency, told)


def entries_of_invoice(billed: Billed) -> Iterator[Entry]:
    """All that an invoice brings to the books, from its issue on.

    :raises ValueError: if its amounts do not add up
    """
    yield _issue(billed, billed.at, "invoice", 1)
    recognized = 0
    for at, amount in sorted(_recognition(billed)):
        if billed.voided_at is None or at < billed.voided_at:
            recognized += amount
            yield _moved(billed, at, "recognition", Account.DEFERRED_REVENUE, Account.REVENUE, amount)
    yield from _settlements(billed)
    if billed.voided_at is not None:
        mirrored = _issue(billed, billed.voided_at, "void", -1)
        sheet = _Sheet(dict(mirrored.postings))
        # What was recognized is taken out of revenue, the rest of what was deferred is never recognized.
        sheet.post(Account.DEFERRED_REVENUE, -recognized)
        sheet.post(Account.REVENUE, recognized)
        yield sheet.entry(billed.voided_at, "void", billed.document, billed.currency)


def entry_of_grant(*, at: datetime, kind: str, amount: int, is_paid: bool, document: str, currency: str) -> Entry:
    """What an entry of the credit ledger brings. What is applied to invoices meets them on an account between.

    :param amount: as the ledger has it: below zero where the grant lost it
    """
    against = {
        "applied": Account.CREDIT_APPLIED,
        "given_back": Account.CREDIT_APPLIED,
        # Paid for and never used: it is the company's.
        "expired": Account.BREAKAGE if is_paid else Account.PROMOTIONS,
    }.get(kind, Account.CREDIT_SALES if is_paid else Account.PROMOTIONS)
    sheet = _Sheet()
    sheet.post(Account.CREDIT_LIABILITY, -amount)
    sheet.post(against, amount)
    return sheet.entry(at, f"credit {kind}", document, currency)


def entry_of_adjustment(*, at: datetime, amount: int, document: str, currency: str) -> Entry:
    """A customer's balance changed by hand: below zero is to their credit, which the company owes."""
    sheet = _Sheet()
    sheet.post(Account.CUSTOMER_BALANCE, amount)
    sheet.post(Account.BALANCE_ADJUSTMENTS, -amount)
    return sheet.entry(at, "balance adjustment", document, currency)


def totals_of(entries: Iterable[Entry]) -> dict[tuple[str, Account], int]:
    """The balance of each account, by currency."""
    totals: dict[tuple[str, Account], int] = {}
    for entry in entries:
        for account, amount in entry.postings.items():
            key = entry.currency, account
            totals[key] = totals.get(key, 0) + amount
    return totals


def _issue(billed: Billed, at: datetime, what: str, sign: int) -> Entry:
    sheet = _Sheet()
    sheet.post(Account.RECEIVABLE, sign * billed.due)
    sheet.post(Account.CUSTOMER_BALANCE, sign * (billed.total - billed.due))
    sheet.post(Account.CREDIT_APPLIED, sign * billed.credit)
    sheet.post(Account.TAX_PAYABLE, -sign * billed.tax)
    for line in billed.lines:
        sheet.post(Account.DEFERRED_REVENUE if _is_prepaid(line, billed) else Account.REVENUE, -sign * line.net)
    return sheet.entry(at, what, billed.document, billed.currency)


def _is_prepaid(line: BilledLine, billed: Billed) -> bool:
    return line.net > 0 and line.period.end > billed.at and line.period.end > line.period.start


def _recognition(billed: Billed) -> Iterator[tuple[datetime, int]]:
    """Prepaid revenue by the day: each day of its period earns the same, and what a month earned is told at its end.

    Each sum is rounded from the beginning of the period on, so that all of them make up the line to the last cent.
    """
    for line in (one for one in billed.lines if _is_prepaid(one, billed)):
        first, after = floor_day(line.period.start), ceil_day(line.period.end)
        days, told, month = (after - first) // DAY, 0, first
        while month < after:
            month = min(_next_month(month), after)
            # To the nearest, halves up: none of these lines is below zero.
            earned = (2 * line.net * ((month - first) // DAY) + days) // (2 * days)
            # What lies before the invoice is earned when there is an invoice.
            yield max(month, billed.at), earned - told
            told = earned


def _next_month(day: datetime) -> datetime:
    return datetime(day.year + day.month // 12, day.month % 12 + 1, 1, tzinfo=UTC)


def _moved(billed: Billed, at: datetime, what: str, debit: Account, credit: Account, amount: int) -> Entry:
    sheet = _Sheet()
    sheet.post(debit, amount)
    sheet.post(credit, -amount)
    return sheet.entry(at, what, billed.document, billed.currency)


def _settlements(billed: Billed) -> Iterator[Entry]:
    """Payments, credit notes, and what was given up. What is settled after that lowers what was given up."""

    def owed_on(at: datetime) -> Account:
        is_given_up = billed.uncollectible_at is not None and at > billed.uncollectible_at
        return Account.WRITE_OFF if is_given_up else Account.RECEIVABLE

    remaining = billed.due
    for payment in billed.payments:
        remaining -= payment.amount if owed_on(payment.at) == Account.RECEIVABLE else 0
        sheet = _Sheet()
        sheet.post(Account.CASH, payment.amount)
        sheet.post(owed_on(payment.at), -payment.amount)
        yield sheet.entry(payment.at, "payment", payment.document, billed.currency)
    for note in billed.notes:
        for at, sign, what in _times(note):
            remaining -= sign * note.pre_payment if owed_on(at) == Account.RECEIVABLE else 0
            yield _noted(note, at, sign, what, owed_on(at), billed.currency)
    if billed.uncollectible_at is not None:
        at = billed.uncollectible_at
        yield _moved(billed, at, "write-off", Account.WRITE_OFF, Account.RECEIVABLE, remaining)
        if billed.voided_at is not None:
            yield _moved(billed, billed.voided_at, "write-off undone", Account.RECEIVABLE, Account.WRITE_OFF, remaining)


def _times(note: Credited) -> Iterator[tuple[datetime, int, str]]:
    yield note.at, 1, "credit note"
    if note.voided_at is not None:
        yield note.voided_at, -1, "credit note void"


def _noted(note: Credited, at: datetime, sign: int, what: str, owed: Account, currency: str) -> Entry:
    sheet = _Sheet()
    sheet.post(Account.REVENUE, sign * note.net)
    sheet.post(Account.TAX_PAYABLE, sign * note.tax)
    sheet.post(owed, -sign * note.pre_payment)
    sheet.post(Account.CREDIT_APPLIED, -sign * note.credit)
    sheet.post(Account.CUSTOMER_BALANCE, -sign * note.balance)
    sheet.post(Account.CASH, -sign * note.refund)
    sheet.post(Account.OUT_OF_BAND, -sign * note.out_of_band)
    return sheet.entry(at, what, note.document, currency)
