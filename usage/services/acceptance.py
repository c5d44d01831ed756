"""Taking events in: the one way to the event tables for every door and every importer.

Claim and event are written in one transaction, and only the claim's primary key decides what is a duplicate. So two
processes that report the same identifier at the same moment store one event, and an answered success is on disk.
"""

import enum
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from django.db import IntegrityError, connection, transaction

from accounts.models import Customer, Environment
from core.errors import BillingError
from meters.models import Meter
from usage import events
from usage.errors import (
    CustomerUnknown,
    EventExists,
    EventRefused,
    MeterClosed,
    NoActiveMeter,
    RetryKeyReused,
    WatermarkFromAnotherCluster,
)
from usage.events import AcceptedEvent, EventDraft, PreparedEvent
from usage.models import EventClaim, EventRejection, MeterEvent
from usage.rejections import rejection
from usage.services.partitions import ensure_partitions, month_of

Outcome = AcceptedEvent | BillingError
_IDENTIFIER = EventClaim.Namespace.IDENTIFIER
_RETRY_KEY = EventClaim.Namespace.RETRY_KEY
_CHECK_VIOLATION = "23514"


class UnknownCustomer(enum.Enum):
    """What becomes of an event whose customer does not exist."""

    REFUSE = "refuse"
    # Taken in and answered with success, then kept as a rejection for the error reports.
    REPORT = "report"


def accept_events(
    *,
    environment: Environment,
    drafts: Sequence[EventDraft],
    source: str,
    now: datetime,
    any_age: bool = False,
    unknown_customer: UnknownCustomer = UnknownCustomer.REFUSE,
) -> list[Outcome]:
    """Store each event that can be counted, once; a bad one fails alone.

    :param now: the wall's time; customers on a test clock are held to theirs
    :param any_age: let timestamps go back beyond 35 days, as an import may
    :returns: for each draft, in order, the event on disk or the refusal. A re-send under its retry key gets the
        first answer again, even if the meter was closed meanwhile.
    :raises WatermarkFromAnotherCluster: on a database restored from a dump, until it is made ready
    """
    outcomes: list[Outcome | None] = [None] * len(drafts)
    prepared: dict[int, PreparedEvent] = {}
    checks = _Checks(environment, drafts, now, any_age=any_age, unknown_customer=unknown_customer)
    for position, draft in enumerate(drafts):
        try:
            prepared[position] = checks.prepare(draft)
        except EventRefused as refusal:
            outcomes[position] = refusal

    claimed = _store(environment, list(prepared.values()), source, now) if prepared else set()
    for position, event in prepared.items():
        if event.event_id in claimed:
            outcomes[position] = event.accepted(now)
    # What is not stored now, refused or claimed before, may be the re-send of something accepted earlier.
    rest = {position: draft for position, draft in enumerate(drafts) if _may_be_re_send(draft, outcomes[position])}
    for position, answer in _answers_given_before(environment, rest).items():
        if outcomes[position] is None or not isinstance(answer, EventExists):
            outcomes[position] = answer
    # Left over: the claim in the way was pruned just now, so the event is new after all.
    again = [position for position, outcome in enumerate(outcomes) if outcome is None]
    if again:
        retried = accept_events(
            environment=environment,
            drafts=[drafts[position] for position in again],
            source=source,
            now=now,
            any_age=any_age,
            unknown_customer=unknown_customer,
        )
        for position, outcome in zip(again, retried, strict=True):
            outcomes[position] = outcome
    return [outcome for outcome in outcomes if outcome is not None]


def _may_be_re_send(draft: EventDraft, outcome: Outcome | None) -> bool:
    return outcome is None or (isinstance(outcome, EventRefused) and draft.retry_key is not None)


