"""Messages go out: one endpoint at a time, its events in order, beside other processes that do the same.

Nobody holds a transaction while a stranger's server makes up its mind: an open one stalls the roll-up of usage.
So whoever is at work on an endpoint says so in its row, and until when; one that dies is relieved after that. An
endpoint may then get a message twice, but never none.
"""

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import connection, connections, transaction
from django.db.models import Min

from core.ids import new_id
from webhooks.addresses import read_url, resolve
from webhooks.errors import DestinationRefused, WebhookUrlInvalid
from webhooks.models import Delivery, WebhookEndpoint
from webhooks.posting import WHOLE_TIMEOUT, Answer, post
from webhooks.services.queueing import PATIENCE
from webhooks.snapshots import messenger

# After the first attempt, the second, and so on; the last one goes on for as long as there is patience.
DELAYS = tuple(timedelta(seconds=seconds) for seconds in (5, 30, 120, 300, 900, 1800, 3600, 7200, 14400, 28800, 43200))
# Longer than any message takes, so that nobody is relieved who is alive.
LEASE = timedelta(seconds=3 * WHOLE_TIMEOUT)
# After so many, others of this process' endpoints get their turn.
MOST_AT_ONCE = 50
State = Delivery.State

_THREADS = 16
_LASTING = timedelta(minutes=5)
# Seconds after which it is asked what has become due while others make us wait.
_LOOK_AGAIN = 0.5
# "tollhook" in ASCII, to be told from other users of the same lock space.
_LOCK = 0x746F6C6C686F6F6B

logger = logging.getLogger(__name__)


def send_all(*, clock: Callable[[], datetime], threads: int = _THREADS, lasting: timedelta = _LASTING) -> int:
    """Send every endpoint what it is due, many endpoints at once, until nothing is; one process at a time does so.

    An endpoint that does not answer keeps one thread waiting, and no other endpoint: what becomes due meanwhile is sent.

    :param clock: the wall's time, which passes meanwhile
    :param lasting: after that, no more is begun, and another process may go on
    :returns: how many messages were sent, well or not
    """
    sent = 0
    until = clock() + lasting
    with _alone() as alone, ThreadPoolExecutor(threads, thread_name_prefix="webhooks") as pool:
        busy: dict[UUID, Future[int]] = {}
        while alone:
            for endpoint_id in [endpoint_id for endpoint_id, work in busy.items() if work.done()]:
                sent += busy.pop(endpoint_id).result()
            now = clock()
            free = threads - len(busy) if now < until else 0
            due = WebhookEndpoint.objects.due(now).exclude(pk__in=busy).order_by("pk")
            for endpoint_id in due.values_list("pk", flat=True)[:free]:
                busy[endpoint_id] = pool.submit(_work_on, endpoint_id, clock)
            if not busy:
                break
            wait(busy.values(), timeout=_LOOK_AGAIN, return_when=FIRST_COMPLETED)
    return sent


def _work_on(endpoint_id: UUID, clock: Callable[[], datetime]) -> int:
    try:
        return send_to_endpoint(endpoint_id=endpoint_id, clock=clock)
    except Exception:
        # Whatever it is, it must not keep other endpoints from being sent to. The lease ends by itself.
        logger.exception("sending to webhook endpoint %s failed", endpoint_id)
        return 0
    finally:
        # The thread's own, which nobody else would close.
        connections.close_all()


