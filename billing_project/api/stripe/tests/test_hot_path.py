"""What /v1/billing/meter_events does to be fast must not show but in its speed."""

from typing import Any

import pytest
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from billing_project.api.stripe.fields import checked
from billing_project.api.stripe.meter_events import MeterEventParams, _plain_event
from billing_project.api.stripe.parsers import Tree
from billing_project.api.stripe.tests.sdk import Account
from billing_project.api.stripe.wire import StripeError
from usage.errors import TooManyEventsWaiting
from usage.models import EventClaim, MeterEvent

TEXTS = st.one_of(
    st.sampled_from(["", "1", "calls", "x" * 100, "x" * 101, "-5", "1700000000", "9" * 12, "é"]), st.text(max_size=5)
)
HASHES = st.dictionaries(TEXTS, st.one_of(TEXTS, st.just({"a": "b"})), min_size=1, max_size=3)
TREES = st.dictionaries(
    st.sampled_from(["event_name", "payload", "identifier", "timestamp", "expand", "value"]),
    st.one_of(TEXTS, HASHES, st.lists(TEXTS, min_size=1, max_size=2)),
    max_size=5,
)
PLAIN = st.fixed_dictionaries(
    {"event_name": TEXTS, "payload": HASHES}, optional={"identifier": TEXTS, "timestamp": TEXTS}
)


@given(tree=st.one_of(TREES, PLAIN))
def test_given_any_parameters_when_taken_as_they_are_then_the_fields_would_have_said_the_same(tree: Any) -> None:
    taken = _plain_event(tree)
    try:
        said = checked(MeterEventParams, tree, None)  # type: ignore[arg-type]
    except StripeError:
        assert taken is None
    else:
        assert taken is None or taken == said


def test_given_an_ordinary_event_then_it_is_taken_as_it_is() -> None:
    tree: Tree = {"event_name": "calls", "payload": {"stripe_customer_id": "cus_1", "value": "1"}, "identifier": "a"}

    assert _plain_event(tree) == tree
    assert _plain_event({**tree, "timestamp": "1700000000"}) is not None


@pytest.mark.parametrize("address", ["/v1/billing/meter_events", "/v2/billing/meter_events"])
def test_given_too_many_events_are_waiting_then_the_caller_is_told_to_come_again(
    account: Account, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    def refuse(**_: Any) -> None:
        raise TooManyEventsWaiting

    module = "v2.meter_events" if "v2" in address else "meter_events"
    monkeypatch.setattr(f"billing_project.api.stripe.{module}.accept_event", refuse)
    event = {"event_name": "calls", "payload": {"stripe_customer_id": "cus_1", "value": "1"}}
    pairs = "event_name=calls&payload[stripe_customer_id]=cus_1&payload[value]=1"

    answer = Client(headers={"Authorization": f"Bearer {account.secret}"}).post(
        address,
        event if "v2" in address else pairs,
        content_type="application/json" if "v2" in address else "application/x-www-form-urlencoded",
    )

    assert (answer.status_code, answer["Retry-After"], answer["Stripe-Should-Retry"]) == (429, "1", "true")
    assert answer.json()["error"]["code"] == "rate_limit"
    assert MeterEvent.objects.count() == EventClaim.objects.count() == 0


def test_given_a_programs_call_then_no_session_is_opened_and_the_console_still_has_its_own(account: Account) -> None:
    answer = Client().get("/v1/billing/meters", headers={"Authorization": f"Bearer {account.secret}"})
    login = Client().get("/admin/login/")

    assert answer.status_code == 200
    assert not answer.cookies
    assert not hasattr(answer.wsgi_request, "session")
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert login.status_code == 200
    assert "csrftoken" in login.cookies