class _Checks:
    """The rules that every event is held against, with the meters and customers that a batch names read once."""

    def __init__(
        self,
        environment: Environment,
        drafts: Sequence[EventDraft],
        now: datetime,
        *,
        any_age: bool,
        unknown_customer: UnknownCustomer,
    ) -> None:
        self.now = now
        self.any_age = any_age
        self.unknown_customer = unknown_customer
        names = {draft.event_name for draft in drafts if events.is_storable(draft.event_name)}
        self.meters = {
            meter.event_name: meter for meter in Meter.objects.of(environment).active().filter(event_name__in=names)
        }
        missing = names - self.meters.keys()
        # Asked only where something is refused anyway.
        self.closed_names = (
            set(Meter.objects.of(environment).filter(event_name__in=missing).values_list("event_name", flat=True))
            if missing
            else set()
        )
        self.customers = self._customers(environment, drafts)

    def _customers(self, environment: Environment, drafts: Sequence[EventDraft]) -> dict[UUID, Customer]:
        wanted = set()
        for draft in drafts:
            meter = self.meters.get(draft.event_name)
            named = events.customer_id(draft.payload.get(meter.customer_key, "")) if meter else None
            if named:
                wanted.add(named)
        found = Customer.objects.of(environment).present().select_related("test_clock").filter(pk__in=wanted)
        return {customer.pk: customer for customer in found}

    def prepare(self, draft: EventDraft) -> PreparedEvent:
        """:raises EventRefused: with the first rule that the event breaks"""
        meter = self.meters.get(draft.event_name)
        if meter is None:
            raise (
                MeterClosed(draft.event_name)
                if draft.event_name in self.closed_names
                else NoActiveMeter(draft.event_name)
            )
        name = events.customer_text(meter, draft.payload)
        value = events.event_value(meter, draft.payload)
        unique_value = events.unique_value(meter, draft.payload)
        events.check_texts(draft)
        customer = self.customers.get(events.customer_id(name))  # type: ignore[arg-type]
        clock = customer.now(self.now) if customer else self.now
        timestamp = draft.timestamp or clock
        events.check_timestamp(timestamp, clock, any_age=self.any_age)
        if customer is None and self.unknown_customer is UnknownCustomer.REFUSE:
            raise CustomerUnknown(name)
        return PreparedEvent(draft, meter, customer.pk if customer else None, value, unique_value, timestamp)


def _store(environment: Environment, batch: list[PreparedEvent], source: str, now: datetime) -> set[UUID]:
    """Claim and write a batch in one transaction.

    :returns: the ids of the events that are on disk now; the others were claimed before
    """
    _make_partitions(batch)
    try:
        return _claim_and_insert(environment, batch, source, now)
    except IntegrityError as error:
        if getattr(error.__cause__, "sqlstate", None) != _CHECK_VIOLATION:
            raise
        # Retention has dropped a partition that this process remembers.
        _known_months.clear()
        _make_partitions(batch)
        return _claim_and_insert(environment, batch, source, now)


_known_months: set[datetime] = set()


def _make_partitions(batch: Iterable[PreparedEvent]) -> None:
    missing = {month_of(event.timestamp).start for event in batch if event.customer_id} - _known_months
    if missing:
        ensure_partitions(instants=missing)
        _known_months.update(missing)


@transaction.atomic
def _claim_and_insert(environment: Environment, batch: list[PreparedEvent], source: str, now: datetime) -> set[UUID]:
    claimed = _claim(environment, batch, now)
    stored = [event for event in batch if event.event_id in claimed]
    _insert_events([event for event in stored if event.customer_id], environment, source, now)
    EventRejection.objects.bulk_create(
        rejection(
            environment=environment,
            draft=event.draft,
            refusal=CustomerUnknown(event.draft.payload[event.meter.customer_key]),
            meter=event.meter,
            source=source,
            now=now,
            event_id=event.event_id,
            timestamp=event.timestamp,
        )
        for event in stored
        if not event.customer_id
    )
    return claimed


