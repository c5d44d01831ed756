"""Taking events in: what every door's and every importer's events are held against, and what their callers are answered.

An event that was answered with success is on disk (see :mod:`usage.services.storing`).
"""

import enum
from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

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
)
from usage.events import AcceptedEvent, EventDraft, PreparedEvent
from usage.models import EventClaim, EventRejection, MeterEvent
from usage.services.storing import store

Outcome = AcceptedEvent | BillingError
_IDENTIFIER = EventClaim.Namespace.IDENTIFIER
_RETRY_KEY = EventClaim.Namespace.RETRY_KEY
_REPORT_KEY = EventClaim.Namespace.REPORT_KEY


class UnknownCustomer(enum.Enum):
    """What becomes of an event whose customer does not exist."""

    REFUSE = "refuse"
    # Taken in and answered with success, then kept as a rejection for the error reports.
    REPORT = "report"


class Known:
    """The meters and customers that a batch names, each looked up once."""

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
) -> list[Outcome]:
    """Store each event that can be counted, once; a bad one fails alone.

    :param now: the wall's time; customers on a test clock are held to theirs
    :param any_age: let timestamps go back beyond 35 days, as an import may
    :returns: for each draft, in order, the event on disk or the refusal. A re-send under its retry key gets the
        first answer again, and one under its report key :class:`ReportKeyUsed`, even if the meter was closed meanwhile.
    :raises WatermarkFromAnotherCluster: on a database restored from a dump, until it is made ready
    """
    outcomes: list[Outcome | None] = [None] * len(drafts)
    prepared: dict[int, PreparedEvent] = {}
    checks = Checks(environment, drafts, now, any_age=any_age, unknown_customer=unknown_customer)
    for position, draft in enumerate(drafts):
        try:
            prepared[position] = checks.prepare(draft)
        except EventRefused as refusal:
            outcomes[position] = refusal

    missed = (
        store(environment=environment, batch=list(prepared.values()), source=source, now=now) if prepared else set()
    )
    for position, event in prepared.items():
        if event.event_id.int not in missed:
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


class Checks:
    """The rules that every event of a batch is held against."""

    def __init__(
        self,
        environment: Environment,
        drafts: Sequence[EventDraft],
        now: datetime,
        *,
        any_age: bool,
        unknown_customer: UnknownCustomer,
    ) -> None:
        known = Known(environment, drafts)
        self._known = known
        self._now = now
        self._any_age = any_age
        self._unknown_customer = unknown_customer
        missing = known.names - known.meters.keys()
        # Asked only where something is refused anyway.
        self._closed_names = (
            set(Meter.objects.of(environment).filter(event_name__in=missing).values_list("event_name", flat=True))
            if missing
            else set()
        )

    def prepare(self, draft: EventDraft) -> PreparedEvent:
        """:raises EventRefused: with the first rule that the event breaks"""
        meter = self._known.meters.get(draft.event_name)
        # The name of the meter that is meant may have gone to another one since it was closed.
        meant = draft.meter_id is None or (meter is not None and meter.pk == draft.meter_id)
        if meter is None or not meant:
            closed = not meant or draft.event_name in self._closed_names
            raise MeterClosed(draft.event_name) if closed else NoActiveMeter(draft.event_name)
        name = events.customer_text(meter, draft.payload)
        value = events.event_value(meter, draft.payload)
        unique_value = events.unique_value(meter, draft.payload)
        events.check_texts(draft)
        customer = self._known.customers.get(name)
        clock = customer.now(self._now) if customer else self._now
        timestamp = draft.timestamp or clock
        events.check_timestamp(timestamp, clock, any_age=self._any_age)
        if customer is None and self._unknown_customer is UnknownCustomer.REFUSE:
            raise CustomerUnknown(name)
        customer_id = self._known.customer_ids[name] if customer else None
        return PreparedEvent(draft, meter, customer_id, value, unique_value, timestamp)


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
