"""How the console speaks of several invoices and their money."""

from collections import defaultdict
from collections.abc import Sequence

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from core.money import format_amount
from invoices.models import Invoice


def money(invoices: Sequence[Invoice], field: str) -> str:
    """The totals per currency, test and live apart: "47.61 USD and 3.00 EUR and 1.00 USD in test mode"."""
    totals: dict[tuple[bool, str], int] = defaultdict(int)
    for invoice in invoices:
        totals[not invoice.environment.is_live, invoice.currency] += getattr(invoice, field)
    return _(" and ").join(
        (_("{amount} in test mode") if is_test else "{amount}").format(amount=format_amount(total, currency))
        for (is_test, currency), total in sorted(totals.items())
    )


def these(invoices: Sequence[Invoice]) -> str:
    count = len(invoices)
    return ngettext("this invoice", "these {count} invoices", count).format(count=count)
