"""Writes of the meters."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypedDict, Unpack

from django.db import transaction

from accounts.models import Environment
from core.db import refusing
from core.errors import NotFound
from meters import known
from meters.errors import CurrencyDecimalsInvalid, EventNameTaken, EventNameUsed
from meters.models import Currency, Formula, LatePolicy, Meter, Status
from webhooks.kinds import Kind
from webhooks.services import record, take_snapshots


class MeterWords(TypedDict, total=False):
    """What is said of a meter and may change. None of it touches what it counts."""

    display_name: str
    unit: str
    description: str
    metadata: Mapping[str, Any]


def create_currency(
    *,
    environment: Environment,
    name: str,
    symbol: str,
    now: datetime,
    decimals: int = 0,
    description: str = "",
    metadata: Mapping[str, Any] | None = None,
) -> Currency:
    """Make a unit of the company's own.

    :param decimals: how many places its amounts have, for good
    :raises CurrencyDecimalsInvalid: if there are more than an amount can have
    """
    if not 0 <= decimals <= Currency.MOST_DECIMALS:
        raise CurrencyDecimalsInvalid(Currency.MOST_DECIMALS)
    return Currency.objects.create(
        environment=environment,
        name=name,
        symbol=symbol,
        decimals=decimals,
        description=description,
        metadata=dict(metadata or {}),
        created_at=now,
        updated_at=now,
    )


class CurrencyWords(TypedDict, total=False):
    name: str
    symbol: str
    description: str
    metadata: Mapping[str, Any]


@transaction.atomic
def update_currency(*, currency: Currency, now: datetime, **words: Unpack[CurrencyWords]) -> Currency:
    """Change what is said of a currency. How many decimals it has never changes: amounts are kept in them."""
    currency = Currency.objects.select_for_update(no_key=True).get(pk=currency.pk)
    for name, value in words.items():
        setattr(currency, name, value)
    currency.updated_at = now
    currency.save(update_fields=[*words, "updated_at"])
    return currency


@transaction.atomic
def create_paid_meter(
    *,
    environment: Environment,
    event_name: str,
    now: datetime,
    currency: Currency | None = None,
    decimals: int = 0,
    **words: Unpack[MeterWords],
) -> Meter:
    """Open a meter whose events are summed up and paid in a currency of the company's own, by credit.

    :param currency: None makes one for the meter alone, of its name and unit
    :param decimals: of a currency that is made
    :raises EventNameUsed: if any meter of the environment, active or not, has that name
    :raises NotFound: if the currency is not the environment's
    :raises CurrencyDecimalsInvalid: if there are more than an amount can have
    """
    if Meter.objects.of(environment).filter(event_name=event_name).exists():
        raise EventNameUsed(event_name)
    if currency is None:
        name, symbol = words["display_name"], words["unit"]
        currency = create_currency(environment=environment, name=name, symbol=symbol, decimals=decimals, now=now)
    elif currency.environment_id != environment.pk:
        raise NotFound("currency", str(currency.pk))
    return create_meter(
        environment=environment, event_name=event_name, formula=Formula.SUM, currency=currency, now=now, **words
    )


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
    currency: Currency | None = None,
    unit: str = "",
    description: str = "",
    metadata: Mapping[str, Any] | None = None,
) -> Meter:
    """Open a meter for one event name.

    :param formula: a value of ``Formula``
    :param event_time_window: a value of ``EventTimeWindow``, or empty to count every event
    :param late_policy: a value of ``LatePolicy``
    :param currency: what its events are paid in, by credit; None if they are only counted
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
        currency=currency,
        unit=unit,
        description=description,
        metadata=dict(metadata or {}),
        created_at=now,
        updated_at=now,
    )
    with refusing({"meter_one_active_per_event_name": EventNameTaken(event_name)}):
        meter.save(force_insert=True)
    _announce(meter)
    record(Kind.METER_CREATED, rows=[meter], now=now)
    return meter


@transaction.atomic
def update_meter(*, meter: Meter, now: datetime, **words: Unpack[MeterWords]) -> Meter:
    """Change what is said of a meter: what is given, as a whole. What it counts never changes."""
    meter = _locked(meter)
    before = take_snapshots([meter])
    for name, value in words.items():
        setattr(meter, name, value)
    meter.updated_at = now
    meter.save(update_fields=[*words, "updated_at"])
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
        with refusing({"meter_one_active_per_event_name": EventNameTaken(meter.event_name)}):
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
