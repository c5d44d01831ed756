"""Messages go out in order, endpoint by endpoint, and go on whatever happens; to real servers, by real connections."""

import json
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from accounts.models import Environment
from accounts.tests.factories import EnvironmentFactory
from webhooks.kinds import Kind
from webhooks.models import Delivery, WebhookEndpoint
from webhooks.models.endpoints import HOLDING_ATTEMPTS
from webhooks.services import (
    create_endpoint,
    delete_endpoint,
    resend_event,
    roll_secret,
    send_all,
    send_to_endpoint,
    sending,
    update_endpoint,
)
from webhooks.tests.factories import Clock, new_endpoint, new_event
from webhooks.tests.receiver import Message, Receiver, receiving

pytestmark = pytest.mark.django_db(transaction=True)
State = Delivery.State
SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def _loopback_is_allowed(settings: Any) -> None:
    settings.WEBHOOKS_ALLOW_PRIVATE = True


@pytest.fixture
def environment() -> Environment:
    return EnvironmentFactory.create()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@pytest.fixture
def clock() -> Clock:
    return Clock(timezone.now() + SECOND)


def name_of(message: Message) -> str:
    return str(json.loads(message.body)["data"]["object"]["name"])


def names(receiver: Receiver) -> list[str]:
    return [name_of(message) for message in receiver.messages]


def send(endpoint: WebhookEndpoint, clock: Clock) -> int:
    return send_to_endpoint(endpoint_id=endpoint.pk, clock=clock)


def test_events_arrive_in_order_and_once(environment: Environment, receiver: Receiver) -> None:
    endpoint = new_endpoint(environment, receiver.url)
    for number in range(5):
        new_event(environment, str(number))

    assert send_all(clock=timezone.now) == 5
    assert send_all(clock=timezone.now) == 0

    assert names(receiver) == list("01234")
    for delivery in Delivery.objects.filter(endpoint=endpoint):
        assert (delivery.state, delivery.attempts, delivery.response_status) == (State.SUCCEEDED, 1, 200)
        assert delivery.response_body == "thanks"
        assert delivery.duration
    endpoint.refresh_from_db()
    assert endpoint.claim is None


def test_only_those_who_listen_are_told(environment: Environment, receiver: Receiver) -> None:
    new_endpoint(environment, receiver.url, "customer.deleted")
    new_endpoint(EnvironmentFactory.create(), receiver.url)
    disabled = new_endpoint(environment, receiver.url)
    update_endpoint(endpoint=disabled, disabled=True)
    closed = new_endpoint(environment, receiver.url)
    delete_endpoint(endpoint=closed, now=timezone.now())
    new_event(environment, "created")
    new_event(environment, "deleted", Kind.CUSTOMER_DELETED)
    new_endpoint(environment, receiver.url)

    send_all(clock=timezone.now)

    assert names(receiver) == ["deleted"]


def test_a_failure_holds_later_events_and_order_is_kept(
    environment: Environment, receiver: Receiver, clock: Clock
) -> None:
    endpoint = new_endpoint(environment, receiver.url)
    for name in "abc":
        new_event(environment, name)
    receiver.answer = lambda _: 500

    assert send(endpoint, clock) == 1
    assert send(endpoint, clock) == 0
    clock.now += sending.DELAYS[0] - SECOND
    assert not WebhookEndpoint.objects.due(clock()).exists()
    clock.now += SECOND
    assert WebhookEndpoint.objects.due(clock()).get() == endpoint
    assert send(endpoint, clock) == 1
    assert names(receiver) == ["a", "a"]

    receiver.answer = lambda _: 200
    clock.now += sending.DELAYS[1]
    assert send(endpoint, clock) == 3
    assert names(receiver) == ["a", "a", "a", "b", "c"]
    endpoint.refresh_from_db()
    assert (endpoint.failing_since, endpoint.resumes_at) == (None, None)


def test_one_event_that_is_never_taken_steps_aside_after_an_hour(
    environment: Environment, receiver: Receiver, clock: Clock
) -> None:
    endpoint = new_endpoint(environment, receiver.url)
    poison = new_event(environment, "poison")
    new_event(environment, "good")
    receiver.answer = lambda message: 500 if name_of(message) == "poison" else 200
    began = clock.now

    while "good" not in names(receiver):
        send(endpoint, clock)
        endpoint.refresh_from_db()
        clock.now = endpoint.resumes_at or clock.now
    assert names(receiver).count("poison") == HOLDING_ATTEMPTS
    assert clock.now - began < 1.5 * HOUR

    new_event(environment, "later")
    assert send(endpoint, clock) == 1
    delivery = Delivery.objects.get(event=poison)
    clock.now = delivery.due_at
    assert send(endpoint, clock) == 1
    assert names(receiver)[-1] == "poison"
    endpoint.refresh_from_db()
    assert endpoint.status == "enabled"


def test_after_three_days_it_is_given_up_and_the_endpoint_disabled(
    environment: Environment, receiver: Receiver, clock: Clock
) -> None:
    endpoint = new_endpoint(environment, receiver.url)
    event = new_event(environment, "lost")
    receiver.answer = lambda _: 503
    began = clock.now

    delivery = Delivery.objects.get(event=event)
    while delivery.state == State.PENDING:
        clock.now = max(clock.now, delivery.due_at)
        assert send(endpoint, clock) == 1
        delivery.refresh_from_db()

    assert delivery.state == State.FAILED
    assert 2 * DAY < clock.now - began <= 3 * DAY
    assert 10 < delivery.attempts < 20
    endpoint.refresh_from_db()
    assert endpoint.status == "disabled"
    assert "3 days" in endpoint.disabled_because
    new_event(environment, "unheard")
    assert Delivery.objects.filter(endpoint=endpoint).count() == 1


