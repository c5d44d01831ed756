"""A customer on one page: the right figures, of the person's companies and roles, with few questions asked."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import Customer, Membership
from accounts.tests.factories import NOW, CustomerFactory, TestClockFactory
from billing_project.console.tests.visits import member, signed_in
from core.periods import Period
from core.tests.walls import bend
from credits.tests.factories import grant_credit
from invoices import services
from invoices.models import Invoice
from invoices.services import GRACE, adjust_balance
from invoices.tests.factories import FIRST_END, SECOND_END, subscribe, use
from subscriptions.models import Price, Subscription
from subscriptions.services import NewItem
from subscriptions.tests.factories import MeteredPriceFactory, PriceFactory
from usage.models import MeterEvent
from usage.services import cancel_event

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
MOST_QUERIES = 75


@pytest.fixture
def customer() -> Customer:
    return CustomerFactory.create(name="Riverbank")


@pytest.fixture
def price(customer: Customer) -> Price:
    return MeteredPriceFactory.create(environment=customer.environment, unit_amount=Decimal(2))


@pytest.fixture
def subscription(customer: Customer, price: Price) -> Subscription:
    return subscribe(customer, price, NewItem(PriceFactory.create(environment=customer.environment), 3))


@pytest.fixture
def client(customer: Customer) -> Client:
    return signed_in(member(customer.environment.company, role=Membership.Role.FINANCE_MANAGER))


def address(customer: Customer) -> str:
    return reverse("admin:accounts_customer_overview", args=[customer.pk])


def live_at(customer: Customer, at: Any) -> None:
    """Let the customer's time be an instant."""
    bend(customer, test_clock=TestClockFactory.create(environment=customer.environment, frozen_at=at))


def bill(end: Any) -> None:
    services.close_due_periods(now=end)
    services.finalize_due_drafts(now=end + GRACE)


@pytest.fixture
def billed(customer: Customer, price: Price, subscription: Subscription) -> None:
    """Two periods that are over, with more usage in the second, and three days of the third."""
    grant_credit(customer, 5_000, name="Welcome")
    use(price, customer, 100, NOW + DAY)
    bill(FIRST_END)
    use(price, customer, 250, FIRST_END + DAY)
    use(price, customer, 50, FIRST_END + 20 * DAY)
    bill(SECOND_END)
    for day in range(3):
        use(price, customer, 40, SECOND_END + day * DAY)
    last = MeterEvent.objects.latest("timestamp")
    cancel_event(environment=customer.environment, identifier=last.identifier, now=SECOND_END + 2 * DAY, reason="twice")
    adjust_balance(customer=customer, amount=-700, currency="eur", now=SECOND_END)
    live_at(customer, SECOND_END + 3 * DAY)


@pytest.mark.usefixtures("billed")
def test_what_they_owe_have_use_and_will_be_asked_for(customer: Customer, client: Client) -> None:
    answer = client.get(address(customer))
    page = answer.context["page"]

    first, second, third = [line.invoice for line in reversed(page.invoices)]
    # Seats in advance, and usage of 100 and then 300 units at two cents, which credit has paid.
    assert [one.total for one in (first, second, third)] == [3000, 3000, 3000]
    assert [line.difference for line in page.invoices] == [0, 0, None]
    assert page.owed == [("usd", sum(one.amount_remaining for one in Invoice.objects.all()))]
    assert page.balances == [("eur", -700)]
    assert page.credit == ["42.00 USD"]
    assert page.revenue == [("usd", 3000)]
    [upcoming] = page.upcoming
    assert page.next_invoice == upcoming
    assert sorted(line.amount for line in upcoming.preview.lines) == [160, 3000]
    assert upcoming.preview.invoice.total == 3000
    [usage] = page.usage
    assert (usage.used, usage.used_before, usage.whole_before) == (80, 250, 300)
    assert usage.period.start == SECOND_END
    assert usage.before == Period(FIRST_END, SECOND_END)
    assert [day.pair.value for day in usage.days][:4] == [40, 40, 0, None]
    assert [day.pair.before for day in usage.days if day.pair.before] == [250, 50]
    listed = client.get(usage.days[0].link)
    assert listed.status_code == 200
    told = [(moment.kind, moment.text) for moment in page.moments]
    for expected in (
        ("customer", "Made"),
        ("subscription", "Began"),
        ("invoice", f"{third.number} became final: 30.00 USD"),
        ("credit", "Granted: 50.00 USD, Welcome"),
        ("credit", "Applied to an invoice: -6.00 USD, Welcome"),
        ("balance", "Adjustment: -7.00 EUR, balance after it -7.00 EUR"),
    ):
        assert expected in told
    assert any(text.startswith("Event canceled: ") for _, text in told)
    assert [moment.at for moment in page.moments] == sorted((moment.at for moment in page.moments), reverse=True)
    assert [event.is_canceled for event in page.events] == [True, False, False, False, False, False]
    text = answer.content.decode()
    for name in ("pay", "credit"):
        assert reverse("admin:invoices_invoice_command", args=[third.pk, name]) in text
    assert f"{reverse('admin:credits_creditgrant_add')}?customer={customer.pk}" in text
    for link in page.links.values():
        assert client.get(link, follow=True).status_code == 200, link


