"""How the console speaks of several invoices and their money."""

from collections import defaultdict
from collections.abc import Sequence

from core.money import format_amount
from invoices.models import Invoice


def money(invoices: Sequence[Invoice], field: str) -> str:
    """The totals per currency, test and live apart: "47.61 USD and 3.00 EUR, and 1.00 USD of test money"."""
    totals: dict[tuple[bool, str], int] = defaultdict(int)
    for invoice in invoices:
        totals[not invoice.environment.is_live, invoice.currency] += getattr(invoice, field)
    return " and ".join(
        format_amount(total, currency) + (" in test mode" if is_test else "")
        for (is_test, currency), total in sorted(totals.items())
    )


def these(invoices: Sequence[Invoice]) -> str:
    return "this invoice" if len(invoices) == 1 else f"these {len(invoices)} invoices"
