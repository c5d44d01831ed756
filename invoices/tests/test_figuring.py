"""Revenue numbers for a page: a small book's are computed at once, a large one's beforehand, and both are the same."""

from datetime import datetime, timedelta

import pytest

from accounts.models import Customer
from accounts.tests.factories import NOW, CustomerFactory
from core.periods import DAY, floor_day
from invoices import services
from invoices.exports import TABLES, Selection, Total, add_up
from invoices.models import RevenueFigure
from invoices.services import figuring
from invoices.tests.factories import FIRST_END, open_invoice, subscribe, use
from subscriptions.models import Price
from subscriptions.tests.factories import MeteredPriceFactory, PriceFactory

pytestmark = pytest.mark.django_db

NUMBERS = [name for name, kind in TABLES.items() if kind.sums is not None]
LATER = figuring.FRESH + timedelta(seconds=1)


@pytest.fixture
def customer() -> Customer:
    """One with something in most numbers."""
    made = CustomerFactory.create()
    metered = MeteredPriceFactory.create(environment=made.environment)
    subscribe(made, metered, PriceFactory.create(environment=made.environment))
    use(metered, made, 400, NOW)
    open_invoice(made)
    return made


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figuring, "LARGE_SUBSCRIPTIONS", 0)


def span(customer: Customer) -> Selection:
    return Selection(customer.environment, NOW - timedelta(days=365), FIRST_END, now=FIRST_END)


def asked(customer: Customer, now: datetime) -> dict[str, services.Figure]:
    return services.revenue_figures(span(customer), NUMBERS, now=now)


def test_a_small_book_is_added_up_at_once(customer: Customer) -> None:
    found = asked(customer, NOW)

    assert {name: figure.sums for name, figure in found.items()} == {
        name: add_up(name, span(customer)) for name in NUMBERS
    }
    assert not any(figure.is_awaited or figure.computed_at for figure in found.values())
    assert not RevenueFigure.objects.exists()


@pytest.mark.usefixtures("large")
def test_a_large_one_is_awaited_and_comes_to_the_same(customer: Customer) -> None:
    first = asked(customer, NOW)
    assert all(figure.is_awaited and figure.sums is None for figure in first.values())
    # Whoever waits looks again.
    asked(customer, NOW + timedelta(seconds=4))

    assert services.compute_revenue_figures(now=NOW + timedelta(seconds=5)) == len(NUMBERS)
    assert services.compute_revenue_figures(now=NOW + timedelta(seconds=6)) == 0

    found = asked(customer, NOW + timedelta(seconds=8))
    assert {name: figure.sums for name, figure in found.items()} == {
        name: add_up(name, span(customer)) for name in NUMBERS
    }
    assert {(figure.computed_at, figure.is_awaited) for figure in found.values()} == {
        (NOW + timedelta(seconds=5), False)
    }


@pytest.mark.usefixtures("large")
def test_what_is_old_is_shown_until_there_is_newer(customer: Customer) -> None:
    asked(customer, NOW)
    services.compute_revenue_figures(now=NOW)
    open_invoice(customer, quantity=5)

    old = asked(customer, NOW + LATER)["ageing"]
    assert (old.computed_at, old.is_awaited) == (NOW, True)
    services.compute_revenue_figures(now=NOW + LATER)
    new = asked(customer, NOW + LATER)["ageing"]
    assert new.sums != old.sums
    assert not new.is_awaited

    # Nobody asks any more.
    services.compute_revenue_figures(now=NOW + LATER + timedelta(days=1, seconds=1))
    assert not RevenueFigure.objects.exists()


@pytest.mark.usefixtures("large")
def test_what_one_process_computes_another_leaves_alone(customer: Customer) -> None:
    services.revenue_figures(span(customer), ["mrr"], now=NOW)
    RevenueFigure.objects.update(claimed_until=NOW + timedelta(minutes=1))

    assert services.compute_revenue_figures(now=NOW) == 0
    # It was killed.
    assert services.compute_revenue_figures(now=NOW + timedelta(minutes=2)) == 1


def test_unbilled_usage_is_kept_once_for_those_who_look_at_it_and_those_who_look_at_all(
    customer: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = CustomerFactory.create().environment
    use(Price.objects.get(meter__isnull=False), customer, 400, NOW + timedelta(hours=1))
    now = NOW + timedelta(hours=2)
    services.ask_for_unbilled_usage(now=now)
    assert services.unbilled_usage([customer.environment_id], now=now) == {}
    assert services.compute_revenue_figures(now=now) == 1

    kept = services.unbilled_usage([customer.environment_id, nobody.pk], now=now)

    today = Selection(customer.environment, NOW - timedelta(days=365), floor_day(now) + DAY, now=now)
    assert {environment: figure.sums for environment, figure in kept.items()} == {
        customer.environment: add_up("unbilled", today)
    }
    # Whatever the first day is, this is the same number.
    monkeypatch.setattr(figuring, "LARGE_SUBSCRIPTIONS", 0)
    shown = services.revenue_figures(today, ["unbilled", "usage_revenue"], now=now)
    assert shown["unbilled"] == kept[customer.environment]
    assert shown["usage_revenue"].sums is None


@pytest.mark.usefixtures("large")
def test_whoever_waits_comes_before_what_a_job_asked_for(customer: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    services.ask_for_unbilled_usage(now=NOW)
    services.revenue_figures(span(customer), ["mrr"], now=NOW + timedelta(seconds=1))
    order: list[str] = []

    def added_up(name: str, _selection: Selection) -> dict[tuple[str, ...], Total]:
        order.append(name)
        return {}

    monkeypatch.setattr(figuring, "add_up", added_up)

    services.compute_revenue_figures(now=NOW + timedelta(seconds=2))

    assert order == ["mrr", "unbilled"]


@pytest.mark.usefixtures("large")
def test_another_environment_has_its_own(customer: Customer) -> None:
    asked(customer, NOW)
    services.compute_revenue_figures(now=NOW)

    theirs = CustomerFactory.create()
    open_invoice(theirs)
    assert all(figure.sums is None for figure in asked(theirs, NOW).values())
