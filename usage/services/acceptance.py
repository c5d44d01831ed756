"""Taking events in: the one way to the event tables for every door and every importer.

Claim and event are written in one transaction, and only the claim's primary key decides what is a duplicate. So two
processes that report the same identifier at the same moment store one event, and an answered success is on disk.
"""

import enum
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import msgspec
from django.db import IntegrityError, connection, transaction

from accounts.known import KnownCustomer, customer_key, customers
from accounts.models import Environment
from core.errors import BillingError
from meters.known import active_meters
from meters.models import Meter
from usage import events
from usage.errors import (
    CustomerUnknown,
    EventExists,
    EventRefused,
    MeterClosed,
    NoActiveMeter,
    ReportKeyUsed,
    RetryKeyReused,
    WatermarkFromAnotherCluster,
)
from usage.events import AcceptedEvent, EventDraft, PreparedEvent
from usage.models import EventClaim, EventRejection, MeterEvent
from usage.rejections import rejection
from usage.services.partitions import ensure_partitions

Outcome = AcceptedEvent | BillingError
_IDENTIFIER = EventClaim.Namespace.IDENTIFIER
_RETRY_KEY = EventClaim.Namespace.RETRY_KEY
_REPORT_KEY = EventClaim.Namespace.REPORT_KEY
_CHECK_VIOLATION = "23514"
_ENCODER = msgspec.json.Encoder()


class UnknownCustomer(enum.Enum):
    """What becomes of an event whose customer does not exist."""

    REFUSE = "refuse"
    # Taken in and answered with success, then kept as a rejection for the error reports.
    REPORT = "report"


class Known:
    """The meters and customers that a batch names, each looked up once.

    A caller with a transaction of its own makes this before it begins: what is read within one is not remembered for
    the next batch (see :mod:`core.caches`).
    """

    def __init__(self, environment: Environment, drafts: Sequence[EventDraft]) -> None:
        self.names = {draft.event_name for draft in drafts if events.is_storable(draft.event_name)}
        found = active_meters.get_many([(environment.pk, name) for name in self.names])
        self.meters = {name: meter for (_, name), meter in found.items()}
        self.customer_ids = self._customer_ids(drafts)
        self.customers = self._customers(environment)

    def _customer_ids(self, drafts: Sequence[EventDraft]) -> dict[str, UUID | None]:
        """What the drafts call their customers, each read once."""
        ids: dict[str, UUID | None] = {}
        for draft in drafts:
            if meter := self.meters.get(draft.event_name):
                text = draft.payload.get(meter.customer_key, "")
                if text not in ids:
                    ids[text] = events.customer_id(text)
        return ids

    def _customers(self, environment: Environment) -> dict[str, KnownCustomer]:
        """Those who are there, by what the drafts call them."""
        keys = {text: customer_key(environment.pk, pk) for text, pk in self.customer_ids.items() if pk}
        found = customers.get_many(set(keys.values()))
        return {text: found[key] for text, key in keys.items() if key in found}


def accept_events(
    *,
    environment: Environment,
    drafts: Sequence[EventDraft],
    source: str,
    now: datetime,
    any_age: bool = False,
    unknown_customer: UnknownCustomer = UnknownCustomer.REFUSE,
    known: Known | None = None,
) -> list[Outcome]:
    """Store each event that can be counted, once; a bad one fails alone.

    :param now: the wall's time; customers on a test clock are held to theirs
    :param any_age: let timestamps go back beyond 35 days, as an import may
    :param known: what these drafts name, for callers with a transaction of their own
    :returns: for each draft, in order, the event on disk or the refusal. A re-send under its retry key gets the
        first answer again, and one under its report key :class:`ReportKeyUsed`, even if the meter was closed meanwhile.
    :raises WatermarkFromAnotherCluster: on a database restored from a dump, until it is made ready
    """
    outcomes: list[Outcome | None] = [None] * len(drafts)
    prepared: dict[int, PreparedEvent] = {}
    checks = _Checks(
        environment, known or Known(environment, drafts), now, any_age=any_age, unknown_customer=unknown_customer
    )
    for position, draft in enumerate(drafts):
        try:
            prepared[position] = checks.prepare(draft)
        except EventRefused as refusal:
            outcomes[position] = refusal

    claimed = _store(environment, list(prepared.values()), source, now) if prepared else set()
    for position, event in prepared.items():
        if event.event_id.int in claimed:
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
    has_key = draft.retry_key is not None or draft.report_key is not None
    return outcome is None or (isinstance(outcome, EventRefused) and has_key)


