"""Credit in the company's own currencies, through Payment Kit's door: granted, burned, summed up, ended."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from accounts.models import Customer, Mode, Scope, TestClock
from accounts.tests.factories import CustomerFactory, TestClockFactory
from billing_project.api.paymentkit.tests.caller import Caller, error_of
from billing_project.api.paymentkit.tests.test_meters import API_CALLS
from core.ids import spell, unspell
from credits.models import CreditGrant
from credits.services import create_grant, reserve_credit, void_grant
from credits.tests.factories import burn_all
from meters.models import Currency
from subscriptions.tests.factories import MeteredPriceFactory

DID = "z1YfCZqwPzLWKWhBvpDPBQgPWAXxJg5nCTs"


@pytest.fixture
def meter(call: Caller) -> Any:
    return call.post("/meters", {**API_CALLS, "decimal": 2})


@pytest.fixture
def customer(call: Caller) -> Customer:
    return CustomerFactory.create(environment=call.environment, did=DID)


def terms(meter: Any, amount: object = "5", **more: Any) -> dict[str, Any]:
    return {
        "customer_id": DID, "currency_id": meter["currency_id"], "amount": amount, "category": "paid", **more
    }  # fmt: skip


def use(call: Caller, value: str, **more: Any) -> Any:
    payload = {"customer_id": DID, "value": value}
    said = {"event_name": "api.calls.v1", "identifier": str(uuid4()), "payload": payload, **more}
    return call.post("/meter-events", said)


def test_a_grant_is_given_in_tokens_and_shown_in_smallest_units(call: Caller, meter: Any, customer: Customer) -> None:
    later = int(timezone.now().timestamp()) + 3600
    grant = call.post("/credit-grants", terms(meter, "1.50", name="Welcome", expires_at=later, metadata={"a": "b"}))

    assert unspell("credgr", grant["id"]) == CreditGrant.objects.get().pk
    assert (grant["amount"], grant["remaining_amount"], grant["status"]) == ("150", "150", "granted")
    assert (grant["customer_id"], grant["currency_id"]) == (spell("cus", customer.pk), meter["currency_id"])
    assert (grant["category"], grant["priority"], grant["name"]) == ("paid", 50, "Welcome")
    assert (grant["expires_at"], grant["voided_at"], grant["metadata"]) == (later, None, {"a": "b"})
    assert grant["applicability_config"] == {"scope": {"price_type": "metered"}}
    assert grant["paymentCurrency"] == meter["paymentCurrency"]
    assert call.get(f"/credit-grants/{grant['id']}") == grant


def test_a_grant_for_an_unknown_did_makes_the_customer(call: Caller, meter: Any) -> None:
    grant = call.post("/credit-grants", terms(meter))

    assert Customer.objects.get().did == DID
    assert grant["customer"]["did"] == DID
    poor = Caller(call.environment.company, Mode.TEST, Scope.CREDITS_WRITE)
    assert error_of(poor("POST", "/credit-grants", terms(meter, customer_id="z1other")))[0] == 403
    assert Customer.objects.count() == 1


def test_zero_is_no_instant_and_the_future_is_pending(call: Caller, meter: Any, customer: Customer) -> None:
    later = int(timezone.now().timestamp()) + 3600

    assert call.post("/credit-grants", terms(meter, expires_at=0, effective_at=0))["expires_at"] is None
    assert call.post("/credit-grants", terms(meter, effective_at=later))["status"] == "pending"


def test_a_grant_may_be_for_some_prices(call: Caller, meter: Any, customer: Customer) -> None:
    price = MeteredPriceFactory.create(environment=call.environment)
    scope = {"price_type": "metered", "prices": [spell("price", price.pk)]}

    grant = call.post("/credit-grants", terms(meter, applicability_config={"scope": scope}))
    assert grant["applicability_config"] == {"scope": scope}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"amount": None}, '"amount" is required'),
        ({"amount": "0"}, '"amount" must be greater than 0'),
        ({"amount": "-5"}, '"amount" must be a decimal number, not negative, with at most 18 decimal places'),
        ({"amount": "9" * 30, "currency_id": "fine"}, '"amount" is too large'),
        ({"amount": "1.005"}, '"amount" must not have more than 2 decimal places'),
        ({"category": None}, '"category" is required'),
        ({"category": "free"}, '"category" must be one of [paid, promotional]'),
        ({"customer_id": None}, '"customer_id" is required'),
        ({"customer_id": "not-a-did"}, "Customer not found: not-a-did"),
        ({"currency_id": "pcur_x"}, "Payment currency not found: pcur_x"),
        ({"priority": 100_000}, '"priority" must be between 0 and 99999'),
        ({"expires_at": 1_000_000_000}, None),
        ({"applicability_config": {"scope": {"prices": ["price_x"]}}}, "Price not found: price_x"),
        ({"applicability_config": {"scope": {"prices": "x"}}},
         '"applicability_config.scope.prices" must be an array of at most 20 strings'),
    ],
)  # fmt: skip
def test_what_breaks_a_rule_is_named_and_nothing_is_given(
    call: Caller, meter: Any, customer: Customer, change: dict[str, Any], said: str | None
) -> None:
    if change.get("currency_id") == "fine":
        change = {
            **change,
            "currency_id": call.post("/payment-currencies", {"name": "W", "symbol": "w", "decimal": 18})["id"],
        }
    status, text = error_of(call("POST", "/credit-grants", {**terms(meter), **change}))
    assert status == 400
    assert said in {None, text}
    assert not CreditGrant.objects.exists()


def test_an_update_changes_metadata_and_ends_a_grant(call: Caller, meter: Any, customer: Customer) -> None:
    path = f"/credit-grants/{call.post('/credit-grants', terms(meter))['id']}"

    assert call.put(path, {"metadata": {"c": 1}}) == {"success": True}
    assert call.get(path)["metadata"] == {"c": "1"}
    assert call.put(path, {"expired": True}) == {"success": True}
    ended = call.get(path)
    assert (ended["status"], ended["remaining_amount"]) == ("expired", "0")
    assert error_of(call("PUT", path, {"expired": True})) == (400, "The credit grant has expired")


def test_a_grant_that_was_voided_elsewhere_is_void_here(call: Caller, meter: Any, customer: Customer) -> None:
    path = f"/credit-grants/{call.post('/credit-grants', terms(meter))['id']}"
    void_grant(grant=CreditGrant.objects.get(), now=timezone.now())

    assert (call.get(path)["status"], call.get("/credit-grants", "status=voided")["count"]) == ("voided", 1)


def test_lists_are_narrowed_by_everything(call: Caller, meter: Any, customer: Customer) -> None:
    later = int(timezone.now().timestamp()) + 3600
    first = call.post("/credit-grants", terms(meter, name="First"))
    second = call.post("/credit-grants", terms(meter, customer_id="z1other", effective_at=later))
    # Money is no payment currency's.
    create_grant(environment=call.environment, customer=customer, currency="usd", amount=5, now=timezone.now())

    def found(query: str) -> list[str]:
        page = call.get("/credit-grants", query)
        assert page["count"] == len(page["list"])
        return [grant["id"] for grant in page["list"]]

    assert found("") == [second["id"], first["id"]]
    assert found(f"customer_id={DID}") == [first["id"]]
    assert found("customer_id=z1nobody") == []
    assert found("currency_id=pcur_x") == []
    assert found(f"currency_id={meter['currency_id']}&status=granted%2Cdepleted") == [first["id"]]
    assert found("status=pending") == found("status[0]=pending&status[1]=voided") == [second["id"]]
    assert found("status%5B0%5D=pending&status%5B1%5D=granted") == [second["id"], first["id"]]
    assert found("status=expired,voided") == []
    assert found("q=FIRST") == [first["id"]]
    assert error_of(call("GET", "/credit-grants", query="status=lost"))[0] == 400


def test_holders_have_what_is_not_reserved_each_by_their_own_time(call: Caller, meter: Any, customer: Customer) -> None:
    clock = TestClockFactory.create(environment=call.environment, frozen_at=timezone.now() + timedelta(hours=3))
    ahead = CustomerFactory.create(environment=call.environment, test_clock=clock)
    currency = Currency.objects.get()
    for one in (customer, ahead):
        call.post("/credit-grants", terms(meter, "9", customer_id=spell("cus", one.pk)))
        reserve_credit(
            environment=call.environment,
            customer=one,
            currency=currency,
            amount=600,
            now=one.now(timezone.now()),
            duration=timedelta(hours=1),
        )
    query = f"currency_id={meter['currency_id']}"

    def holders() -> list[tuple[str, str]]:
        return [(row["customer_id"], row["balance"]) for row in call.get("/credit-grants/holders", query)["holders"]]

    assert sorted(holders()) == sorted([(spell("cus", one.pk), "300") for one in (customer, ahead)])
    # Its time is over there, and nothing has booked it.
    TestClock.objects.update(frozen_at=clock.frozen_at + timedelta(hours=1))
    assert holders() == [(spell("cus", ahead.pk), "900"), (spell("cus", customer.pk), "300")]


def test_holders_and_statistics_of_a_currency(call: Caller, meter: Any, customer: Customer) -> None:
    for amount, named in (("1", DID), ("2", DID), ("9", "z1other")):
        call.post("/credit-grants", terms(meter, amount, customer_id=named))
    query = f"currency_id={meter['currency_id']}"

    holders = call.get("/credit-grants/holders", query)
    assert [(row["balance"], row["grantCount"]) for row in holders["holders"]] == [("900", 1), ("300", 2)]
    assert holders["currency"] == meter["paymentCurrency"]
    assert holders["paging"] == {"page": 1, "pageSize": 20, "total": 2, "totalPages": 1}
    assert len(call.get("/credit-grants/holders", f"{query}&page=2&pageSize=1")["holders"]) == 1


@pytest.mark.django_db(transaction=True)
def test_statistics_tell_what_was_granted_by_whom_and_what_became_of_it(
    call: Caller, meter: Any, customer: Customer
) -> None:
    """As programs read them: ``stats`` over all, ``daily_stats`` day by day."""
    spent = call.post("/credit-grants", terms(meter, "5", granted_by="z1boss", metadata={"granted_by": "nobody"}))
    call.post("/credit-grants", terms(meter, "3", granted_by="z1boss", category="promotional"))
    lost = call.post("/credit-grants", terms(meter, "1"))
    call.put(f"/credit-grants/{lost['id']}", {"expired": True})
    use(call, "2")
    burn_all(timezone.now())
    query = f"currency_id={meter['currency_id']}"

    def told(more: str = "") -> Any:
        return call.get("/credit-grants/stats", f"{query}{more}")

    everything = told("&timezone_offset=-60")
    totals = {"grant_count": 3, "total_granted": "900", "total_remaining": "600", "total_consumed": "200"}
    ours = {"currency_id": meter["currency_id"]}
    assert everything["stats"] == {**ours, "currency": meter["paymentCurrency"], **totals}
    today = (timezone.now() + timedelta(hours=1)).date().isoformat()
    assert everything["daily_stats"] == [{"date": today, **ours, **totals}]
    assert (spent["granted_by"], lost["granted_by"]) == ("z1boss", None)
    assert told("&granted_by=z1boss")["stats"]["total_granted"] == "800"
    assert told("&granted_by=z1boss&category=promotional")["stats"]["total_consumed"] == "200"
    nothing = told("&granted_by=nobody")
    assert (nothing["stats"]["grant_count"], nothing["stats"]["total_granted"], nothing["daily_stats"]) == (0, "0", [])
    assert error_of(call("GET", "/credit-grants/stats", query=f"{query}&start_date=2&end_date=1"))[0] == 400


def test_lists_are_turned_round_where_they_are_asked_for_from_the_beginning(
    call: Caller, meter: Any, customer: Customer
) -> None:
    made = [call.post("/credit-grants", terms(meter))["id"] for _ in range(3)]

    def listed(query: str) -> list[str]:
        return [grant["id"] for grant in call.get("/credit-grants", query)["list"]]

    assert listed("order=created_at:DESC") == listed("order[0][0]=created_at&order[0][1]=desc") == made[::-1]
    for query in ("order=created_at:ASC", "order=created_at%20asc", "order[0][0]=created_at&order[0][1]=ASC"):
        assert listed(query) == made
    assert listed("order[0]=created_at&order[1]=ASC&page=2&pageSize=2") == made[2:]
    said = error_of(call("GET", "/credit-grants", query="order=amount:ASC"))
    assert said == (400, '"order" must be created_at, with ASC or DESC')


@pytest.mark.django_db(transaction=True)
def test_usage_burns_credit_and_what_is_short_waits(call: Caller, meter: Any, customer: Customer) -> None:
    grant = call.post("/credit-grants", terms(meter, "5"))
    fresh = use(call, "3")
    # Before anybody has charged for it.
    assert (fresh["status"], fresh["credit_consumed"], fresh["credit_pending"]) == ("pending", "0", "300")
    pending = f"customer_id={DID}&currency_id={meter['currency_id']}"
    assert call.get("/meter-events/pending-amount", pending) == {meter["currency_id"]: "300"}

    burn_all(timezone.now())
    short = use(call, "4")
    burn_all(timezone.now())
    paid, waiting = (call.get(f"/meter-events/{event['id']}") for event in (fresh, short))
    assert (paid["status"], paid["credit_consumed"], paid["credit_pending"]) == ("completed", "300", "0")
    assert (waiting["status"], waiting["credit_consumed"], waiting["credit_pending"]) == (
        "requires_capture",
        "200",
        "200",
    )
    assert call.get("/meter-events/pending-amount", f"customer_id={DID}") == {meter["currency_id"]: "200"}
    assert call.get(f"/credit-grants/{grant['id']}")["status"] == "depleted"
    asked = f"customer_id={DID}&currency_id={meter['currency_id']}"
    refused = {"can_continue": False, "reason": "insufficient_credit"}
    assert call.get("/credit-grants/verify-availability", asked) == refused

    call.post("/credit-grants", terms(meter, "10", category="promotional"))
    assert call.get(f"/meter-events/{short['id']}")["status"] == "completed"
    assert call.get("/meter-events/pending-amount", pending) == {meter["currency_id"]: "0"}
    assert call.get("/credit-grants/verify-availability", asked) == {"can_continue": True}
    assert call.get("/credit-grants/verify-availability", f"{asked}&pending_amount=800") == refused
    summary = call.get("/credit-grants/summary", f"customer_id={DID}")[meter["currency_id"]]
    assert (summary["totalAmount"], summary["remainingAmount"], summary["grantCount"]) == ("1000", "800", 1)

    page = call.get("/credit-transactions", f"customer_id={DID}")
    rows = [(row["type"], row["amount"], row["running_balance"], row["quantity"]) for row in page["list"]]
    assert rows == [
        ("consumption", "-200", "800", "2"), ("consumption", "-200", "0", "2"), ("consumption", "-300", "200", "3"),
    ]  # fmt: skip
    newest = page["list"][0]
    assert call.get(f"/credit-transactions/{newest['id']}") == newest
    assert (newest["meter_event_id"], newest["source"], newest["meter_id"]) == (short["id"], short["id"], meter["id"])
    assert (newest["credit_amount"], newest["remaining_balance"]) == ("200", "800")
    assert (newest["meter_event_name"], newest["meter_unit"]) == ("api.calls.v1", "requests")
    assert newest["creditGrant"]["category"] == "promotional"
    everything = call.get("/credit-transactions", f"customer_id={DID}&include_grants=true")["list"]
    assert sorted(row["activity_type"] for row in everything) == ["consumption"] * 3 + ["grant"] * 2
    for query, count in (
        (f"credit_grant_id={grant['id']}", 2),
        (f"source={short['id']}", 2),
        (f"meter_id={meter['id']}", 3),
        ("customer_id=z1nobody", 0),
        (f"start={int(timezone.now().timestamp()) + 60}", 0),
        ("subscription_id=sub_x", 0),
    ):
        assert call.get("/credit-transactions", query)["count"] == count, query
    totals = call.get("/credit-transactions/summary", f"customer_id={DID}")
    assert totals == {
        "total_quantity": "7", "total_credit_amount": "700", "transaction_count": 3, "filters": {"customer_id": DID},
    }  # fmt: skip


@pytest.mark.django_db(transaction=True)
def test_what_a_subscription_owes_and_may_burn_is_told_apart(call: Caller, meter: Any, customer: Customer) -> None:
    other = call.post("/meters", {**API_CALLS, "event_name": "other", "decimal": 2})
    used, unused = (
        {
            "currency_id": "usd",
            "unit_amount": 1,
            "recurring": {"interval": "month", "usage_type": "metered", "meter_id": one["id"]},
        }
        for one in (meter, other)
    )
    prices = [price["id"] for price in call.post("/products", {"name": "P", "prices": [used, unused]})["prices"]]
    subscription = call.post("/subscriptions", {"customer_id": DID, "items": [{"price_id": prices[0]}]})["id"]
    for currency, price in ((meter, prices[0]), (meter, prices[1]), (other, prices[1])):
        config = {"scope": {"price_type": "metered", "prices": [price]}}
        call.post("/credit-grants", terms(currency, "1", applicability_config=config))

    def use_of(value: str, **more: str) -> Any:
        return use(call, "1", payload={"customer_id": DID, "value": value, **more})

    def owed(of: str) -> Any:
        return call.get("/meter-events/pending-amount", f"customer_id={DID}&subscription_id={of}")

    ours, others = use_of("2", subscription_id=subscription), use_of("4", subscription_id="sub_nobody's")
    # Before it is charged for as after.
    assert owed(subscription) == {meter["currency_id"]: "200"}
    assert owed("sub_x") == {}
    summary = call.get("/credit-grants/summary", f"customer_id={DID}&subscription_id={subscription}")
    assert {pk: found["remainingAmount"] for pk, found in summary.items()} == {meter["currency_id"]: "100"}
    burn_all(timezone.now())
    assert owed(subscription) == {meter["currency_id"]: "100"}
    [row] = call.get("/credit-transactions", f"subscription_id={subscription}")["list"]
    assert (row["subscription_id"], row["meter_event_id"]) == (subscription, ours["id"])
    assert row["meterEvent"] == call.get(f"/meter-events/{ours['id']}")
    assert row["subscription"] == call.get(f"/subscriptions/{subscription}")
    call.post("/credit-grants", terms(meter, "9"))
    [unnamed] = [one for one in call.get("/credit-transactions")["list"] if one["meter_event_id"] == others["id"]]
    assert (unnamed["subscription"], unnamed["meterEvent"]["id"]) == (None, others["id"])
    said = error_of(call("GET", "/credit-grants/summary", query=f"customer_id={DID}&subscription_id=sub_x"))
    assert said == (400, "Subscription not found: sub_x")


@pytest.mark.parametrize(
    "path",
    [
        "/credit-grants/summary", "/credit-grants/verify-availability", "/credit-grants/holders", "/credit-grants/stats",
        "/meter-events/pending-amount", "/credit-grants/summary?customer_id=z1nobody",
        "/credit-grants/holders?currency_id=pcur_x", "/meter-events/pending-amount?customer_id=z1nobody",
    ],
)  # fmt: skip
def test_questions_about_nobody_and_nothing_are_refused(call: Caller, path: str) -> None:
    address, _, query = path.partition("?")
    assert error_of(call("GET", address, query=query))[0] == 400


def test_nothing_of_anothers_is_there(call: Caller, meter: Any, customer: Customer) -> None:
    stranger = Caller(call.environment.company, Mode.LIVE)
    grant = call.post("/credit-grants", terms(meter))

    assert error_of(stranger("GET", f"/credit-grants/{grant['id']}"))[0] == 404
    assert error_of(stranger("PUT", f"/credit-grants/{grant['id']}", {"expired": True}))[0] == 404
    assert stranger.get("/credit-grants")["count"] == 0
    assert stranger.get("/credit-transactions", "include_grants=true")["count"] == 0
    assert error_of(stranger("POST", "/credit-grants", terms(meter)))[0] == 400
    assert error_of(stranger("GET", "/credit-grants/holders", query=f"currency_id={meter['currency_id']}"))[0] == 400
    assert CreditGrant.objects.get().expires_at is None
    assert timezone.now() - CreditGrant.objects.get().created_at < timedelta(minutes=5)
