"""Reports: a customer, a value and a key become one event of their meter, whatever its payload keys are called."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from threading import Barrier
from typing import Any

import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import Customer
from accounts.tests.factories import NOW, CustomerFactory, EnvironmentFactory, TestClockFactory
from core.errors import BillingError, NotFound
from core.ids import spell
from meters.models import Formula, Meter
from meters.services import deactivate_meter, reactivate_meter
from meters.tests.factories import MeterFactory
from usage import errors
from usage.events import AcceptedEvent, number_text
from usage.models import EventClaim, EventRejection, MeterEvent
from usage.services import Report, prune_retry_keys, report_usage
from usage.tests.factories import accepted, draft

CALLS = "calls"


@pytest.fixture
def meter(db: None) -> Meter:
    return MeterFactory.create(event_name=CALLS, customer_key="who", value_key="n", dimension_keys=["model"])


@pytest.fixture
def customer(meter: Meter) -> Customer:
    return CustomerFactory.create(environment=meter.environment)


def send(meter: Meter, customer: Customer | str, /, **fields: Any) -> AcceptedEvent:
    name = customer if isinstance(customer, str) else str(customer.pk)
    report = Report(**{"key": "k", "customer": name, "value": Decimal(1), "meter_name": CALLS, **fields})
    return report_usage(environment=meter.environment, report=report, now=NOW)


def stored() -> tuple[int, int, int]:
    return MeterEvent.objects.count(), EventClaim.objects.count(), EventRejection.objects.count()


def test_a_report_becomes_an_event_under_the_meters_own_payload_keys(meter: Meter, customer: Customer) -> None:
    answer = send(meter, customer, value=Decimal("2.50"), dimensions={"model": "m", "region": "eu"})

    event = MeterEvent.objects.get()
    assert event.payload == {"who": spell("cus", customer.pk), "n": "2.5", "model": "m", "region": "eu"}
    assert (event.meter, event.customer, event.value, event.timestamp) == (meter, customer, Decimal("2.50"), NOW)
    assert event.dimensions == {"model": "m"}
    assert event.identifier == answer.identifier == str(answer.event_id)


def test_a_meter_goes_by_its_id_in_either_spelling_and_by_its_name(meter: Meter, customer: Customer) -> None:
    spelled, plain = spell("mtr", meter.pk), str(meter.pk)

    send(meter, spell("cus", customer.pk), key="1", meter_name="", meter_id=plain)
    send(meter, str(customer.pk).upper(), key="2", meter_name="", meter_id=spelled)
    send(meter, customer, key="3", meter_id=plain)
    send(meter, customer, key="4")

    assert set(MeterEvent.objects.values_list("meter", "customer")) == {(meter.pk, customer.pk)}
    assert MeterEvent.objects.count() == 4


@pytest.mark.parametrize(
    ("fields", "refusal"),
    [
        ({"meter_name": ""}, errors.MeterNotNamed),
        ({"meter_name": "nothing"}, NotFound),
        ({"meter_name": "a\0b"}, NotFound),
        ({"meter_name": "", "meter_id": "mtr_nothing"}, NotFound),
        ({"meter_name": CALLS, "meter_id": "019392f0-0000-7000-8000-000000000000"}, NotFound),
        ({"value": Decimal("0.1234567890123456")}, errors.ValueTooPrecise),
        ({"value": Decimal("1e100")}, errors.PayloadTextTooLong),
        ({"value": Decimal("1e999999")}, errors.PayloadTextTooLong),
        ({"dimensions": {"who": "x"}}, errors.DimensionReserved),
        ({"dimensions": {"n": "5"}}, errors.DimensionReserved),
        ({"dimensions": {"model": "x" * 101}}, errors.PayloadTextTooLong),
        ({"dimensions": {"mo\0del": "x"}}, errors.TextNotStorable),
        ({"customer": "cus_nobody"}, errors.CustomerUnknown),
        ({"customer": "x" * 1000}, errors.CustomerUnknown),
        ({"customer": "019392f0-0000-7000-8000-000000000000"}, errors.CustomerUnknown),
        ({"timestamp": NOW - timedelta(days=35, microseconds=1)}, errors.TimestampTooOld),
        ({"timestamp": NOW + timedelta(minutes=5, microseconds=1)}, errors.TimestampInFuture),
    ],
)
def test_a_refused_report_stores_nothing_and_does_not_use_up_its_key(
    meter: Meter, customer: Customer, fields: dict[str, Any], refusal: type[BillingError]
) -> None:
    with pytest.raises(refusal):
        send(meter, customer, **fields)
    assert stored() == (0, 0, 0)

    send(meter, customer)
    assert MeterEvent.objects.count() == 1


def test_an_id_and_a_name_of_two_meters_are_refused(meter: Meter, customer: Customer) -> None:
    other = MeterFactory.create(environment=meter.environment, event_name="other")

    with pytest.raises(errors.MeterNamedTwice):
        send(meter, customer, meter_id=str(other.pk))
    assert stored() == (0, 0, 0)


def test_a_key_counts_once_whatever_comes_under_it(meter: Meter, customer: Customer) -> None:
    send(meter, customer)
    before = stored()

    for fields in (
        {},
        {"value": Decimal(99)},
        {"timestamp": NOW - timedelta(days=99)},
        {"customer": "cus_nobody"},
        {"value": Decimal("0.1234567890123456")},
    ):
        with pytest.raises(errors.ReportKeyUsed):
            send(meter, customer, **fields)
    deactivate_meter(meter=meter, now=NOW)
    for fields in ({}, {"meter_id": str(meter.pk)}):
        with pytest.raises(errors.ReportKeyUsed):
            send(meter, customer, **fields)

    assert stored() == before


def test_a_key_is_kept_for_good_and_is_no_identifier_and_no_retry_key(meter: Meter, customer: Customer) -> None:
    send(meter, customer, key="same")
    accepted(environment_of=meter, drafts=[draft(meter, customer, identifier="same", retry_key="same")])
    prune_retry_keys(now=NOW + timedelta(days=4000))

    with pytest.raises(errors.ReportKeyUsed):
        send(meter, customer, key="same")
    assert MeterEvent.objects.count() == 2


def test_two_environments_may_use_one_key(meter: Meter, customer: Customer) -> None:
    other = MeterFactory.create(environment=EnvironmentFactory.create(), event_name=CALLS)

    send(meter, customer)
    send(other, CustomerFactory.create(environment=other.environment))

    assert MeterEvent.objects.count() == 2


def test_a_closed_meter_takes_nothing_and_leaves_its_successor_alone(meter: Meter, customer: Customer) -> None:
    deactivate_meter(meter=meter, now=NOW)
    with pytest.raises(errors.MeterClosed):
        send(meter, customer)
    successor = MeterFactory.create(environment=meter.environment, event_name=CALLS)

    with pytest.raises(errors.MeterClosed):
        send(meter, customer, meter_id=str(meter.pk))
    assert stored() == (0, 0, 0)

    send(meter, customer)
    assert MeterEvent.objects.get().meter == successor


def test_a_meter_that_was_reactivated_takes_reports_again(meter: Meter, customer: Customer) -> None:
    deactivate_meter(meter=meter, now=NOW)
    reactivate_meter(meter=meter, now=NOW)

    send(meter, customer, meter_id=str(meter.pk))
    assert MeterEvent.objects.count() == 1


def test_other_peoples_meters_and_customers_are_not_found(meter: Meter, customer: Customer) -> None:
    stranger = CustomerFactory.create(environment=EnvironmentFactory.create())
    foreign = MeterFactory.create(environment=stranger.environment, event_name="foreign")

    with pytest.raises(errors.CustomerUnknown):
        send(meter, stranger)
    for fields in ({"meter_name": "foreign"}, {"meter_name": "", "meter_id": str(foreign.pk)}):
        with pytest.raises(NotFound):
            send(meter, customer, **fields)
    assert stored() == (0, 0, 0)


def test_the_window_and_the_default_time_follow_the_customers_clock(meter: Meter) -> None:
    past = NOW - timedelta(days=400)
    clock = TestClockFactory.create(environment=meter.environment, frozen_at=past)
    customer = CustomerFactory.create(environment=meter.environment, test_clock=clock)

    assert send(meter, customer).timestamp == past
    with pytest.raises(errors.TimestampInFuture):
        send(meter, customer, key="other", timestamp=NOW)


@pytest.mark.parametrize(
    ("formula", "value", "unique_value"), [(Formula.COUNT, None, None), (Formula.UNIQUE_COUNT, None, "2.5")]
)
def test_meters_that_do_not_add_take_a_value_all_the_same(
    db: None, formula: str, value: Decimal | None, unique_value: str | None
) -> None:
    meter = MeterFactory.create(event_name=CALLS, formula=formula)
    send(meter, CustomerFactory.create(environment=meter.environment), value=Decimal("2.50"))

    event = MeterEvent.objects.get()
    assert (event.value, event.unique_value) == (value, unique_value)


@pytest.mark.django_db(transaction=True)
def test_given_the_same_key_from_eight_reporters_at_once_then_one_is_stored() -> None:
    meter = MeterFactory.create(event_name=CALLS)
    customer = CustomerFactory.create(environment=meter.environment)
    barrier = Barrier(8)

    def work(value: int) -> bool:
        try:
            barrier.wait(30)
            send(meter, customer, value=Decimal(value))
        except errors.ReportKeyUsed:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(work, range(1, 9)))

    assert sum(outcomes) == 1
    assert MeterEvent.objects.get().value == outcomes.index(True) + 1


@given(value=st.decimals(allow_nan=False, allow_infinity=False))
def test_a_number_keeps_its_value_or_is_refused(value: Decimal) -> None:
    try:
        text = number_text(value, "n")
    except errors.PayloadTextTooLong:
        assert len(f"{value:f}".lstrip("-")) > 99 or len(str(value)) > 200
    else:
        assert Decimal(text) == value
        assert "e" not in text.lower()
        assert len(text) <= 100