class _Checks:
    """The rules that every event of a batch is held against."""

    def __init__(
        self,
        environment: Environment,
        known: Known,
        now: datetime,
        *,
        any_age: bool,
        unknown_customer: UnknownCustomer,
    ) -> None:
        self.known = known
        self.now = now
        self.any_age = any_age
        self.unknown_customer = unknown_customer
        missing = known.names - known.meters.keys()
        # Asked only where something is refused anyway.
        self.closed_names = (
            set(Meter.objects.of(environment).filter(event_name__in=missing).values_list("event_name", flat=True))
            if missing
            else set()
        )

    def prepare(self, draft: EventDraft) -> PreparedEvent:
        """:raises EventRefused: with the first rule that the event breaks"""
        meter = self.known.meters.get(draft.event_name)
        # The name of the meter that is meant may have gone to another one since it was closed.
        meant = draft.meter_id is None or (meter is not None and meter.pk == draft.meter_id)
        if meter is None or not meant:
            closed = not meant or draft.event_name in self.closed_names
            raise MeterClosed(draft.event_name) if closed else NoActiveMeter(draft.event_name)
        name = events.customer_text(meter, draft.payload)
        value = events.event_value(meter, draft.payload)
        unique_value = events.unique_value(meter, draft.payload)
        events.check_texts(draft)
        customer = self.known.customers.get(name)
        clock = customer.now(self.now) if customer else self.now
        timestamp = draft.timestamp or clock
        events.check_timestamp(timestamp, clock, any_age=self.any_age)
        if customer is None and self.unknown_customer is UnknownCustomer.REFUSE:
            raise CustomerUnknown(name)
        customer_id = self.known.customer_ids[name] if customer else None
        return PreparedEvent(draft, meter, customer_id, value, unique_value, timestamp)


def _store(environment: Environment, batch: list[PreparedEvent], source: str, now: datetime) -> set[int]:
    """Claim and write a batch in one transaction.

    :returns: the ids, as numbers, of the events that are on disk now; the others were claimed before
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


# Year and month, in UTC.
_known_months: set[tuple[int, int]] = set()


def _make_partitions(batch: Iterable[PreparedEvent]) -> None:
    instants = (event.timestamp.astimezone(UTC) for event in batch if event.customer_id)
    missing = {(instant.year, instant.month) for instant in instants} - _known_months
    if missing:
        ensure_partitions(instants=[datetime(year, month, 1, tzinfo=UTC) for year, month in missing])
        _known_months.update(missing)


@transaction.atomic
def _claim_and_insert(environment: Environment, batch: list[PreparedEvent], source: str, now: datetime) -> set[int]:
    claimed = _claim(environment, batch, now)
    stored = [event for event in batch if event.event_id.int in claimed]
    _insert_events([event for event in stored if event.customer_id], environment, source, now)
    _insert_rejections([event for event in stored if not event.customer_id], environment, source, now)
    return claimed


class _ClaimRow(msgspec.Struct, gc=False):
    """A claim as the statements above read it; the fingerprint in PostgreSQL's hexadecimal."""

    namespace: int
    identifier: str
    event_id: UUID
    event_timestamp: datetime
    fingerprint: str | None = None
    request_id: UUID | None = None


class _EventRow(msgspec.Struct, gc=False):
    """An event as the statement above reads it."""

    id: UUID
    timestamp: datetime
    meter_id: UUID
    customer_id: UUID | None
    value: Decimal | None
    unique_value: str | None
    identifier: str
    dimensions: dict[str, str]
    payload: dict[str, str]


def _claim_key(row: _ClaimRow) -> tuple[int, str]:
    return row.namespace, row.identifier


def _insert_rejections(batch: list[PreparedEvent], environment: Environment, source: str, now: datetime) -> None:
    if not batch:
        return
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
        for event in batch
    )


