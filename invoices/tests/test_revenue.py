"""Revenue numbers: worked cases, and oracles that look at each day or each row by itself."""

from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import Customer
from accounts.tests.factories import NOW, CustomerFactory
from core.spreadsheets import Cell
from credits.tests.factories import grant_credit
from invoices import services
from invoices.exports import Selection, table_of
from invoices.models import Invoice
from invoices.revenue import Commitment, Movement, by_the_month, committed, movements
from invoices.services import GRACE
from invoices.tests.factories import FIRST_END, SECOND_END, open_invoice, subscribe, use, utc
from invoices.tests.test_documents import rich_invoice
from subscriptions.services import NewItem
from subscriptions.tests.factories import MeteredPriceFactory, PriceFactory
from usage.tests.factories import report

DAY = timedelta(days=1)
PEOPLE = [UUID(int=number) for number in range(3)]


def at(day: int) -> datetime:
    return NOW + day * DAY


commitments = st.lists(
    st.builds(
        lambda who, currency, monthly, start, length: Commitment(
            who, currency, Fraction(monthly), at(start), None if length is None else at(start + length)
        ),
        st.sampled_from(PEOPLE),
        st.sampled_from(["usd", "eur"]),
        st.integers(0, 3),
        st.integers(0, 20),
        st.none() | st.integers(1, 20),
    ),
    max_size=8,
)


@given(commitments, st.integers(0, 40), st.integers(0, 40))
def test_movements_lead_from_one_instant_s_revenue_to_another_s(found: list[Commitment], one: int, other: int) -> None:
    since, until = at(min(one, other)), at(max(one, other))
    moved = movements(found, since, until)
    before, after = committed(found, since), committed(found, until)

    for person in PEOPLE:
        for currency in ("usd", "eur"):
            mine = [row for row in found if (row.customer_id, row.currency) == (person, currency)]
            worth = [
                sum(row.monthly for row in mine if row.start <= at(day) and (row.end is None or at(day) < row.end))
                for day in range(41)
            ]
            first, last = worth[min(one, other)], worth[max(one, other)]
            assert (before.get((person, currency), 0), after.get((person, currency), 0)) == (first, last)
            kinds = [row.kind for row in moved if (row.customer_id, row.currency) == (person, currency)]
            earlier = any(worth[: min(one, other)])
            expected = {
                (False, False): None,
                (False, True): Movement.REACTIVATION if earlier else Movement.NEW,
                (True, False): Movement.CHURN,
                (True, True): Movement.EXPANSION if last > first else Movement.CONTRACTION,
            }[bool(first), bool(last)]
            assert kinds == ([] if first == last else [expected])


@pytest.mark.parametrize(
    ("interval", "count", "monthly"),
    [("month", 1, 1200), ("month", 3, 400), ("year", 1, 100), ("week", 1, 5200), ("day", 1, 36500)],
)
def test_every_interval_is_told_by_the_month(interval: str, count: int, monthly: int) -> None:
    assert by_the_month(Fraction(1200), interval, count) == monthly


def rows(name: str, customer: Customer, **span: datetime) -> list[dict[str, Cell]]:
    table = table_of(name, Selection(customer.environment, **span))  # type: ignore[arg-type]
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows]


@pytest.fixture
def customer(db: None) -> Customer:
    return CustomerFactory.create()


def test_a_subscription_counts_from_its_trial_s_end_until_it_ends(customer: Customer) -> None:
    environment = customer.environment
    yearly = PriceFactory.create(environment=environment, unit_amount=Decimal(12_000), interval="year")
    monthly = PriceFactory.create(environment=environment, unit_amount=Decimal(1_000))
    subscribe(customer, NewItem(yearly, 2))
    ended = subscribe(CustomerFactory.create(environment=environment), NewItem(monthly, 3))
    services.cancel_subscription(subscription=ended, now=at(5))

    worth = {day: sorted(row["monthly"] for row in rows("mrr", customer, until=at(day))) for day in (-1, 0, 4, 5)}  # type: ignore[type-var]
    assert worth == {-1: [], 0: [Decimal(20), Decimal(30)], 4: [Decimal(20), Decimal(30)], 5: [Decimal(20)]}
    kinds = [row["movement"] for row in rows("mrr_movements", customer, since=at(-1), until=at(4))]
    assert kinds == ["new", "new"]
    [churn] = rows("mrr_movements", customer, since=at(4), until=at(5))
    assert (churn["movement"], churn["change"]) == ("churn", Decimal(-30))


def test_usage_revenue_is_the_metered_lines_that_stand(customer: Customer) -> None:
    rich_invoice(customer)
    found = rows("usage_revenue", customer)

    assert {(row["month"], row["product"], row["amount"]) for row in found} == {
        ("2026-07", "API: calls", Decimal("14.51")),
        ("2026-07", "Mails", Decimal("15.00")),
    }


