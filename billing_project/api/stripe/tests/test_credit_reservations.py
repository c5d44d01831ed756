"""/v1/billing/credit_reservations: ours, called with what the SDK sends."""

from datetime import timedelta
from typing import Any
from unittest.mock import Mock
from uuid import uuid4

import pytest
import stripe
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext

from accounts.models import TestClock
from billing_project.api.stripe.kinds import CREDIT_RESERVATION
from billing_project.api.stripe.tests.builders import new_grant
from billing_project.api.stripe.tests.sdk import Account, new_account
from core.ids import spell
from credits.models import CreditGrant, CreditReservation
from credits.tests.factories import paid_meter

pytestmark = pytest.mark.django_db

PATH = "/v1/billing/credit_reservations"


@pytest.fixture
def account() -> Account:
    return new_account()


@pytest.fixture
def customer(account: Account) -> str:
    identifier: str = account.v1.customers.create({"name": "Ada"}).id
    return identifier


def usd(value: int) -> dict[str, Any]:
    return {"type": "monetary", "monetary": {"currency": "usd", "value": value}}


def call(account: Account, path: str = "", **params: Any) -> Any:
    return account.sdk.raw_request("post", f"{PATH}{path}", **params).data


def show(account: Account, path: str = "", **params: Any) -> Any:
    return account.sdk.raw_request("get", f"{PATH}{path}", **params).data


def refusal(account: Account, path: str = "", **params: Any) -> tuple[int | None, str | None, str | None]:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        call(account, path, **params)
    return refused.value.http_status, refused.value.code, refused.value.param


def balances(account: Account, customer: str) -> list[dict[str, Any]]:
    asked = {"type": "applicability_scope", "applicability_scope": {"price_type": "metered"}}
    told = account.sdk.raw_request("get", "/v1/billing/credit_balance_summary", customer=customer, filter=asked)
    found: list[dict[str, Any]] = told.data["balances"]
    return found


def test_a_reservation_from_its_beginning_to_its_end(account: Account, customer: str) -> None:
    new_grant(account, customer, 1000)

    made = call(account, customer=customer, amount=usd(300), metadata={"job": "7"}, expires_after=60)
    identifier = made["id"]
    assert made == {
        "id": identifier,
        "object": "billing.credit_reservation",
        "amount": usd(300),
        "amount_committed": usd(0),
        "amount_released": usd(0),
        "amount_reserved": usd(300),
        "created": made["created"],
        "customer": customer,
        "ended_at": None,
        "expires_at": made["created"] + 60,
        "livemode": False,
        "metadata": {"job": "7"},
        "status": "active",
        "test_clock": None,
        "updated": made["created"],
    }
    assert identifier.startswith("credres_")
    assert show(account, f"/{identifier}") == made
    assert show(account, f"/{identifier}", expand=["customer"])["customer"]["name"] == "Ada"
    assert balances(account, customer) == [
        {"available_balance": usd(700), "ledger_balance": usd(1000), "reserved_balance": usd(300)}
    ]

    partly = call(account, f"/{identifier}/commit", amount=usd(100), keep_remainder="true")
    assert (partly["status"], partly["amount_reserved"]) == ("active", usd(200))
    done = call(account, f"/{identifier}/commit", amount=usd(50))
    assert (done["status"], done["amount_committed"], done["amount_released"]) == ("committed", usd(150), usd(150))
    assert done["ended_at"] == done["updated"]
    assert balances(account, customer) == [
        {"available_balance": usd(850), "ledger_balance": usd(850), "reserved_balance": usd(0)}
    ]
    entry = account.v1.billing.credit_balance_transactions.list({"customer": customer, "limit": 1}).data[0]
    assert (entry.type, entry.debit.type, entry.debit.amount.monetary.value) == ("debit", "credits_applied", 50)


def test_without_an_amount_all_is_committed_and_what_is_released_comes_back(account: Account, customer: str) -> None:
    new_grant(account, customer, 100)
    first, second = (call(account, customer=customer, amount=usd(40))["id"] for _ in range(2))

    assert call(account, f"/{first}/commit")["amount_committed"] == usd(40)
    assert call(account, f"/{second}/release")["status"] == "released"
    assert balances(account, customer)[0]["available_balance"] == usd(60)


def test_a_currency_of_the_companys_own(account: Account, customer: str) -> None:
    meter = paid_meter(account.environment, decimals=2)
    assert meter.currency is not None

    def tokens(value: str) -> dict[str, Any]:
        unit = {"custom_pricing_unit": spell("pcur", meter.currency_id), "value": value}  # type: ignore[arg-type]
        return {"type": "custom_pricing_unit", "custom_pricing_unit": unit}

    grant = new_grant(account, customer, 1, amount=tokens("10"))
    assert grant.amount.to_dict() == {**tokens("10"), "monetary": None}
    assert CreditGrant.objects.get().amount == 1000
    made = call(account, customer=customer, amount=tokens("2.5"))
    assert made["amount"] == {**tokens("2.5"), "monetary": None}
    [balance] = balances(account, customer)
    assert {name: amount["custom_pricing_unit"]["value"] for name, amount in balance.items()} == {
        "available_balance": "7.5",
        "ledger_balance": "10",
        "reserved_balance": "2.5",
    }
    assert refusal(account, customer=customer, amount=tokens("0.005")) == (
        400, None, "amount[custom_pricing_unit][value]",
    )  # fmt: skip
    assert refusal(account, f"/{made['id']}/commit", amount=usd(1)) == (400, None, "amount")
    assert (
        call(account, f"/{made['id']}/commit", amount=tokens("1"))["amount_released"]["custom_pricing_unit"]
        == (tokens("1.5")["custom_pricing_unit"])
    )


