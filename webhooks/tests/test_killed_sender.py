"""A process is killed while a stranger's server makes up its mind: what it was sending is sent again, in its turn."""

import json
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.tests.factories import EnvironmentFactory
from core.tests.processes import manage
from webhooks.models import Delivery
from webhooks.services import send_all
from webhooks.services.sending import LEASE
from webhooks.tests.factories import Clock, new_endpoint, new_event
from webhooks.tests.receiver import Message, receiving

SEND = "from django.utils import timezone; from webhooks.services import send_all; send_all(clock=timezone.now)"


def name_of(message: Message) -> str:
    return str(json.loads(message.body)["data"]["object"]["name"])


def until(condition: Callable[[], bool], sender: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        assert sender.poll() in (None, -signal.SIGKILL), sender.communicate()[0]
        time.sleep(0.01)


@pytest.mark.django_db(transaction=True)
def test_given_a_sender_is_killed_in_mid_delivery_then_the_event_comes_again_and_order_is_kept(settings: Any) -> None:
    settings.WEBHOOKS_ALLOW_PRIVATE = True
    environment = EnvironmentFactory.create()
    thinking = threading.Event()

    def answer(message: Message) -> int:
        if name_of(message) == "b" and not thinking.is_set():
            thinking.wait(60)
        return 200

    with receiving() as slow, receiving() as other:
        slow.answer = answer
        endpoint = new_endpoint(environment, slow.url)
        quick = new_endpoint(environment, other.url)
        for name in "abcd":
            new_event(environment, name)
        sender = manage("shell", "-c", SEND, WEBHOOKS_ALLOW_PRIVATE="true")
        try:
            sent = Delivery.objects.filter(endpoint=quick, state=Delivery.State.SUCCEEDED)
            until(lambda: len(slow.messages) == 2 and sent.count() == 4, sender)
        finally:
            sender.send_signal(signal.SIGKILL)
            sender.communicate()
        thinking.set()
        killed_at = timezone.now()

        # Nobody else sends to it yet: whoever was at it might be alive.
        assert send_all(clock=timezone.now) == 0
        relieved = Clock(killed_at + LEASE + timedelta(seconds=1))
        until(lambda: send_all(clock=relieved) > 0, sender)

        assert [name_of(message) for message in slow.messages] == ["a", "b", "b", "c", "d"]
        # Both times the same, by its id and its words, so that whoever got both can tell. Meanwhile the other endpoint
        # may have got it: what is still to be delivered is said as it is.
        first, again = (json.loads(message.body) for message in slow.messages if name_of(message) == "b")
        assert first.pop("pending_webhooks") in {1, 2}
        assert again.pop("pending_webhooks") == 1
        assert first == again
        assert [name_of(message) for message in other.messages] == list("abcd")
        noted = Delivery.objects.filter(endpoint=endpoint).order_by("event")
        assert [(one.state, one.attempts) for one in noted] == [("succeeded", 1)] * 4
