"""Writes of the meters."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from django.db import IntegrityError, transaction

from accounts.models import Environment
from core.db import violates
from meters import known
from meters.errors import EventNameTaken
from meters.models import LatePolicy, Meter, Status
from webhooks.kinds import Kind
from webhooks.services import record, take_snapshots


@transaction.atomic
def create_meter(
    *,
    environment: Environment,
    display_name: str,
    event_name: str,
    formula: str,
    now: datetime,
    customer_key: str = "stripe_customer_id",
    value_key: str = "value",
    event_time_window: str = "",
    dimension_keys: Sequence[str] = (),
    late_policy: str = LatePolicy.BILL_NEXT,
) -> Meter:
    """Open a meter for one event name.

    :param formula: a value of ``Formula``
    :param event_time_window: a value of ``EventTimeWindow``, or empty to count every event
    :param late_policy: a value of ``LatePolicy``
    :raises EventNameTaken: if an active meter of the environment already counts ``event_name``
    """
    meter = Meter(
        environment=environment,
        display_name=display_name,
        event_name=event_name,
        formula=formula,
        customer_key=customer_key,
        value_key=value_key,
        event_time_window=event_time_window,
        dimension_keys=list(dimension_keys),
        late_policy=late_policy,
        created_at=now,
        updated_at=now,
    )
    with _name_kept_single(event_name):
        meter.save(force_insert=True)
    _announce(meter)
    record(Kind.METER_CREATED, rows=[meter], now=now)
    return meter


@transaction.atomic
def update_meter(*, meter: Meter, display_name: str, now: datetime) -> Meter:
    """Give a meter another name for people. What it counts never changes."""
    meter = _locked(meter)
    before = take_snapshots([meter])
    meter.display_name = display_name
    meter.updated_at = now
    meter.save(update_fields=["display_name", "updated_at"])
    record(Kind.METER_UPDATED, rows=[meter], now=now, before=before)
    return meter


@transaction.atomic
def set_late_policy(*, meter: Meter, late_policy: str, now: datetime) -> Meter:
    """Say whether usage that comes after its period's invoice was final is billed with the next one, or only reported.

    It holds from now on, for late usage that is on no final invoice yet, whenever that was reported. What was billed
    stays billed.

    :param late_policy: a value of ``LatePolicy``
    """
    meter = _locked(meter)
    if meter.late_policy != late_policy:
        meter.late_policy = late_policy
        meter.updated_at = now
        meter.save(update_fields=["late_policy", "updated_at"])
    return meter


@transaction.atomic
def deactivate_meter(*, meter: Meter, now: datetime) -> Meter:
    """Take in no more events and no more prices; what was counted stays readable. Twice is as good as once."""
    meter = _locked(meter)
    if meter.status == Status.ACTIVE:
        meter.status = Status.INACTIVE
        meter.deactivated_at = meter.updated_at = now
        meter.save(update_fields=["status", "deactivated_at", "updated_at"])
        _announce(meter)
        record(Kind.METER_DEACTIVATED, rows=[meter], now=now)
    return meter


@transaction.atomic
def reactivate_meter(*, meter: Meter, now: datetime) -> Meter:
    """Take in events again. An active meter stays as it is.

    :raises EventNameTaken: if another active meter of the environment counts the event name by now
    """
    meter = _locked(meter)
    if meter.status == Status.INACTIVE:
        meter.status = Status.ACTIVE
        meter.deactivated_at = None
        meter.updated_at = now
        with _name_kept_single(meter.event_name):
            meter.save(update_fields=["status", "deactivated_at", "updated_at"])
        _announce(meter)
        record(Kind.METER_REACTIVATED, rows=[meter], now=now)
    return meter


def _announce(meter: Meter) -> None:
    """Let this process know at once that events of the name are taken now, or no more; others see within a second."""

    def forget() -> None:
        known.active_meters.forget((meter.environment_id, meter.event_name))
        known.meters_by_id.forget((meter.environment_id, meter.pk))

    transaction.on_commit(forget)


def _locked(meter: Meter) -> Meter:
    # no_key: making a price holds KEY SHARE on its meter, and must not wait for a change of label.
    return Meter.objects.select_for_update(no_key=True).get(pk=meter.pk)


@contextmanager
def _name_kept_single(event_name: str) -> Iterator[None]:
    try:
        with transaction.atomic():
            yield
    except IntegrityError as error:
        # Asking first would race; only the constraint sees both writers.
        if violates(error, "meter_one_active_per_event_name"):
            raise EventNameTaken(event_name) from error
        raise
