"""Taking events in: each counts once, each refusal changes nothing."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection

from accounts.models import Customer
from accounts.tests.factories import NOW, CustomerFactory, EnvironmentFactory, TestClockFactory
from core.errors import BillingError
from meters.models import Formula, Meter, Status
from meters.tests.factories import MeterFactory
from usage import errors
from usage.events import AcceptedEvent, EventDraft
from usage.models import EventClaim, EventRejection, MeterEvent, Source
from usage.services import UnknownCustomer, accept_events, prune_retry_keys
from usage.tests.factories import draft

MINUTE = timedelta(minutes=1)


@pytest.fixture
def meter(db: None) -> Meter:
    return MeterFactory.create()


@pytest.fixture
def customer(meter: Meter) -> Customer:
    return CustomerFactory.create(environment=meter.environment)


def accept(meter: Meter, *drafts: EventDraft, **options: object) -> list[AcceptedEvent | BillingError]:
    return accept_events(environment=meter.environment, drafts=drafts, source=Source.API, now=NOW, **options)  # type: ignore[arg-type]


def nothing_stored() -> bool:
    return not (MeterEvent.objects.exists() or EventClaim.objects.exists() or EventRejection.objects.exists())


def test_given_a_good_event_when_accepted_then_row_and_answer_say_the_same(meter: Meter, customer: Customer) -> None:
    meter.dimension_keys = ["model"]
    meter.save()

    (answer,) = accept(
        meter,
        draft(meter, customer, "-2.50", identifier="a", timestamp=NOW - MINUTE, more={"model": "m1", "region": "eu"}),
    )

    assert isinstance(answer, AcceptedEvent)
    stored = MeterEvent.objects.get()
    assert (stored.meter, stored.customer, stored.value) == (meter, customer, Decimal("-2.50"))
    assert stored.timestamp == answer.timestamp == NOW - MINUTE
    assert stored.dimensions == {"model": "m1"}
    assert stored.payload == answer.payload
    assert (stored.identifier, answer.identifier, answer.replayed) == ("a", "a", False)


def test_given_no_identifier_and_no_timestamp_when_accepted_then_both_are_chosen(
    meter: Meter, customer: Customer
) -> None:
    first, second = accept(meter, draft(meter, customer), draft(meter, customer))

    assert isinstance(first, AcceptedEvent)
    assert isinstance(second, AcceptedEvent)
    assert first.identifier != second.identifier
    assert first.timestamp == NOW


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"value": None}, errors.ValueMissing),
        ({"value": ""}, errors.ValueMissing),
        ({"value": "ten"}, errors.ValueInvalid),
        ({"value": "1e"}, errors.ValueInvalid),
        ({"value": "1e100"}, errors.ValueInvalid),
        ({"value": "0x10"}, errors.ValueInvalid),
        ({"value": "NaN"}, errors.ValueInvalid),
        ({"value": "Infinity"}, errors.ValueInvalid),
        ({"value": "1_000"}, errors.ValueInvalid),
        ({"value": "\N{ARABIC-INDIC DIGIT ONE}"}, errors.ValueInvalid),
        ({"value": "1234567890123456"}, errors.ValueTooPrecise),
        ({"value": "0.1234567890123456"}, errors.ValueTooPrecise),
        ({"customer": ""}, errors.CustomerKeyMissing),
        ({"customer": "cus_nobody"}, errors.CustomerUnknown),
        ({"timestamp": NOW - timedelta(days=35, seconds=1)}, errors.TimestampTooOld),
        ({"timestamp": NOW + timedelta(minutes=5, seconds=1)}, errors.TimestampInFuture),
        ({"more": {"note": "x" * 101}}, errors.PayloadTextTooLong),
        ({"more": {"note": "a\0b"}}, errors.TextNotStorable),
        ({"more": {"note": "\ud800"}}, errors.TextNotStorable),
        ({"identifier": "a\0b"}, errors.TextNotStorable),
    ],
)
def test_given_a_bad_event_when_accepted_then_it_is_refused_and_nothing_is_stored(
    meter: Meter, customer: Customer, change: dict[str, object], refusal: type[BillingError]
) -> None:
    (answer,) = accept(meter, draft(meter, **{"customer": customer, "retry_key": "k", **change}))  # type: ignore[arg-type]

    assert type(answer) is refusal
    assert nothing_stored()


@pytest.mark.parametrize(
    "value",
    [
        "123456789012345",
        "0.000123456789012345",
        "007",
        "-1",
        "+1",
        ".5",
        "5.",
        "0",
        "1E-7",
        "2.5e+3",
        "1.500000000000000000",
    ],
)
def test_given_a_plain_decimal_when_accepted_then_its_digits_are_kept(
    meter: Meter, customer: Customer, value: str
) -> None:
    (answer,) = accept(meter, draft(meter, customer, value))

    assert isinstance(answer, AcceptedEvent)
    assert MeterEvent.objects.get().value == Decimal(value)


@pytest.mark.parametrize("edge", [NOW - timedelta(days=35), NOW + timedelta(minutes=5)])
def test_given_a_timestamp_on_the_edge_of_the_window_when_accepted_then_it_counts(
    meter: Meter, customer: Customer, edge: object
) -> None:
    (answer,) = accept(meter, draft(meter, customer, timestamp=edge))  # type: ignore[arg-type]

    assert isinstance(answer, AcceptedEvent)


def test_given_a_customer_on_a_test_clock_when_reporting_then_the_window_follows_the_clock(meter: Meter) -> None:
    years_ago = NOW - timedelta(days=1000)
    clock = TestClockFactory.create(environment=meter.environment, frozen_at=years_ago)
    bound = CustomerFactory.create(environment=meter.environment, test_clock=clock)

    then, now = accept(meter, draft(meter, bound), draft(meter, bound, timestamp=NOW))

    assert isinstance(then, AcceptedEvent)
    assert then.timestamp == years_ago
    assert isinstance(now, errors.TimestampInFuture)


def test_given_an_import_when_an_event_is_years_old_then_it_is_taken_back_to_2000(
    meter: Meter, customer: Customer
) -> None:
    old, ancient = accept(
        meter,
        draft(meter, customer, timestamp=NOW.replace(year=2001)),
        draft(meter, customer, timestamp=NOW.replace(year=1999)),
        any_age=True,
    )

    assert isinstance(old, AcceptedEvent)
    assert isinstance(ancient, errors.TimestampNotStorable)


def test_given_a_meter_that_counts_when_the_value_is_missing_then_the_event_is_taken(
    meter: Meter, customer: Customer
) -> None:
    Meter.objects.update(formula=Formula.COUNT)

    (answer,) = accept(meter, draft(meter, customer, None))

    assert isinstance(answer, AcceptedEvent)
    assert MeterEvent.objects.get().value is None


def test_given_an_inactive_or_foreign_meter_when_reporting_then_there_is_no_meter(
    meter: Meter, customer: Customer
) -> None:
    other = EnvironmentFactory.create()
    foreign = MeterFactory.create(environment=other)
    Meter.objects.filter(pk=meter.pk).update(status=Status.INACTIVE, deactivated_at=NOW)

    answers = accept(meter, draft(meter, customer), draft(foreign, customer))

    assert [type(answer) for answer in answers] == [errors.MeterClosed, errors.NoActiveMeter]
    assert nothing_stored()


def test_given_a_customer_of_another_environment_when_reporting_then_it_is_unknown(meter: Meter) -> None:
    (answer,) = accept(meter, draft(meter, CustomerFactory.create()))

    assert isinstance(answer, errors.CustomerUnknown)
    assert nothing_stored()


def test_given_unknown_customers_are_reported_when_one_comes_then_it_becomes_a_rejection(meter: Meter) -> None:
    sent = draft(meter, "cus_nobody", identifier="x", retry_key="k", fingerprint=b"f")

    (answer,) = accept(meter, sent, unknown_customer=UnknownCustomer.REPORT)
    (again,) = accept(meter, sent, unknown_customer=UnknownCustomer.REPORT)

    assert isinstance(answer, AcceptedEvent)
    assert isinstance(again, AcceptedEvent)
    assert again.replayed
    assert again.payload == answer.payload
    assert not MeterEvent.objects.exists()
    rejection = EventRejection.objects.get()
    assert (rejection.identifier, rejection.code) == ("x", "meter_event_customer_not_found")


def test_given_an_identifier_was_used_when_it_comes_again_then_it_is_refused_whatever_its_timestamp(
    meter: Meter, customer: Customer
) -> None:
    accept(meter, draft(meter, customer, 1, identifier="x", timestamp=NOW))

    (answer,) = accept(meter, draft(meter, customer, 2, identifier="x", timestamp=NOW - timedelta(days=30)))

    assert isinstance(answer, errors.EventExists)
    assert [event.value for event in MeterEvent.objects.all()] == [1]


def test_given_a_batch_with_repeats_and_bad_rows_when_accepted_then_each_row_gets_its_own_answer(
    meter: Meter, customer: Customer
) -> None:
    accept(meter, draft(meter, customer, identifier="old"))

    answers = accept(
        meter,
        draft(meter, customer, 1, identifier="a"),
        draft(meter, customer, "bad", identifier="b"),
        draft(meter, customer, 2, identifier="a"),
        draft(meter, customer, 3, identifier="old"),
        draft(meter, customer, 4, identifier="c"),
    )

    assert [type(answer) for answer in answers] == [
        AcceptedEvent,
        errors.ValueInvalid,
        errors.EventExists,
        errors.EventExists,
        AcceptedEvent,
    ]
    assert MeterEvent.objects.count() == 3


def test_given_a_retry_key_when_the_request_is_sent_again_then_the_first_answer_comes_and_nothing_is_written(
    meter: Meter, customer: Customer
) -> None:
    sent = draft(meter, customer, 7, retry_key="k", fingerprint=b"f")
    (first,) = accept(meter, sent)
    # Between the two the meter is closed: the answer was given already.
    Meter.objects.update(status=Status.INACTIVE, deactivated_at=NOW)

    (second,) = accept(meter, sent)

    assert isinstance(first, AcceptedEvent)
    assert isinstance(second, AcceptedEvent)
    assert second.replayed
    assert (second.identifier, second.received_at, second.payload) == (
        first.identifier,
        first.received_at,
        first.payload,
    )
    assert MeterEvent.objects.count() == 1


def test_given_a_retry_key_when_another_request_uses_it_then_it_is_refused_and_its_identifier_stays_free(
    meter: Meter, customer: Customer
) -> None:
    accept(meter, draft(meter, customer, identifier="a", retry_key="k", fingerprint=b"one"))

    (answer,) = accept(meter, draft(meter, customer, identifier="b", retry_key="k", fingerprint=b"two"))
    (later,) = accept(meter, draft(meter, customer, identifier="b", retry_key="l", fingerprint=b"two"))

    assert isinstance(answer, errors.RetryKeyReused)
    assert isinstance(later, AcceptedEvent)


def test_given_a_known_identifier_under_a_new_retry_key_when_refused_then_that_key_stays_free(
    meter: Meter, customer: Customer
) -> None:
    accept(meter, draft(meter, customer, identifier="a"))

    (answer,) = accept(meter, draft(meter, customer, identifier="a", retry_key="k", fingerprint=b"one"))
    (later,) = accept(meter, draft(meter, customer, identifier="b", retry_key="k", fingerprint=b"two"))

    assert isinstance(answer, errors.EventExists)
    assert isinstance(later, AcceptedEvent)


def test_given_two_environments_when_they_use_one_identifier_then_both_count(meter: Meter, customer: Customer) -> None:
    other = MeterFactory.create()
    accept(meter, draft(meter, customer, identifier="x"))

    (answer,) = accept(other, draft(other, CustomerFactory.create(environment=other.environment), identifier="x"))

    assert isinstance(answer, AcceptedEvent)


@pytest.mark.django_db(transaction=True)
def test_given_the_same_events_from_eight_writers_at_once_then_each_is_stored_once() -> None:
    meter = MeterFactory.create()
    customer = CustomerFactory.create(environment=meter.environment)
    start = threading.Barrier(8)

    def write(number: int) -> list[AcceptedEvent | BillingError]:
        start.wait()
        try:
            # Every writer sends the same forty identifiers, each in an order of its own.
            order = [(step * (2 * number + 1)) % 40 for step in range(40)]
            batches = [order[step : step + 10] for step in range(0, 40, 10)]
            return [
                answer
                for batch in batches
                for answer in accept(meter, *(draft(meter, customer, 1, identifier=f"e{name}") for name in batch))
            ]
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        answers = [answer for found in pool.map(write, range(8)) for answer in found]

    assert sum(isinstance(answer, AcceptedEvent) for answer in answers) == 40
    assert sum(isinstance(answer, errors.EventExists) for answer in answers) == 280
    assert MeterEvent.objects.count() == 40


def test_given_old_retry_keys_when_pruned_then_they_are_free_and_identifiers_are_not(
    meter: Meter, customer: Customer
) -> None:
    accept(meter, draft(meter, customer, identifier="a", retry_key="k", fingerprint=b"one"))

    assert prune_retry_keys(now=NOW + timedelta(hours=24)) == 0
    assert prune_retry_keys(now=NOW + timedelta(hours=24, seconds=1)) == 1

    again, new = accept(
        meter,
        draft(meter, customer, identifier="a", retry_key="k", fingerprint=b"one"),
        draft(meter, customer, identifier="b", retry_key="k", fingerprint=b"two"),
    )
    assert isinstance(again, errors.EventExists)
    assert isinstance(new, AcceptedEvent)