@contextmanager
def _alone() -> Iterator[bool]:
    """Whether no other process sends; until the end, or until the connection is gone with its process."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [_LOCK])
        (alone,) = cursor.fetchone()
    try:
        yield bool(alone)
    finally:
        if alone:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])


def send_to_endpoint(*, endpoint_id: UUID, clock: Callable[[], datetime], most: int = MOST_AT_ONCE) -> int:
    """Send an endpoint what it is due, in order, until nothing is, one fails, or others shall have their turn.

    :param clock: the wall's time, which passes meanwhile
    :returns: how many messages were sent, well or not
    """
    claim = new_id()
    sent = 0
    while sent < most:
        delivery = _claim_next(endpoint_id, claim, clock())
        if delivery is None:
            return sent
        at = clock()
        answer = _send(delivery, at)
        _note(delivery, answer, claim, attempted_at=at, now=clock())
        sent += 1
    _release(endpoint_id, claim)
    return sent


@transaction.atomic
def _claim_next(endpoint_id: UUID, claim: UUID, now: datetime) -> Delivery | None:
    """The next message, with the endpoint claimed for as long as it may take; None if there is none to be sent by us."""
    endpoint = (
        WebhookEndpoint.objects.listening()
        .select_for_update(of=("self",), no_key=True)
        .select_related("environment")
        .filter(pk=endpoint_id)
        .first()
    )
    if endpoint is None or (endpoint.claim != claim and endpoint.claimed_until and now < endpoint.claimed_until):
        return None
    delivery = _next(endpoint, now)
    endpoint.claim, endpoint.claimed_until = (claim, now + LEASE) if delivery else (None, None)
    endpoint.save(update_fields=["claim", "claimed_until", "resumes_at"])
    return delivery


def _next(endpoint: WebhookEndpoint, now: datetime) -> Delivery | None:
    """What is sent next; if nothing can be, the endpoint notes when to look again."""
    pending = Delivery.objects.filter(endpoint=endpoint).pending().select_related("event__environment")
    endpoint.resumes_at = None
    head = pending.holding().order_by("event").first()
    if head is None or head.due_at > now:
        chosen = pending.aside().filter(due_at__lte=now).order_by("event").first()
    else:
        chosen = head
    if chosen is not None:
        chosen.endpoint = endpoint
    elif head is not None:
        earliest = pending.aside().aggregate(at=Min("due_at"))["at"]
        endpoint.resumes_at = min(head.due_at, earliest or head.due_at)
    return chosen


def _send(delivery: Delivery, at: datetime) -> Answer:
    endpoint, dialect = delivery.endpoint, messenger()
    allow_private = settings.WEBHOOKS_ALLOW_PRIVATE
    try:
        target = read_url(endpoint.url, must_be_secure=False, allow_private=allow_private)
        addresses = resolve(target, allow_private=allow_private)
    except (WebhookUrlInvalid, DestinationRefused) as error:
        return Answer(None, "", str(error), timedelta(0))
    body = dialect.body(delivery.event)
    return post(target, addresses, body=body, headers=dialect.headers(body, secrets=endpoint.secrets_at(at), at=at))


@transaction.atomic
def _note(delivery: Delivery, answer: Answer, claim: UUID, *, attempted_at: datetime, now: datetime) -> None:
    endpoint = WebhookEndpoint.objects.select_for_update(no_key=True).get(pk=delivery.endpoint_id)
    # Pruned meanwhile, given up with its endpoint, or sent by whoever relieved us: then there is nothing to be noted.
    current = Delivery.objects.select_for_update(no_key=True).filter(pk=delivery.pk).first()
    if current is None or current.state != State.PENDING or endpoint.claim != claim:
        return
    current.attempts += 1
    current.attempted_at, current.duration = attempted_at, answer.duration
    current.response_status, current.response_body, current.error = answer.status, answer.body, answer.error
    if answer.is_good:
        current.state = State.SUCCEEDED
        endpoint.failing_since = None
    else:
        _note_failure(current, endpoint, attempted_at, now)
    current.save()
    endpoint.save(update_fields=["failing_since", "status", "disabled_because"])


def _note_failure(delivery: Delivery, endpoint: WebhookEndpoint, attempted_at: datetime, now: datetime) -> None:
    delivery.due_at = now + DELAYS[min(delivery.attempts, len(DELAYS)) - 1]
    endpoint.failing_since = endpoint.failing_since or attempted_at
    if delivery.due_at > delivery.gives_up_at:
        delivery.state = State.FAILED
        if now - endpoint.failing_since >= PATIENCE - DELAYS[-1]:
            endpoint.status = WebhookEndpoint.Status.DISABLED
            days = PATIENCE.days
            endpoint.disabled_because = f"No message has got through for {days} days. Enable it again when it is back."


def _release(endpoint_id: UUID, claim: UUID) -> None:
    WebhookEndpoint.objects.filter(pk=endpoint_id, claim=claim).update(claim=None, claimed_until=None)