@pytest.mark.usefixtures("billed")
def test_few_questions_however_much_there_is(customer: Customer, price: Price, client: Client) -> None:
    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert client.get(address(customer)).status_code == 200
        return len(queries)

    count()
    before = count()
    assert before <= MOST_QUERIES
    bend(customer, test_clock=None)
    use(price, customer, 5, SECOND_END + 4 * DAY)
    with connection.cursor() as cursor:
        # A customer was bent with checks made at once; grants are checked when they have their ledger.
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")
    for _ in range(6):
        grant_credit(customer, 100)
        adjust_balance(customer=customer, amount=-1, currency="eur", now=SECOND_END + 4 * DAY)
    live_at(customer, SECOND_END + 5 * DAY)
    assert count() == before


def test_a_bill_that_rose_says_by_how_much_and_where_to_look(
    customer: Customer, price: Price, subscription: Subscription, client: Client
) -> None:
    use(price, customer, 100, NOW + DAY)
    bill(FIRST_END)
    use(price, customer, 400, FIRST_END + DAY)
    bill(SECOND_END)

    [second, first, at_start] = client.get(address(customer)).context["page"].invoices

    assert (second.difference, first.difference, at_start.difference) == (600, 200, None)
    invoice = client.get(reverse("admin:invoices_invoice_change", args=[second.invoice.pk])).content.decode()
    line = second.invoice.lines.get(price=price)
    assert reverse("admin:invoices_invoiceline_explain", args=[line.pk]) in invoice


def test_someone_new_is_told_what_to_do(customer: Customer, client: Client) -> None:
    text = client.get(address(customer)).content.decode()

    for hint in (
        "No running subscription has a metered price",
        "None yet. The first comes",
        "None was given",
        "None came for",
    ):
        assert hint in text
    # The list leads here.
    assert address(customer) in client.get(reverse("admin:accounts_customer_changelist")).content.decode()


def test_the_record_s_history_is_there_and_from_where_for_readers_of_the_trail(
    customer: Customer, client: Client
) -> None:
    customer.name = "Brookside"
    customer.save(update_fields=["name"])

    answer = client.get(address(customer))

    text = answer.content.decode()
    assert "Riverbank → Brookside" in text
    told = [moment for moment in answer.context["page"].moments if moment.text.startswith("Changed: name (")]
    assert [client.get(moment.link).status_code for moment in told] == [200]
    auditor = signed_in(member(customer.environment.company, username="audit", role=Membership.Role.AUDITOR))
    tells = [one.get(address(customer)).context["tells_where"] for one in (client, auditor)]
    assert tells == [False, True]


@pytest.mark.usefixtures("billed")
def test_panels_follow_walls_and_roles(customer: Customer, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    stranger = signed_in(member(CustomerFactory.create().environment.company, username="stranger"))
    assert stranger.get(address(customer)).status_code == 404
    assert Client().get(address(customer)).status_code == 302
    auditor = signed_in(member(customer.environment.company, username="audit", role=Membership.Role.AUDITOR))
    text = auditor.get(address(customer)).content.decode()
    assert "/do/pay/" not in text
    assert "Grant credit</" not in text
    assert "Record" in text

    only = {Membership.Role.FINANCE_MANAGER: frozenset({"accounts.view_customer"})}
    monkeypatch.setattr("accounts.console.walls.GRANTS", only)
    monkeypatch.setattr("accounts.roles.GRANTS", only)
    page = client.get(address(customer)).context["page"]

    hidden = ("invoices", "upcoming", "owed", "balances", "credit", "grants", "ledger", "payments", "subscriptions", "revenue", "usage", "events")  # fmt: skip
    assert [getattr(page, name) for name in hidden] == [None] * len(hidden)
    assert {moment.kind for moment in page.moments} == {"customer"}


def test_whoever_names_a_customer_leads_to_the_page_and_the_page_to_the_form(
    customer: Customer, client: Client
) -> None:
    record = reverse("admin:accounts_customer_change", args=[customer.pk])

    shown = client.get(record).content.decode()

    assert "What happened" in shown
    assert f"{record}?form=1" in shown
    assert 'name="phone"' in client.get(record, {"form": "1"}).content.decode()