def _claim(environment: Environment, batch: Iterable[PreparedEvent], now: datetime) -> set[UUID]:
    """Insert the claims of a batch; an event is claimed when it got all of its own."""
    wanted: dict[UUID, int] = {}
    rows: list[tuple[int, str, UUID, datetime, bytes | None]] = []
    for event in batch:
        rows.append((_IDENTIFIER, event.identifier, event.event_id, event.timestamp, None))
        wanted[event.event_id] = 1
        if event.draft.retry_key:
            rows.append((_RETRY_KEY, event.draft.retry_key, event.event_id, event.timestamp, event.draft.fingerprint))
            wanted[event.event_id] = 2
    # One order for all processes: two batches with the same keys wait for each other instead of deadlocking.
    rows.sort(key=lambda row: row[:2])
    namespaces, identifiers, event_ids, timestamps, fingerprints = (list(column) for column in zip(*rows, strict=True))
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO usage_eventclaim
                (environment_id, namespace, identifier, event_id, event_timestamp, fingerprint, claimed_at)
            SELECT %s, claim.*, %s
              FROM unnest(%s::smallint[], %s::text[], %s::uuid[], %s::timestamptz[], %s::bytea[]) AS claim
            ON CONFLICT DO NOTHING
            RETURNING event_id
            """,
            [environment.pk, now, namespaces, identifiers, event_ids, timestamps, fingerprints],
        )
        for (event_id,) in cursor.fetchall():
            wanted[event_id] -= 1
    claimed = {event_id for event_id, missing in wanted.items() if not missing}
    # An event that got only one of two claims is not stored, so the one must be free for others again.
    half = [event_id for event_id, missing in wanted.items() if missing]
    if half and len(half) < len(rows):
        _release(environment, [(row[0], row[1], row[2]) for row in rows if row[2] in half])
    return claimed


def _release(environment: Environment, claims: list[tuple[int, str, UUID]]) -> None:
    namespaces, identifiers, event_ids = (list(column) for column in zip(*claims, strict=True))
    with connection.cursor() as cursor:
        cursor.execute(
            """
            DELETE FROM usage_eventclaim AS claim
             USING unnest(%s::smallint[], %s::text[], %s::uuid[]) AS mine (namespace, identifier, event_id)
             WHERE claim.environment_id = %s AND claim.namespace = mine.namespace
               AND claim.identifier = mine.identifier AND claim.event_id = mine.event_id
            """,
            [namespaces, identifiers, event_ids, environment.pk],
        )


def _insert_events(batch: list[PreparedEvent], environment: Environment, source: str, now: datetime) -> None:
    if not batch:
        return
    columns: list[list[Any]] = [
        [event.event_id for event in batch],
        [event.timestamp for event in batch],
        [event.meter.pk for event in batch],
        [event.customer_id for event in batch],
        [event.value for event in batch],
        [event.unique_value for event in batch],
        [event.identifier for event in batch],
        [_json(event.dimensions) for event in batch],
        [_json(event.draft.payload) for event in batch],
    ]
    with connection.cursor() as cursor:
        # The transaction's id is a value of this statement and no column default: a default would be evaluated on
        # whichever machine holds the shard. On a server that the ids on disk are not of, nothing is taken in.
        cursor.execute(
            """
            INSERT INTO usage_meterevent
                (environment_id, source, received_at, xid,
                 id, "timestamp", meter_id, customer_id, value, unique_value, identifier, dimensions, payload)
            SELECT %s, %s, %s,
                   pg_current_xact_id()::text::bigint
                     + coalesce((SELECT xid_offset FROM usage_watermark WHERE id = 1), 0),
                   event.*
              FROM unnest(%s::uuid[], %s::timestamptz[], %s::uuid[], %s::uuid[], %s::numeric[], %s::text[],
                          %s::text[], %s::jsonb[], %s::jsonb[]) AS event
             WHERE NOT EXISTS (SELECT 1 FROM usage_watermark
                                WHERE system_identifier <> (SELECT system_identifier FROM pg_control_system()))
            """,
            [environment.pk, source, now, *columns],
        )
        if cursor.rowcount != len(batch):
            raise WatermarkFromAnotherCluster


def _json(texts: Mapping[str, str]) -> str:
    return msgspec.json.encode(texts).decode()


def _answers_given_before(environment: Environment, missed: Mapping[int, EventDraft]) -> dict[int, Outcome]:
    """What to answer to events that were not stored, as far as a claim that stood already tells."""
    if not missed:
        return {}
    claims = {
        (claim.namespace, claim.identifier): claim
        for claim in EventClaim.objects.filter(
            environment=environment,
            namespace__in=[_IDENTIFIER, _RETRY_KEY],
            identifier__in={
                key
                for draft in missed.values()
                for key in (draft.identifier, draft.retry_key)
                if key and events.is_storable(key)
            },
        )
    }
    answers: dict[int, Outcome] = {}
    for position, draft in missed.items():
        retried = claims.get((_RETRY_KEY, draft.retry_key)) if draft.retry_key else None
        if retried is not None and draft.retry_key:
            same = retried.fingerprint is not None and bytes(retried.fingerprint) == draft.fingerprint
            answers[position] = _first_answer(environment, retried) if same else RetryKeyReused(draft.retry_key)
        elif draft.identifier and (_IDENTIFIER, draft.identifier) in claims:
            answers[position] = EventExists(draft.identifier)
    return answers


def _first_answer(environment: Environment, claim: EventClaim) -> Outcome:
    stored = (
        MeterEvent.objects.of(environment)
        .filter(pk=claim.event_id, timestamp=claim.event_timestamp)
        .select_related("meter")
        .first()
    )
    if stored is not None:
        name, row = stored.meter.event_name, stored
    else:
        # Retention drops no event as young as a retry key, so what is no event is a rejection.
        row = EventRejection.objects.get(environment=environment, pk=claim.event_id)  # type: ignore[assignment]
        name = row.event_name  # type: ignore[attr-defined]
    return AcceptedEvent(
        event_id=claim.event_id,
        event_name=name,
        identifier=row.identifier,
        payload=row.payload,
        timestamp=row.timestamp,
        received_at=row.received_at,
        replayed=True,
    )