def test_what_is_owed_ages_as_of_any_instant(customer: Customer) -> None:
    price = PriceFactory.create(environment=customer.environment)
    sent = subscribe(customer, NewItem(price, 4), collection_method="send_invoice", days_until_due=10)
    invoice = Invoice.objects.get(subscription=sent)
    services.record_payment(invoice=invoice, amount=1500, now=at(20))
    services.issue_credit_note(invoice=Invoice.objects.get(pk=invoice.pk), total=500, now=at(30))
    services.void_invoice(invoice=open_invoice(customer), now=at(1))

    def aged(day: int) -> list[tuple[Cell, Cell]]:
        return [(row["bucket"], row["remaining"]) for row in rows("ageing", customer, until=at(day))]

    assert aged(0) == []
    assert aged(5) == [("not due", Decimal(40))]
    assert aged(15) == [("1-30 days", Decimal(40))]
    assert aged(25) == [("1-30 days", Decimal(25))]
    assert aged(45) == [("31-60 days", Decimal(20))]
    assert aged(200) == [("over 90 days", Decimal(20))]


def test_credit_liability_is_what_was_left_by_then(customer: Customer) -> None:
    grant_credit(customer, 1000)
    rich_invoice(customer)
    left = [
        sum(Decimal(str(row["left"])) for row in rows("credit_liability", customer, until=instant))
        for instant in (NOW, FIRST_END, utc("2027-01-01"))
    ]

    assert left == [
        0,
        Decimal(14),
        Decimal(14) - Decimal(Invoice.objects.get(credit_applied__gt=0).credit_applied) / 100,
    ]


def unbilled(customer: Customer, at: datetime) -> list[tuple[Cell, Cell, Cell]]:
    return [(row["state"], row["quantity"], row["amount"]) for row in rows("unbilled", customer, until=at)]


def test_usage_is_unbilled_from_its_event_until_its_invoice_is_final(customer: Customer) -> None:
    price = MeteredPriceFactory.create(environment=customer.environment, unit_amount=Decimal("2.5"))
    subscription = subscribe(customer, price)
    for day, value in ((0, 3), (10, 4), (29, 6)):
        use(price, customer, value, at(day))
    others = CustomerFactory.create()
    use(price_of_others := MeteredPriceFactory.create(environment=others.environment), others, 9, NOW)
    subscribe(others, price_of_others)
    final = FIRST_END + GRACE

    def throughout() -> dict[str, list[tuple[Cell, Cell, Cell]]]:
        instants = {"first": at(5), "middle": at(20), "end": FIRST_END, "final": final, "after": final + DAY}
        return {name: unbilled(customer, instant) for name, instant in instants.items()}

    running = throughout()
    services.close_due_periods(now=FIRST_END)
    drafted = throughout()
    invoice = services.finalize_invoice(invoice=Invoice.objects.get(subscription=subscription), now=final)
    billed = throughout()

    # 3 x 2.5 = 7.5, 7 x 2.5 = 17.5, 13 x 2.5 = 32.5 cents, each rounded once.
    quantities = {"first": (3, "0.08"), "middle": (7, "0.18"), "end": (13, "0.33"), "final": (13, "0.33")}

    def expected(state: str, *names: str) -> dict[str, list[tuple[Cell, Cell, Cell]]]:
        return {name: [(state, Decimal(quantities[name][0]), Decimal(quantities[name][1]))] for name in names}

    assert running == expected("period is running", *quantities) | {"after": running["final"]}
    assert drafted == expected("invoice is not final", *quantities) | {"after": drafted["final"]}
    # At the very instant that it became final it was not final before.
    assert billed == expected("invoice is not final", *quantities) | {"after": []}
    assert invoice.total == 33


def test_late_usage_is_unbilled_until_it_is_trued_up(customer: Customer) -> None:
    price = MeteredPriceFactory.create(environment=customer.environment, unit_amount=Decimal(100))
    subscription = subscribe(customer, price)
    use(price, customer, 3, at(1))
    services.close_due_periods(now=FIRST_END)
    first = services.finalize_invoice(invoice=Invoice.objects.get(subscription=subscription), now=FIRST_END + GRACE)
    assert price.meter is not None
    report(price.meter, customer, 2, timestamp=at(2), now=at(31))
    by_then = unbilled(customer, at(40))
    services.close_due_periods(now=SECOND_END)
    second = Invoice.objects.exclude(pk=first.pk).get(subscription=subscription)
    services.finalize_invoice(invoice=second, now=SECOND_END + GRACE)

    assert by_then == [("late usage", Decimal(2), Decimal(2))]
    assert unbilled(customer, at(40)) == by_then
    assert unbilled(customer, SECOND_END + GRACE + DAY) == []
    services.void_invoice(invoice=Invoice.objects.get(pk=second.pk), now=SECOND_END + GRACE + DAY)
    # What was trued up by an invoice that is void is to be trued up again.
    assert unbilled(customer, SECOND_END + GRACE + 2 * DAY) == by_then
