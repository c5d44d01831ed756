"""/v1/webhook_endpoints, and messages that the official SDK takes for Stripe's."""

from collections.abc import Iterator
from typing import Any

import pytest
import stripe
from django.utils import timezone

from billing_project.api.stripe.tests.builders import new_customer
from billing_project.api.stripe.tests.sdk import Account, is_a, new_account
from webhooks.models import WebhookEndpoint
from webhooks.services import send_all
from webhooks.tests.receiver import Receiver, receiving

URL = "https://hooks.example.com/stripe"


def new_endpoint(account: Account, **params: Any) -> Any:
    return account.v1.webhook_endpoints.create({"url": URL, "enabled_events": ["*"], **params})


def refused(call: Any, *args: Any) -> Any:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        call(*args)
    return caught.value


def test_an_endpoint_is_made_changed_and_deleted(account: Account) -> None:
    types = ["invoice.paid", "customer.created"]
    made = new_endpoint(account, enabled_events=types, description="D", metadata={"a": "1"}, api_version="2020-08-27")

    assert is_a(made, stripe.WebhookEndpoint)
    assert (made.object, made.status, made.url, made.enabled_events) == ("webhook_endpoint", "enabled", URL, types)
    assert made.id.startswith("we_")
    assert made.secret.startswith("whsec_")
    read = account.v1.webhook_endpoints.retrieve(made.id)
    assert "secret" not in read.to_dict()
    assert {**read.to_dict(), "secret": made.secret} == made.to_dict()
    assert [each.id for each in account.v1.webhook_endpoints.list().data] == [made.id]

    changed = account.v1.webhook_endpoints.update(
        made.id, {"disabled": True, "enabled_events": ["*"], "url": f"{URL}/2", "metadata": {"b": "2"}}
    )
    assert (changed.status, changed.enabled_events, changed.url) == ("disabled", ["*"], f"{URL}/2")
    assert changed.metadata.to_dict() == {"a": "1", "b": "2"}
    assert account.v1.webhook_endpoints.update(made.id, {"disabled": False}).status == "enabled"

    gone = account.v1.webhook_endpoints.delete(made.id)
    assert gone.to_dict() == {"id": made.id, "object": "webhook_endpoint", "deleted": True}
    assert account.v1.webhook_endpoints.list().data == []
    for call in (account.v1.webhook_endpoints.retrieve, account.v1.webhook_endpoints.delete):
        assert refused(call, made.id).code == "resource_missing"


@pytest.mark.parametrize(
    ("params", "param", "code"),
    [
        ({"url": "http://169.254.169.254/latest"}, "url", "url_invalid"),
        ({"url": "https://localhost/"}, "url", "url_invalid"),
        ({"url": "nonsense"}, "url", "url_invalid"),
        ({"url": "https://u:p@example.com/"}, "url", "url_invalid"),
        ({"enabled_events": ["*", "invoice.paid"]}, "enabled_events", None),
        ({"enabled_events": ["invoice.*"]}, "enabled_events", None),
        ({"enabled_events": ["nonsense"]}, "enabled_events", None),
        ({"connect": True}, "connect", "parameter_unknown"),
    ],
)
def test_what_cannot_be_is_refused(account: Account, params: dict[str, Any], param: str, code: str | None) -> None:
    error = refused(lambda: new_endpoint(account, **params))

    assert (error.param, error.code) == (param, code)
    assert not WebhookEndpoint.objects.exists()
    made = new_endpoint(account)
    error = refused(account.v1.webhook_endpoints.update, made.id, params)
    assert error.param == param
    assert account.v1.webhook_endpoints.retrieve(made.id).url == URL


@pytest.mark.django_db
def test_in_live_mode_messages_go_by_https() -> None:
    account = new_account(mode="live")

    error = refused(lambda: new_endpoint(account, url="http://hooks.example.com/"))

    assert (error.param, error.code) == ("url", "url_invalid")
    assert new_endpoint(account).livemode is True


def test_endpoints_need_the_scopes_of_events(account: Account) -> None:
    reader = account.with_scopes("events-read").v1
    assert reader.webhook_endpoints.list().data == []
    with pytest.raises(stripe.PermissionError):
        reader.webhook_endpoints.create({"url": URL, "enabled_events": ["*"]})
    with pytest.raises(stripe.PermissionError):
        account.with_scopes("customers-write").v1.webhook_endpoints.list()


@pytest.fixture
def receiver(settings: Any) -> Iterator[Receiver]:
    settings.WEBHOOKS_ALLOW_PRIVATE = True
    with receiving() as made:
        yield made


def construct(receiver: Receiver, secret: str, position: int = -1) -> Any:
    message = receiver.messages[position]
    return stripe.Webhook.construct_event(message.body, message.headers["Stripe-Signature"], secret)


@pytest.mark.django_db(transaction=True)
def test_the_sdk_takes_our_messages_for_stripes(receiver: Receiver) -> None:
    account = new_account()
    endpoint = new_endpoint(account, url=receiver.url)
    customer = new_customer(account)
    listed = account.v1.events.list().data[0]
    assert listed.pending_webhooks == 1

    send_all(clock=timezone.now)

    event = construct(receiver, endpoint.secret)
    assert is_a(event, stripe.Event)
    assert event.to_dict() == listed.to_dict()
    assert event.data.object.id == customer.id
    with pytest.raises(stripe.SignatureVerificationError):
        construct(receiver, "whsec_other")
    assert account.v1.events.retrieve(listed.id).pending_webhooks == 0
    assert [each.id for each in account.v1.events.list({"delivery_success": True}).data] == [listed.id]
    assert account.v1.events.list({"delivery_success": False}).data == []


@pytest.mark.django_db(transaction=True)
def test_a_secret_is_rolled_without_a_gap(receiver: Receiver) -> None:
    account = new_account()
    endpoint = new_endpoint(account, url=receiver.url)
    rolled = account.sdk.raw_request("post", f"/v1/webhook_endpoints/{endpoint.id}/roll_secret").data
    assert rolled["secret"] != endpoint.secret
    new_customer(account)

    send_all(clock=timezone.now)

    for secret in (endpoint.secret, rolled["secret"]):
        assert construct(receiver, secret).type == "customer.created"


@pytest.mark.django_db(transaction=True)
def test_an_event_is_sent_once_more(receiver: Receiver) -> None:
    account = new_account()
    endpoint = new_endpoint(account, url=receiver.url)
    new_customer(account)
    send_all(clock=timezone.now)
    event = account.v1.events.list().data[0]

    path = f"/v1/events/{event.id}/retry"
    again = account.sdk.raw_request("post", path, webhook_endpoint=endpoint.id).data
    assert again["pending_webhooks"] == 1
    send_all(clock=timezone.now)

    assert [construct(receiver, endpoint.secret, position).id for position in (0, 1)] == [event.id] * 2
    account.v1.webhook_endpoints.update(endpoint.id, {"disabled": True})
    with pytest.raises(stripe.InvalidRequestError):
        account.sdk.raw_request("post", path, webhook_endpoint=endpoint.id)
    assert account.v1.events.retrieve(event.id).pending_webhooks == 0
