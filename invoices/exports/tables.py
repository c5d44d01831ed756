"""The tables that are exported, each from one environment and a span of time. Drafts are in none: they change yet."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any
from uuid import UUID

from django.db.models import Count, OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce

from accounts.models import Environment
from core.ids import spell
from core.spreadsheets import Cell, Table, main_units
from credits.models import LedgerEntry
from invoices.exports.bookings import journal_rows
from invoices.exports.catalog import customer_rows, price_rows, product_rows
from invoices.exports.figures import ageing_rows, liability_rows, movement_rows, mrr_rows, usage_rows
from invoices.exports.unbilled import unbilled_rows
from invoices.models import CreditNote, CreditNoteLineTax, Invoice, InvoiceLine, LineDiscount, LineTax

_CHUNK = 2_000
_BEGINNING = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Selection:
    """
    :ivar since: inclusive; None from the beginning
    :ivar until: exclusive; None to the end
    :ivar status: of invoices; empty: all that are final
    :ivar now: for tables as of an instant, where no ``until`` says which
    """

    environment: Environment
    since: datetime | None = None
    until: datetime | None = None
    status: str = ""
    customer_id: UUID | None = None
    now: datetime | None = None

    @property
    def at(self) -> datetime:
        """The instant of tables as of one."""
        at = self.until or self.now
        if at is None:
            raise ValueError("a table as of an instant needs one")
        return at

    def within(self, at: str, customer: str = "customer") -> Q:
        """The rows that are meant, by the name of their instant and the way to their customer."""
        found = Q(environment=self.environment)
        if self.since is not None:
            found &= Q(**{f"{at}__gte": self.since})
        if self.until is not None:
            found &= Q(**{f"{at}__lt": self.until})
        if self.customer_id is not None:
            found &= Q(**{customer: self.customer_id})
        return found

    def invoices(self) -> QuerySet[Invoice]:
        found = Invoice.objects.filter(self.within("finalized_at")).exclude(status=Invoice.Status.DRAFT)
        return found.filter(status=self.status) if self.status else found


@dataclass(frozen=True, slots=True)
class Kind:
    """
    :ivar says: which rows, by which instant
    :ivar sums: of a revenue number: the column that it adds up, and the columns that it is told by beside the currency
    """

    title: str
    says: str
    columns: Sequence[str]
    rows: Callable[[Selection], Iterator[Sequence[Cell]]]
    sums: "Sums | None" = None


@dataclass(frozen=True, slots=True)
class Sums:
    """
    :ivar means: what the number is, in a sentence or two
    :ivar is_of_days: whether it is of the days of a span, not as of the instant at its end
    """

    of: str
    by: Sequence[str]
    means: str
    is_of_days: bool = False


@dataclass(slots=True)
class Total:
    """Of some rows in one currency, in its main unit."""

    rows: int = 0
    amount: Decimal = Decimal(0)


def add_up(name: str, selection: Selection) -> dict[tuple[str, ...], Total]:
    """A revenue number: what its table adds up to, by currency and then by what it is told by.

    :raises KeyError: if there is no such table
    :raises ValueError: if it is no number
    """
    kind = TABLES[name]
    if kind.sums is None:
        raise ValueError(f"the table {name} is no number")
    keys = [kind.columns.index(column) for column in ("currency", *kind.sums.by)]
    amount = kind.columns.index(kind.sums.of)
    found: dict[tuple[str, ...], Total] = {}
    for row in kind.rows(selection):
        one = found.setdefault(tuple(str(row[key]) for key in keys), Total())
        one.rows += 1
        one.amount += Decimal(str(row[amount]))
    return dict(sorted(found.items()))


def table_of(name: str, selection: Selection) -> Table:
    """:raises KeyError: if there is no such table"""
    kind = TABLES[name]
    return Table(name, kind.columns, kind.rows(selection))


def _invoices(selection: Selection) -> Iterator[Sequence[Cell]]:
    # fmt: off
    money = (
        "subtotal", "credit_applied", "inclusive_tax", "exclusive_tax", "total", "amount_due", "amount_paid",
        "pre_payment_credited", "post_payment_credited",
    )
    times = ("finalized_at", "due_at", "paid_at", "voided_at", "uncollectible_at", "period_start", "period_end")
    # fmt: on
    rows = selection.invoices().order_by("finalized_at", "pk")
    for row in _read(rows, "pk", "number", "status", "billing_reason", "customer_id", "customer__name", "customer__email", "subscription_id", "currency", *money, *times):  # fmt: skip
        currency = row["currency"]
        remaining = row["amount_due"] - row["amount_paid"] - row["pre_payment_credited"]
        yield (
            row["number"],
            spell("in", row["pk"]),
            row["status"],
            row["billing_reason"],
            spell("cus", row["customer_id"]),
            row["customer__name"],
            row["customer__email"],
            spell("sub", row["subscription_id"]) if row["subscription_id"] else None,
            currency.upper(),
            *(main_units(row[name], currency) for name in money),
            main_units(0 if row["status"] == Invoice.Status.VOID else remaining, currency),
            *(row[name] for name in times),
        )


def _lines(selection: Selection) -> Iterator[Sequence[Cell]]:
    discounts = LineDiscount.objects.filter(line=OuterRef("pk")).values("line").annotate(all=Sum("amount"))
    taxes = LineTax.objects.filter(line=OuterRef("pk")).values("line").annotate(all=Sum("amount"))
    rows = (
        InvoiceLine.objects.filter(environment=selection.environment, invoice__in=selection.invoices())
        .annotate(
            discount=Coalesce(Subquery(discounts.values("all")), 0), tax=Coalesce(Subquery(taxes.values("all")), 0)
        )
        .order_by("invoice__finalized_at", "invoice_id", "position")
    )
    for row in _read(rows, "pk", "invoice__number", "invoice__status", "invoice__currency", "invoice__customer_id", "position", "description", "price_id", "price__product__name", "quantity", "unit_amount", "exact_amount", "amount", "discount", "tax", "period_start", "period_end"):  # fmt: skip
        currency = row["invoice__currency"]
        unit = row["unit_amount"]
        yield (
            row["invoice__number"],
            row["invoice__status"],
            spell("cus", row["invoice__customer_id"]),
            row["position"] + 1,
            spell("il", row["pk"]),
            row["description"],
            row["price__product__name"],
            spell("price", row["price_id"]) if row["price_id"] else None,
            row["quantity"],
            currency.upper(),
            None if unit is None else main_units(unit, currency),
            main_units(row["exact_amount"], currency),
            *(main_units(row[name], currency) for name in ("amount", "discount", "tax")),
            row["period_start"],
            row["period_end"],
        )


def _ledger(selection: Selection) -> Iterator[Sequence[Cell]]:
    numbers = Invoice.objects.filter(pk=OuterRef("invoice_id")).values("number")
    rows = (
        LedgerEntry.objects.filter(selection.within("created_at"), grant__own_currency=None)
        .annotate(number_of_invoice=Subquery(numbers[:1]))
        .order_by("created_at", "pk")
    )
    for row in _read(rows, "pk", "customer_id", "customer__name", "grant_id", "grant__name", "grant__category", "grant__currency", "number", "kind", "amount", "balance", "effective_at", "created_at", "number_of_invoice"):  # fmt: skip
        currency = row["grant__currency"]
        yield (
            spell("cbtxn", row["pk"]),
            spell("cus", row["customer_id"]),
            row["customer__name"],
            spell("credgr", row["grant_id"]),
            row["grant__name"],
            row["grant__category"],
            row["number"],
            row["kind"],
            currency.upper(),
            main_units(row["amount"], currency),
            main_units(row["balance"], currency),
            row["effective_at"],
            row["created_at"],
            row["number_of_invoice"],
        )


def _taxes(selection: Selection) -> Iterator[Sequence[Cell]]:
    """Void invoices ask for no tax; credit notes give theirs back, by their own date."""
    asked = LineTax.objects.filter(line__invoice__in=selection.invoices().exclude(status=Invoice.Status.VOID))
    given = CreditNoteLineTax.objects.filter(
        line__credit_note__in=CreditNote.objects.standing().filter(selection.within("effective_at"))
    )
    for sign, document, rows in ((1, "line__invoice", asked), (-1, "line__credit_note", given)):
        keys = ("tax_rate__display_name", "tax_rate__percentage", "tax_rate__inclusive", "tax_rate__country", f"{document}__currency")  # fmt: skip
        summed = (
            rows.order_by(*keys)
            .values(*keys)
            .annotate(documents=Count(document, distinct=True), taxable=Sum("taxable_amount"), tax=Sum("amount"))
        )
        for row in summed:
            currency = row[f"{document}__currency"]
            yield (
                "invoices" if sign > 0 else "credit notes",
                row["tax_rate__display_name"],
                row["tax_rate__country"],
                row["tax_rate__percentage"],
                row["tax_rate__inclusive"],
                currency.upper(),
                row["documents"],
                main_units(sign * int(row["taxable"]), currency),
                main_units(sign * int(row["tax"]), currency),
            )


def _journal(selection: Selection) -> Iterator[Sequence[Cell]]:
    return journal_rows(selection.environment, selection.since, selection.until)


def _read(rows: QuerySet[Any], *names: str) -> Iterator[Mapping[str, Any]]:
    """Row by row, by a cursor on the server: memory does not know how many there are."""
    yield from rows.values(*names).iterator(chunk_size=_CHUNK)


# fmt: off
TABLES: Mapping[str, Kind] = MappingProxyType({
    "invoices": Kind(
        "Invoices", "final invoices, by the instant that they became final",
        ("number", "id", "status", "billing_reason", "customer", "customer_name", "customer_email", "subscription",
         "currency", "subtotal", "credit_applied", "inclusive_tax", "exclusive_tax", "total", "amount_due", "amount_paid",
         "credited_before_payment", "credited_after_payment", "amount_remaining", "finalized_at", "due_at", "paid_at",
         "voided_at", "uncollectible_at", "period_start", "period_end"),
        _invoices,
    ),
    "lines": Kind(
        "Invoice lines", "lines of final invoices, by the instant that those became final",
        ("invoice", "status", "customer", "line", "id", "description", "product", "price", "quantity", "currency",
         "unit_amount", "exact_amount", "amount", "discount", "tax", "period_start", "period_end"),
        _lines,
    ),
    "credit_ledger": Kind(
        "Credit ledger", "entries of credit grants in money, by the instant that they were written",
        ("id", "customer", "customer_name", "grant", "grant_name", "category", "number", "kind", "currency", "amount",
         "balance", "effective_at", "created_at", "invoice"),
        _ledger,
    ),
    "taxes": Kind(
        "Tax summary", "taxes of final invoices that are not void, and of credit notes, each by its own date",
        ("document", "tax", "country", "percentage", "inclusive", "currency", "documents", "taxable_amount", "tax_amount"),
        _taxes,
    ),
    "journal": Kind(
        "Journal", "double entry of invoices, payments, credit notes, credit and balances, by each entry's own date",
        ("at", "document", "what", "account", "currency", "debit", "credit"),
        _journal,
    ),
    "mrr": Kind(
        "Committed MRR", "subscription items that are worth something by the month, as of the end of the span",
        ("customer", "customer_name", "subscription", "product", "quantity", "currency", "monthly", "since"),
        lambda selection: mrr_rows(selection.environment, selection.at),
        Sums("monthly", (), "What licensed subscription items in force are worth in an average month, before discounts and taxes."),
    ),
    "mrr_movements": Kind(
        "MRR movements", "customers whose monthly revenue differs between the start of the span and its end",
        ("customer", "customer_name", "movement", "currency", "before", "after", "change"),
        lambda selection: movement_rows(selection.environment, selection.since or _BEGINNING, selection.at),
        Sums("change", ("movement",), "What committed MRR became between the first day and the last, customer by customer.", is_of_days=True),
    ),
    "usage_revenue": Kind(
        "Usage revenue", "metered lines by month, meter, product and customer; of invoices that became final in the span",
        ("month", "meter", "product", "customer", "customer_name", "lines", "quantity", "currency", "amount"),
        lambda selection: usage_rows(Q(environment=selection.environment, invoice__in=selection.invoices())),
        Sums("amount", ("month",), "Metered lines, true-ups included, of invoices that became final in these days and are not void, before discounts, credit and taxes; by the month in which their period ended.", is_of_days=True),
    ),
    "ageing": Kind(
        "Ageing", "invoices of which something was still to be paid, as of the end of the span",
        ("invoice", "customer", "customer_name", "finalized_at", "due_at", "days_late", "bucket", "currency", "remaining"),
        lambda selection: ageing_rows(selection.environment, selection.at),
        Sums("remaining", ("bucket",), "What of final invoices was still to be paid, by days past the due date."),
    ),
    "credit_liability": Kind(
        "Credit liability", "grants of money that something was left of, as of the end of the span",
        ("grant", "customer", "customer_name", "name", "category", "expires_at", "currency", "left"),
        lambda selection: liability_rows(selection.environment, selection.at),
        Sums("left", ("category",), "What was left of credit grants that are money."),
    ),
    "unbilled": Kind(
        "Unbilled usage", "metered prices and periods of which something was not billed yet, as of the end of the span",
        ("customer", "customer_name", "subscription", "product", "meter", "state", "period_start", "period_end",
         "quantity", "currency", "amount"),
        lambda selection: unbilled_rows(selection.environment, selection.at),
        Sums("amount", ("state",), "What usage that took place comes to under its prices, and was on no final invoice, before discounts, credit and taxes."),
    ),
    "customers": Kind(
        "Customers", "those that are not deleted, with the columns that can be imported, whatever the days",
        ("id", "email", "name", "phone", "description"),
        lambda selection: customer_rows(selection.environment),
    ),
    "products": Kind(
        "Products", "all, with the columns that can be imported, whatever the days",
        ("id", "name", "description", "unit_label", "active"),
        lambda selection: product_rows(selection.environment),
    ),
    "prices": Kind(
        "Prices", "those of one amount and with a lookup key, with the columns that can be imported, whatever the days",
        ("lookup_key", "product", "currency", "unit_price", "interval", "interval_count", "meter", "nickname", "active"),
        lambda selection: price_rows(selection.environment),
    ),
})
# fmt: on