def test_what_is_not_there_is_refused_and_nothing_is_reserved(account: Account, customer: str) -> None:
    new_grant(account, customer, 100)

    assert refusal(account, customer=customer, amount=usd(101)) == (400, "balance_insufficient", "amount")
    assert refusal(account, customer=customer, amount={"type": "monetary"}) == (
        400, "parameter_missing", "amount[monetary]",
    )  # fmt: skip
    assert refusal(account, customer=customer, amount=usd(1), expires_after=604801)[2] == "expires_after"
    assert refusal(account, customer=customer, amount=usd(1), expires_after=0)[2] == "expires_after"
    assert not CreditReservation.objects.exists()

    made = call(account, customer=customer, amount=usd(10))["id"]
    assert refusal(account, f"/{made}/commit", amount=usd(11)) == (400, "amount_too_large", "amount")
    call(account, f"/{made}/release")
    assert refusal(account, f"/{made}/release") == (400, None, "id")
    grant = new_grant(account, customer, 5)
    call(account, customer=customer, amount=usd(105))
    with pytest.raises(stripe.InvalidRequestError, match="reserved"):
        account.v1.billing.credit_grants.void_grant(grant.id)


def test_it_takes_few_statements(account: Account, customer: str) -> None:
    """A program waits for these before each call of a model: what is asked twice is paid by all of them."""
    new_grant(account, customer, 1000)

    def statements(path: str = "", **params: Any) -> tuple[int, str]:
        with CaptureQueriesContext(connection) as queries:
            identifier = call(account, path, idempotency_key=str(uuid4()), **params)["id"]
        return len(queries), identifier

    statements(customer=customer, amount=usd(1))
    made, first = statements(customer=customer, amount=usd(10))
    _, second = statements(customer=customer, amount=usd(10))
    # As many as outside of a test, where the first savepoint is a transaction.
    assert (made, statements(f"/{first}/commit", amount=usd(7))[0], statements(f"/{second}/release")[0]) == (10, 10, 10)


def test_what_is_refused_at_the_very_end_leaves_nothing_behind(account: Account, customer: str) -> None:
    new_grant(account, customer, 100)

    assert refusal(account, customer=customer, amount=usd(10), expand=["amount"])[2] == "expand"
    assert not CreditReservation.objects.exists()
    # What was refused under a key has the same answer again, though there is credit now.
    short: dict[str, Any] = {"customer": customer, "amount": usd(101), "idempotency_key": "short"}
    assert refusal(account, **short)[1] == "balance_insufficient"
    new_grant(account, customer, 100)
    assert refusal(account, **short)[1] == "balance_insufficient"


def test_what_breaks_after_the_service_leaves_nothing_behind_and_its_key_free(
    account: Account, customer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_grant(account, customer, 100)
    said: dict[str, Any] = {"customer": customer, "amount": usd(10), "idempotency_key": "k"}
    with monkeypatch.context() as broken:
        broken.setattr(CREDIT_RESERVATION, "shape", Mock(side_effect=ZeroDivisionError))
        with pytest.raises(stripe.APIError):
            call(account, **said)
    assert not CreditReservation.objects.exists()
    assert call(account, **said)["status"] == "active"


def test_one_key_reserves_once(account: Account, customer: str) -> None:
    new_grant(account, customer, 100)
    options = {"idempotency_key": "k"}

    first, second = (
        account.sdk.raw_request("post", PATH, customer=customer, amount=usd(60), **options) for _ in range(2)
    )
    assert first.data == second.data
    commits = [
        account.sdk.raw_request("post", f"{PATH}/{first.data['id']}/commit", idempotency_key="c").data for _ in range(2)
    ]
    assert commits[0] == commits[1]
    assert balances(account, customer)[0]["ledger_balance"] == usd(40)


def test_lists_by_customer_and_by_the_status_of_this_moment(account: Account) -> None:
    clock = account.v1.test_helpers.test_clocks.create({"frozen_time": 1811808000})
    customer = account.v1.customers.create({"test_clock": clock.id}).id
    new_grant(account, customer, 100)
    other = account.v1.customers.create({}).id
    new_grant(account, other, 100)
    lapsed, active = (
        call(account, customer=customer, amount=usd(10), expires_after=seconds)["id"] for seconds in (60, 7200)
    )
    call(account, customer=other, amount=usd(1))
    # As it is when its time is over, before any job has come by.
    TestClock.objects.update(frozen_at=F("frozen_at") + timedelta(hours=1))

    def listed(**params: Any) -> list[str]:
        return [one["id"] for one in show(account, customer=customer, **params)["data"]]

    assert listed() == [active, lapsed]
    assert listed(limit=1, starting_after=active) == [lapsed]
    assert listed(status="active") == [active]
    assert listed(status="expired") == [lapsed]
    assert listed(status="committed") == []
    shown = show(account, f"/{lapsed}")
    assert (shown["status"], shown["amount_reserved"], shown["amount_released"]) == ("expired", usd(0), usd(10))
    assert shown["ended_at"] == shown["expires_at"]
    assert balances(account, customer)[0]["available_balance"] == usd(90)
    # All that is counted as available can be had.
    assert call(account, customer=customer, amount=usd(90))["status"] == "active"
