"""Steady traffic that knows what it sent: for each customer, how many events were accepted and what they amount to."""

import http.client
import random
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass, field
from http import HTTPStatus
from uuid import uuid4

from benchmarks.client import Answer, Client, succeed
from benchmarks.instance import LIVE, Instance

BATCH = 100
# One batch in so many is sent twice, as clients do that lost an answer.
RESEND_ONE_IN = 50
# A session's token lives for fifteen minutes.
TOKEN_SECONDS = 600.0
RETRY_SECONDS = 0.1
PATIENCE = 60.0


@dataclass
class Ledger:
    """What was accepted, by customer.

    :param latencies: milliseconds of each answer that was a success at once
    """

    events: Counter[str] = field(default_factory=Counter)
    amounts: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    retries: Counter[str] = field(default_factory=Counter)

    def add(self, customer: str, amount: int) -> None:
        self.events[customer] += 1
        self.amounts[customer] += amount


class Traffic(threading.Thread, ABC):
    """One connection that keeps to a timetable until it is told to stop.

    :param rate: requests a second
    :param failure: why it ended before it was told to
    """

    def __init__(self, instance: Instance, rate: float, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.instance = instance
        self.ledger = Ledger()
        self.failure: Exception | None = None
        self._interval = 1.0 / rate
        self._stop_asked = stop
        # The generator of test data needs no secrets.
        self._random = random.Random(uuid4().int)  # noqa: S311

    def run(self) -> None:
        try:
            with self.instance.client() as client:
                self._keep_sending(client)
        except Exception as error:  # noqa: BLE001 (whoever waits for the thread raises it)
            self.failure = error

    def _keep_sending(self, client: Client) -> None:
        slot = time.monotonic() + self._random.random() * self._interval
        while not self._stop_asked.wait(max(0.0, slot - time.monotonic())):
            self.send_one(client)
            slot += self._interval

    @abstractmethod
    def send_one(self, client: Client) -> None:
        """Send one request, and again until it is known to have been taken."""

    def customer(self) -> str:
        return self._random.choice(self.instance.customers)

    def amount(self) -> int:
        return self._random.randint(1, 1000)

    def insist(self, client: Client, method: str, path: str, body: bytes, content_type: str, key: str | None) -> Answer:
        """Send until the server has decided: a refusal for being busy, a lost answer and a fault are tried again.

        :raises RuntimeError: if it is still undecided after a minute
        """
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            began = time.perf_counter()
            try:
                answer = client.send(method, path, body, content_type, key=key)
            except (OSError, http.client.HTTPException) as error:
                client.reconnect()
                self.ledger.retries[type(error).__name__] += 1
            else:
                if answer.status != HTTPStatus.TOO_MANY_REQUESTS and answer.status < HTTPStatus.INTERNAL_SERVER_ERROR:
                    self.ledger.latencies.append((time.perf_counter() - began) * 1000)
                    return answer
                self.ledger.retries[str(answer.status)] += 1
            time.sleep(RETRY_SECONDS)
        raise RuntimeError(f"no answer to {method} {path} within {PATIENCE} s")


class StreamTraffic(Traffic):
    """Batches of 100 events through the stream; some of them twice, which must change nothing."""

    _token = ""
    _token_until = 0.0

    def send_one(self, client: Client) -> None:
        events = [(self.customer(), self.amount(), uuid4()) for _ in range(BATCH)]
        lines = ",".join(
            f'{{"event_name":"{LIVE}","identifier":"{identifier}",'
            f'"payload":{{"stripe_customer_id":"{customer}","value":"{amount}"}}}}'
            for customer, amount, identifier in events
        )
        body = f'{{"events":[{lines}]}}'.encode()
        for _ in range(2 if self._random.randrange(RESEND_ONE_IN) == 0 else 1):
            token = self._session(client)
            succeed(self.insist(client, "POST", "/v2/billing/meter_event_stream", body, "application/json", token))
        for customer, amount, _ in events:
            self.ledger.add(customer, amount)

    def _session(self, client: Client) -> str:
        if time.monotonic() >= self._token_until:
            session = succeed(client.send("POST", "/v2/billing/meter_event_session", b"{}", "application/json"))
            self._token, self._token_until = session["authentication_token"], time.monotonic() + TOKEN_SECONDS
        return self._token


class SingleTraffic(Traffic):
    """Events one by one through the first version of the API."""

    def send_one(self, client: Client) -> None:
        customer, amount, identifier = self.customer(), self.amount(), uuid4()
        body = (
            f"event_name={LIVE}&payload[stripe_customer_id]={customer}&payload[value]={amount}&identifier={identifier}"
        ).encode()
        form = "application/x-www-form-urlencoded"
        answer = self.insist(client, "POST", "/v1/billing/meter_events", body, form, None)
        # A try whose answer was lost has been taken.
        if answer.status != HTTPStatus.OK and "already exists" not in str(answer.body):
            raise RuntimeError(f"answered {answer.status}: {answer.body}")
        self.ledger.add(customer, amount)


class ReadTraffic(Traffic):
    """One customer's month by day, another customer each time."""

    def __init__(self, instance: Instance, rate: float, stop: threading.Event, path: str) -> None:
        super().__init__(instance, rate, stop)
        self._path = path

    def send_one(self, client: Client) -> None:
        path = f"{self._path}&customer={self.customer()}"
        succeed(self.insist(client, "GET", path, b"", "application/x-www-form-urlencoded", None))
