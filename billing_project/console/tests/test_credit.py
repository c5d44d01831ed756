"""Credit is granted, expired and voided in the console: asked first, with the sum of money, and within the walls."""

from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.test import Client

from accounts.models import Customer
from billing_project.console.tests.conftest import Worlds
from billing_project.console.tests.visits import address, member, signed_in
from credits.models import CreditGrant, LedgerEntry


@pytest.fixture
def client(worlds: Worlds) -> Client:
    return signed_in(member(worlds.ours.company, username="ours"))


def said(answer: Any) -> str:
    return " ".join(str(message) for message in get_messages(answer.wsgi_request))


def filled(customer: Customer, **fields: str) -> dict[str, str]:
    return {
        "customer": str(customer.pk),
        "amount": "1234.50",
        "currency": "USD",
        "category": "promotional",
        "name": "Welcome",
        "priority": "50",
        **fields,
    }


def made(worlds: Worlds) -> CreditGrant | None:
    # Some of what was given in francs is reserved from the beginning.
    others = CreditGrant.objects.exclude(pk__in=[worlds.ours.grant.pk, worlds.theirs.grant.pk])
    return others.exclude(currency="chf").first()


def asked(answer: Any) -> str:
    """What the form wants to be agreed to."""
    question: str = answer.context["adminform"].form.data["agreed"]
    return question


def test_granting_asks_first_says_how_much_and_then_does_it(worlds: Worlds, client: Client) -> None:
    customer = worlds.ours.customer

    asking = client.post(address(CreditGrant, "add"), filled(customer))
    assert asking.status_code == 200
    question = asked(asking)
    assert question.startswith(f"{customer} will be given 1,234.50 USD of promotional credit in test mode.")
    assert question.replace("'", "&#x27;") in asking.content.decode()
    assert made(worlds) is None

    done = client.post(address(CreditGrant, "add"), filled(customer, agreed=question))
    assert done.status_code == 302
    grant = made(worlds)
    assert grant is not None
    assert (grant.amount, grant.balance, grant.currency, grant.category) == (123450, 123450, "usd", "promotional")
    # The customer's clock, and not the wall, is the time of the grant.
    assert grant.created_at == grant.effective_at == customer.test_clock.frozen_at  # type: ignore[union-attr]


def test_agreeing_to_one_sum_does_not_grant_another(worlds: Worlds, client: Client) -> None:
    question = asked(client.post(address(CreditGrant, "add"), filled(worlds.ours.customer)))

    again = client.post(address(CreditGrant, "add"), filled(worlds.ours.customer, amount="9999", agreed=question))

    assert again.status_code == 200
    assert "9,999.00 USD" in asked(again)
    assert made(worlds) is None


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"amount": "1.005"}, "There is no smaller unit of USD"),
        ({"amount": "0.5", "currency": "jpy"}, "There is no smaller unit of JPY"),
        ({"amount": "-1"}, "greater than or equal to 0"),
    ],
)
def test_what_is_no_sum_of_money(worlds: Worlds, client: Client, fields: dict[str, str], told: str) -> None:
    answer = client.post(address(CreditGrant, "add"), filled(worlds.ours.customer, **fields))
    assert told in answer.content.decode()
    assert made(worlds) is None


def test_what_the_service_refuses_is_a_message(worlds: Worlds, client: Client) -> None:
    past = {"expires_at_0": "2020-01-01", "expires_at_1": "00:00:00"}
    question = asked(client.post(address(CreditGrant, "add"), filled(worlds.ours.customer, **past)))

    answer = client.post(address(CreditGrant, "add"), filled(worlds.ours.customer, agreed=question, **past))

    assert "the expiry must come after" in said(answer)
    assert made(worlds) is None


def test_nobody_grants_credit_to_customers_of_others(worlds: Worlds, client: Client) -> None:
    answer = client.post(address(CreditGrant, "add"), filled(worlds.theirs.customer))

    assert answer.status_code == 200
    assert "agreed" not in answer.context["adminform"].form.data
    assert made(worlds) is None


def test_a_grant_is_expired_or_voided_once(worlds: Worlds, client: Client) -> None:
    grant = worlds.ours.grant
    expire, void = (address(CreditGrant, "command", grant.pk, name) for name in ("expire", "void"))

    asking = client.get(expire).content.decode()
    assert f"{grant.customer} will lose 3.00 EUR in test mode of credit" in asking
    assert "3.00 EUR in test mode of credit, of which nothing was used" in client.get(void).content.decode()
    assert LedgerEntry.objects.filter(grant=grant).count() == 1

    assert "void." in said(client.post(void))
    grant.refresh_from_db()
    assert (grant.balance, grant.voided_at) == (0, grant.customer.test_clock.frozen_at)  # type: ignore[union-attr]
    assert "does not apply" in said(client.post(expire))
    assert list(grant.entries.order_by("number").values_list("kind", flat=True)) == ["granted", "voided"]


def test_a_grant_shows_its_ledger_and_its_prices(worlds: Worlds, client: Client) -> None:
    shown = client.get(address(CreditGrant, "change", worlds.ours.grant.pk)).content.decode()

    entry = worlds.ours.grant.entries.get()
    assert address(LedgerEntry, "change", entry.pk) in shown
    assert str(worlds.ours.price) in shown
    assert "3.00 EUR" in shown
    assert worlds.theirs.grant.name not in shown


def test_grants_are_found_by_currency_and_by_the_beginning_of_their_name(worlds: Worlds, client: Client) -> None:
    grants = address(CreditGrant, "changelist")
    ours = worlds.ours.grant

    # What something is sold in is offered, and nothing that others sell.
    assert 'href="?currency=usd"' in client.get(grants).content.decode()
    assert set(client.get(grants, {"currency": "eur"}).context["cl"].result_list) == {ours}
    assert set(client.get(grants, {"q": ours.name.upper()}).context["cl"].result_list) == {ours}
    assert set(client.get(grants, {"q": worlds.theirs.grant.name}).context["cl"].result_list) == set()
