"""Late usage in general: of any formula, for any number of subscriptions, whenever it arrives."""

from collections import defaultdict
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts.tests.factories import NOW, CustomerFactory
from core.money import to_minor_units
from core.tests.examples import costly
from invoices import services
from invoices.models import Invoice, InvoiceLine
from invoices.tests.factories import FIRST_END, SECOND_END, subscribe, use
from invoices.tests.late import DAY, ENDS, LATE, bill, lines_of, use_late
from meters.models import EventTimeWindow, Formula
from subscriptions.tests.factories import MeteredPriceFactory, PriceFactory

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("formula", "window", "billed", "late", "difference"),
    [
        (Formula.COUNT, "", [1, 1], [1], 1),
        (Formula.LAST, "", [7, 9], [5], -4),
        (Formula.MAX, "", [7, 9], [12], 3),
        (Formula.MIN, "", [7, 9], [3], -4),
        (Formula.UNIQUE_COUNT, "", ["a", "b"], ["b", "c"], 1),
        (Formula.SUM, EventTimeWindow.DAY, [7, 9], [4], -5),
    ],
)
def test_whatever_the_formula_the_difference_is_of_the_whole_period(
    formula: str, window: str, billed: list[Any], late: list[Any], difference: int
) -> None:
    customer = CustomerFactory.create()
    price = MeteredPriceFactory.create(
        environment=customer.environment,
        unit_amount=Decimal(100),
        meter__formula=formula,
        meter__event_time_window=window,
    )
    subscribe(customer, price)
    for minutes, value in enumerate(billed):
        use(price, customer, value, NOW + timedelta(minutes=minutes))
    bill(FIRST_END)
    for minutes, value in enumerate(late, start=30):
        use_late(price, customer, value, of=NOW + timedelta(minutes=minutes), at=LATE)
    # Room for what is given back.
    for _ in range(10):
        use(price, customer, 20, LATE)

    bill(SECOND_END)

    assert lines_of(SECOND_END)[1:] == [(FIRST_END, difference, 100 * difference, 100 * difference)]


def test_a_run_asks_as_many_questions_with_late_usage_however_many_subscriptions_there_are() -> None:
    def asked(count: int) -> int:
        customer = CustomerFactory.create()
        price = MeteredPriceFactory.create(environment=customer.environment)
        for _ in range(count):
            subscribe(customer, price)
        use(price, customer, 100, NOW)
        bill(FIRST_END)
        use_late(price, customer, 20, of=NOW, at=LATE)
        with CaptureQueriesContext(connection) as queries:
            bill(SECOND_END)
        assert InvoiceLine.objects.filter(environment=customer.environment, trues_up__isnull=False).count() == count
        reads = [query for query in queries if "WITH asked" in query["sql"]]
        assert len(reads) == 2
        return len(queries)

    asked(1)
    assert asked(2) == asked(7)


VALUES = st.decimals(min_value=-40, max_value=60, places=2)
# (the period that it belongs to, the one at whose end it arrives, how much): nothing arrives before its time, nor later
# than what is looked back at.
ARRIVALS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 1), VALUES).map(
        lambda drawn: (drawn[0], drawn[0] + drawn[1], drawn[2])
    ),
    max_size=10,
)


@settings(max_examples=costly(40), deadline=None)
@given(
    arrivals=ARRIVALS,
    unit_amount=st.sampled_from([Decimal("0.3"), Decimal("0.5"), Decimal(1), Decimal("33.333333333333")]),
    in_grace=st.sets(st.integers(0, len(ENDS) - 1)),
)
def test_whenever_usage_arrives_all_that_is_billed_for_a_period_is_its_cost_rounded_once(
    arrivals: list[tuple[int, int, Decimal]], unit_amount: Decimal, in_grace: set[int]
) -> None:
    customer = CustomerFactory.create()
    price = MeteredPriceFactory.create(environment=customer.environment, unit_amount=unit_amount)
    # So much is licensed beside it that everything can be given back.
    licensed = PriceFactory.create(environment=customer.environment, unit_amount=Decimal(10**6))
    subscription = subscribe(customer, price, licensed)
    starts = [NOW, *ENDS]
    came: dict[int, Decimal] = defaultdict(Decimal)

    for number, end in enumerate(ENDS):
        if number in in_grace:
            services.close_due_periods(now=end)
        for period, arrives, value in arrivals:
            if arrives == number:
                use_late(price, customer, str(value), of=starts[period] + DAY, at=end)
                came[period] += value
        bill(end)

        invoice = Invoice.objects.get(subscription=subscription, period_end=end)
        assert invoice.total == sum(invoice.lines.values_list("amount", flat=True))
        # What arrives for an old period within the grace, and for which the draft has no line, waits for the next one.
        if number in in_grace:
            continue
        for period, used in came.items():
            lines = InvoiceLine.objects.filter(price=price, period_end=ENDS[period])
            assert sum(lines.values_list("amount", flat=True)) == to_minor_units(max(used, Decimal(0)) * unit_amount)
            assert sum(lines.values_list("quantity", flat=True)) == max(used, Decimal(0))