def test_an_event_that_fails_alone_does_not_disable_its_endpoint(
    environment: Environment, receiver: Receiver, clock: Clock
) -> None:
    endpoint = new_endpoint(environment, receiver.url)
    event = new_event(environment, "poison")
    receiver.answer = lambda message: 500 if name_of(message) == "poison" else 200
    delivery = Delivery.objects.get(event=event)
    while delivery.state == State.PENDING:
        clock.now = max(clock.now, delivery.due_at)
        send(endpoint, clock)
        delivery.refresh_from_db()
        if delivery.attempts == HOLDING_ATTEMPTS + 2:
            new_event(environment, "good")
            send(endpoint, clock)

    endpoint.refresh_from_db()
    assert (delivery.state, endpoint.status) == (State.FAILED, "enabled")


def send_and_leave() -> None:
    send_all(clock=timezone.now)
    connection.close()


def test_a_stuck_endpoint_delays_no_other(environment: Environment, receiver: Receiver) -> None:
    released = threading.Event()
    with receiving() as stuck:

        def keep_waiting(_: Message) -> int:
            released.wait(10)
            return 200

        stuck.answer = keep_waiting
        new_endpoint(environment, stuck.url)
        new_endpoint(environment, receiver.url)
        new_event(environment, "first")
        sender = threading.Thread(target=send_and_leave)
        sender.start()
        until = time.monotonic() + 8
        while "first" not in names(receiver) and time.monotonic() < until:
            time.sleep(0.02)
        # What happens while one is stuck gets out as well.
        new_event(environment, "second")
        while "second" not in names(receiver) and time.monotonic() < until:
            time.sleep(0.02)
        assert names(stuck) == ["first"]
        released.set()
        sender.join(10)
    assert names(receiver) == ["first", "second"]
    assert not sender.is_alive()


def test_two_senders_at_once_send_nothing_twice(environment: Environment, receiver: Receiver) -> None:
    endpoint = new_endpoint(environment, receiver.url)
    for number in range(20):
        new_event(environment, f"{number:02}")

    def work() -> None:
        send_to_endpoint(endpoint_id=endpoint.pk, clock=timezone.now)
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert names(receiver) == [f"{number:02}" for number in range(20)]


def test_whoever_dies_at_work_is_relieved(
    environment: Environment, receiver: Receiver, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = new_endpoint(environment, receiver.url)
    new_event(environment, "once")

    def die(*_: object, **__: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(sending, "_note", die)
        with pytest.raises(SystemExit):
            send(endpoint, clock)
    assert send(endpoint, clock) == 0
    assert not WebhookEndpoint.objects.due(clock()).exists()

    clock.now += sending.LEASE
    assert WebhookEndpoint.objects.due(clock()).exists()
    assert send(endpoint, clock) == 1
    # Twice, since nobody knows whether the first one arrived.
    assert names(receiver) == ["once", "once"]


def test_an_event_is_sent_once_more_out_of_turn(environment: Environment, receiver: Receiver, clock: Clock) -> None:
    endpoint = new_endpoint(environment, receiver.url)
    first = new_event(environment, "first")
    send(endpoint, clock)
    receiver.answer = lambda _: 500
    new_event(environment, "second")
    send(endpoint, clock)
    receiver.answer = lambda _: 200

    resend_event(event=first, endpoint=endpoint, now=clock())
    assert send(endpoint, clock) == 1

    assert names(receiver) == ["first", "second", "first"]
    delivery = Delivery.objects.get(event=first)
    assert (delivery.state, delivery.attempts) == (State.SUCCEEDED, 1)


def test_a_disabled_endpoint_waits_and_goes_on_when_it_is_enabled(
    environment: Environment, receiver: Receiver, clock: Clock
) -> None:
    endpoint = new_endpoint(environment, receiver.url)
    new_event(environment, "before")
    update_endpoint(endpoint=endpoint, disabled=True)
    assert send(endpoint, clock) == 0
    new_event(environment, "meanwhile")
    update_endpoint(endpoint=endpoint, disabled=False)
    new_event(environment, "after")

    send(endpoint, clock)

    assert names(receiver) == ["before", "after"]


def test_while_a_secret_is_rolled_both_sign(environment: Environment, receiver: Receiver, clock: Clock) -> None:
    endpoint = new_endpoint(environment, receiver.url)
    rolled = roll_secret(endpoint=endpoint, now=clock())
    assert rolled.secret != endpoint.secret
    signatures = []
    for pause in (timedelta(0), 23 * HOUR, HOUR):
        clock.now += pause
        new_event(environment, "x")
        send(endpoint, clock)
        signatures.append(receiver.messages[-1].headers["Stripe-Signature"].count("v1="))

    assert signatures == [2, 2, 1]


def test_a_name_that_leads_inside_is_not_called(
    environment: Environment, receiver: Receiver, clock: Clock, settings: Any
) -> None:
    endpoint = create_endpoint(environment=environment, url=receiver.url, enabled_events=["*"], now=timezone.now())
    event = new_event(environment, "secret")
    settings.WEBHOOKS_ALLOW_PRIVATE = False

    assert send(endpoint, clock) == 1

    assert receiver.messages == []
    delivery = Delivery.objects.get(event=event)
    assert (delivery.state, delivery.response_status) == (State.PENDING, None)
    assert "public addresses" in delivery.error
