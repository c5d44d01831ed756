"""Files of events by hand: looked at first, carried out once, and hostile ones answered in words."""

from datetime import timedelta
from decimal import Decimal

import pytest

from accounts.models import Customer
from accounts.tests.factories import NOW, CustomerFactory
from core.ids import spell
from core.periods import HOUR
from meters.models import Meter
from meters.tests.factories import MeterFactory
from usage.backfills import MOST_BYTES, MOST_ROWS, read_lines
from usage.errors import BackfillDone, ColumnMissing, FileUnreadable
from usage.models import Backfill, EventRejection, MeterEvent, Source
from usage.services import add_backfill, cancel_event, carry_out_backfill
from usage.tests.factories import report

HEAD = "event_name,customer,timestamp,value,identifier,region\n"


@pytest.fixture
def meter(db: None) -> Meter:
    return MeterFactory.create(event_name="calls", dimension_keys=["region"])


@pytest.fixture
def customer(meter: Meter) -> Customer:
    return CustomerFactory.create(environment=meter.environment)


def bring(meter: Meter, content: str) -> Backfill:
    return add_backfill(
        environment=meter.environment,
        file_name="lost.csv",
        content=content.encode(),
        reason="They were lost.",
        made_by="fiona",
        now=NOW,
    )


def carry_out(backfill: Backfill) -> tuple[int | None, int | None, int | None]:
    done = carry_out_backfill(backfill=backfill, now=NOW, recorded_by="fiona")
    return done.accepted, done.known, done.refused


def test_given_a_file_when_carried_out_then_each_row_counts_once_whatever_is_brought_again(
    meter: Meter, customer: Customer
) -> None:
    cus, at = spell("cus", customer.pk), (NOW - HOUR).isoformat()
    content = (
        HEAD
        + f"calls,{cus},{at},3,mine,eu\n"
        # Twice in one file, by its identifier.
        + f"calls,{cus},{at},3,mine,eu\n"
        # Without one, equal rows are as many events.
        + f"calls,{cus},{at},4,,\n" * 2
        + f"calls,cus_nobody,{at},5,,eu\n"
        + f"unheard,{cus},{at},5,,eu\n"
        + f"calls,{cus},yesterday,5,,eu\n"
        + f"calls,{cus},{at},five,,eu\n"
        + f"calls,{cus},{(NOW - timedelta(days=1831)).isoformat()},5,,eu\n"
        + f"calls,{cus},{(NOW + HOUR).isoformat()},5,,eu\n"
        + f"calls,{cus},{at},5,,eu,more\n"
    )
    backfill = bring(meter, content)
    assert (backfill.rows, MeterEvent.objects.count()) == (11, 0)

    assert carry_out(backfill) == (3, 1, 7)

    events = MeterEvent.objects.order_by("value", "identifier")
    assert [event.value for event in events] == [3, 4, 4]
    assert {(event.source, event.timestamp) for event in events} == {(Source.IMPORT, NOW - HOUR)}
    assert (events[0].identifier, events[0].dimensions, events[1].dimensions) == ("mine", {"region": "eu"}, {})
    assert not EventRejection.objects.exists()
    with pytest.raises(BackfillDone):
        carry_out(backfill)
    # The same file once more is the same events, in another order, too.
    lines = content.splitlines(keepends=True)
    assert carry_out(bring(meter, "".join([lines[0], *reversed(lines[1:])]))) == (0, 4, 7)
    assert MeterEvent.objects.count() == 3


def test_a_canceled_event_keeps_its_identifier_and_the_right_one_comes_under_another(
    meter: Meter, customer: Customer
) -> None:
    report(meter, customer, 100, timestamp=NOW - HOUR, identifier="wrong")
    cancel_event(environment=meter.environment, identifier="wrong", now=NOW, reason="ten times too much")
    row = f"calls,{spell('cus', customer.pk)},{(NOW - HOUR).isoformat()},10"

    assert carry_out(bring(meter, f"{HEAD}{row},wrong,\n")) == (0, 1, 0)
    assert carry_out(bring(meter, f"{HEAD}{row},right,\n")) == (1, 0, 0)
    assert MeterEvent.objects.get(identifier="right").value == Decimal(10)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", 'no column "event_name"'),
        (b"a,b\n1,2\n", 'no column "event_name"'),
        (HEAD.encode(), "It has no rows below its head."),
        (HEAD.encode() + b"\n\n,,,,,\n", "It has no rows below its head."),
        (HEAD.encode("utf-16"), "UTF-16"),
        (HEAD.encode() + "caf\u00e9,x,x,1,,\n".encode("latin-1"), "Line 2 is not written in UTF-8."),
        (HEAD.encode() + b"calls,\x00,x,1,,\n", "Line 2 holds a zero byte"),
        (b"PK\x03\x04rest of a workbook", "a workbook or an archive"),
        (HEAD.encode() + b'calls,"' + b"x" * 200_000 + b'",x,1,,\n', "field larger than field limit"),
        (HEAD.encode() + b"a,b,c,1,,\n" * (MOST_ROWS + 1), f"more than {MOST_ROWS:,} rows"),
        (b"x" * (MOST_BYTES + 1), "more than 2 MB"),
        (HEAD.strip().encode() + b",region\n1,2,3,4,5,6,7\n", "two columns called “region”"),
        (HEAD.strip().encode() + b",\n1,2,3,4,5,6,7\n", "A column of it has no name."),
        (HEAD.strip().encode() + b"".join(b",k%d" % n for n in range(60)) + b"\n1\n", "66 columns"),
    ],
)
def test_a_hostile_file_is_answered_in_words(content: bytes, told: str) -> None:
    with pytest.raises((FileUnreadable, ColumnMissing)) as refusal:
        read_lines(content)
    assert told in str(refusal.value)


def test_spreadsheets_marks_semicolons_and_formulas_are_text() -> None:
    content = ("\ufeff" + HEAD.replace(",", ";") + '=cmd|"/c calc";"a;b";2026-01-01;1,5;"x\ny"\n').encode()
    (row,) = read_lines(content)
    assert row == {
        "": "3", "event_name": '=cmd|"/c calc"', "customer": "a;b", "timestamp": "2026-01-01", "value": "1,5",
        "identifier": "x\ny", "region": "",
    }  # fmt: skip
