"""Whatever discounts and taxes items and invoices have of their own, what they say adds up."""

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.tests.factories import NOW, CustomerFactory
from invoices import services
from invoices.models import InvoiceLine, LineDiscount, LineTax
from invoices.tests.test_reducing import coupon, redeemed, tax
from invoices.totals import round_half_away

pytestmark = pytest.mark.django_db

_percents = st.decimals(min_value=1, max_value=100, places=2)
_discounts = st.lists(
    st.one_of(
        _percents.map(lambda one: {"percent_off": one}), st.integers(1, 3000).map(lambda one: {"amount_off": one})
    ),
    max_size=2,
)
_taxes = st.lists(st.tuples(st.decimals(min_value=0, max_value=40, places=1), st.booleans()), max_size=2)
_items = st.lists(st.tuples(st.integers(-500, 5000), _discounts, _taxes), min_size=1, max_size=4)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(items=_items, discounts=_discounts, taxes=_taxes)
def test_sums_hold(items: list[Any], discounts: list[Any], taxes: list[Any]) -> None:
    customer = CustomerFactory.create()

    def off(given: list[dict[str, Any]]) -> Any:
        return redeemed(
            *(coupon(customer, **({"currency": "usd"} if "amount_off" in one else {}), **one) for one in given)
        )

    def asked(given: list[tuple[Decimal, bool]]) -> Any:
        return [tax(customer, str(percentage), inclusive=inclusive) for percentage, inclusive in given]

    for amount, own_discounts, own_taxes in items:
        services.create_invoice_item(
            environment=customer.environment,
            customer=customer,
            currency="usd",
            now=NOW,
            amount=amount,
            discounts=off(own_discounts),
            tax_rates=asked(own_taxes),
        )
    invoice = services.create_invoice(
        environment=customer.environment,
        customer=customer,
        currency="usd",
        now=NOW,
        takes_waiting_items=True,
        discounts=off(discounts),
        tax_rates=asked(taxes),
    )

    lines = list(InvoiceLine.objects.filter(invoice=invoice).order_by("position"))
    after_items: list[int] = []
    left: list[int] = []
    added = within = 0
    for line, (amount, own_discounts, own_taxes) in zip(lines, items, strict=True):
        rows = LineDiscount.objects.filter(line=line).select_related("discount__coupon")
        own = {row.discount.coupon.pk: row.amount for row in rows if row.discount.bound_to == "invoice_item"}
        whole = sum(row.amount for row in rows if row.discount.bound_to == "invoice")
        # Item by item, one after the other, by a calculator.
        rest = amount
        for one in own_discounts if amount >= 0 else ():
            if "percent_off" in one:
                rest -= round_half_away(Fraction(rest) * Fraction(one["percent_off"]) / 100)
            else:
                rest -= min(one["amount_off"], rest)
        assert amount - sum(own.values()) == rest
        after_items.append(rest)
        left.append(rest - whole)
        asked_here = own_taxes or taxes
        inclusive = sum((Fraction(percentage) for percentage, is_within in asked_here if is_within), Fraction(0))
        held = [
            round_half_away(left[-1] * Fraction(percentage) / (100 + inclusive))
            for percentage, is_within in asked_here
            if is_within
        ]
        on_top = [
            round_half_away((left[-1] - sum(held)) * Fraction(percentage) / 100)
            for percentage, is_within in asked_here
            if not is_within
        ]
        assert sorted(LineTax.objects.filter(line=line).values_list("amount", flat=True)) == sorted(held + on_top)
        added, within = added + sum(on_top), within + sum(held)
    # The invoice's own, of what all lines together have left that they may take something off.
    there = sum(one for one in after_items if one > 0)
    for one in discounts:
        if "percent_off" in one:
            there -= round_half_away(Fraction(there) * Fraction(one["percent_off"]) / 100)
        else:
            there -= min(one["amount_off"], there)
    assert sum(one for one in left if one > 0) == there
    assert invoice.subtotal == sum(after_items)
    assert (invoice.inclusive_tax, invoice.exclusive_tax) == (within, added)
    assert invoice.total == sum(left) + added
    final = services.finalize_invoice(invoice=invoice, now=NOW)
    assert services.verify_invoice(invoice=final, now=NOW).is_equal
