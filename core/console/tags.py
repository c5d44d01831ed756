"""The cells as filters, for the pages that are templates: ``{% load cells %}``."""

from decimal import Decimal

from django import template

from core.console import cells

register = template.Library()

register.filter("amount", cells.amount)
register.filter("exact_amount", cells.exact_amount)
register.filter("quantity", cells.quantity)
register.filter("moment", cells.moment)
register.filter("period", cells.period)
register.filter("document", cells.document)


@register.filter
def plain(value: Decimal | None) -> str:
    """A quantity where no markup can be."""
    return cells.EMPTY if value is None else cells.plain(value)