def _rows(rows: Sequence[msgspec.Struct]) -> str:
    # One JSON text costs a seventh of what arrays of columns cost, which the driver writes value by value.
    return _ENCODER.encode(rows).decode()


def _claim(environment: Environment, batch: Iterable[PreparedEvent], now: datetime) -> set[int]:
    """Insert the claims of a batch; an event is claimed when it got all of its own."""
    wanted: dict[int, int] = {}
    rows: list[_ClaimRow] = []
    for event in batch:
        draft, event_id = event.draft, event.event_id
        rows.append(_ClaimRow(_IDENTIFIER, event.identifier, event_id, event.timestamp))
        wanted[event_id.int] = 1
        if draft.retry_key:
            fingerprint = None if draft.fingerprint is None else rf"\x{draft.fingerprint.hex()}"
            at = event.timestamp
            rows.append(_ClaimRow(_RETRY_KEY, draft.retry_key, event_id, at, fingerprint, draft.request_id))
            wanted[event_id.int] += 1
        if draft.report_key:
            rows.append(_ClaimRow(_REPORT_KEY, draft.report_key, event_id, event.timestamp))
            wanted[event_id.int] += 1
    # One order for all processes: two batches with the same keys wait for each other instead of deadlocking.
    rows.sort(key=_claim_key)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO usage_eventclaim
                (environment_id, claimed_at, namespace, identifier, event_id, event_timestamp, fingerprint, request_id)
            SELECT %s, %s, claim.*
              FROM json_to_recordset(%s) AS claim (namespace smallint, identifier text, event_id uuid,
                                                   event_timestamp timestamptz, fingerprint bytea, request_id uuid)
            ON CONFLICT DO NOTHING
            RETURNING event_id
            """,
            [environment.pk, now, _rows(rows)],
        )
        for (event_id,) in cursor.fetchall():
            wanted[event_id.int] -= 1
    missed = {event_id for event_id, missing in wanted.items() if missing}
    # An event that got only one of two claims is not stored, so the one must be free for others again.
    if missed and len(missed) < len(rows):
        _release(environment, [row for row in rows if row.event_id.int in missed])
    return wanted.keys() - missed


def _release(environment: Environment, claims: list[_ClaimRow]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            """
            DELETE FROM usage_eventclaim AS claim
             USING json_to_recordset(%s) AS mine (namespace smallint, identifier text, event_id uuid)
             WHERE claim.environment_id = %s AND claim.namespace = mine.namespace
               AND claim.identifier = mine.identifier AND claim.event_id = mine.event_id
            """,
            [_rows(claims), environment.pk],
        )


def _insert_events(batch: list[PreparedEvent], environment: Environment, source: str, now: datetime) -> None:
    if not batch:
        return
    rows = [
        _EventRow(
            event.event_id,
            event.timestamp,
            event.meter.pk,
            event.customer_id,
            event.value,
            event.unique_value,
            event.identifier,
            event.dimensions,
            dict(event.draft.payload),
        )
        for event in batch
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
              FROM json_to_recordset(%s) AS event
                   (id uuid, "timestamp" timestamptz, meter_id uuid, customer_id uuid, value numeric,
                    unique_value text, identifier text, dimensions jsonb, payload jsonb)
             WHERE NOT EXISTS (SELECT 1 FROM usage_watermark
                                WHERE system_identifier <> (SELECT system_identifier FROM pg_control_system()))
            """,
            [environment.pk, source, now, _rows(rows)],
        )
        if cursor.rowcount != len(batch):
            raise WatermarkFromAnotherCluster


def _answers_given_before(environment: Environment, missed: Mapping[int, EventDraft]) -> dict[int, Outcome]:
    """What to answer to events that were not stored, as far as a claim that stood already tells."""
    if not missed:
        return {}
    claims = {
        (claim.namespace, claim.identifier): claim
        for claim in EventClaim.objects.filter(
            environment=environment,
            namespace__in=[_IDENTIFIER, _RETRY_KEY, _REPORT_KEY],
            identifier__in={
                key
                for draft in missed.values()
                for key in (draft.identifier, draft.retry_key, draft.report_key)
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
        elif draft.report_key and (_REPORT_KEY, draft.report_key) in claims:
            answers[position] = ReportKeyUsed(draft.report_key)
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
        first_request_id=claim.request_id,
    )
