"""Importing tables: every row once, bad rows named by their line."""

import io
from contextlib import nullcontext
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from accounts.models import Customer
from accounts.tests.factories import CustomerFactory
from core.ids import spell
from meters.models import Meter
from meters.tests.factories import MeterFactory
from usage.models import MeterEvent, Source

pytestmark = pytest.mark.django_db


@pytest.fixture
def meter() -> Meter:
    return MeterFactory.create(event_name="calls", dimension_keys=["region"])


@pytest.fixture
def customer(meter: Meter) -> Customer:
    return CustomerFactory.create(environment=meter.environment)


def import_table(meter: Meter, path: Path, *options: str, refused: int = 0) -> tuple[str, str]:
    """Run the command as an operator would; returns what it printed on standard output and standard error.

    :param refused: so many events are refused, and the command fails
    """
    out, err = io.StringIO(), io.StringIO()
    company = meter.environment.company.name
    common = ["--company", company, "--mode", "test", "--timestamp-column", "at", "--meter", "calls=n"]
    with nullcontext() if refused == 0 else pytest.raises(CommandError, match=f"^{refused} of its events are not in"):
        call_command("import_events", str(path), *common, *options, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_given_a_table_when_imported_twice_then_each_row_counts_once_even_equal_ones(
    meter: Meter, customer: Customer, tmp_path: Path
) -> None:
    path = tmp_path / "usage.csv"
    path.write_text(
        "at,n,area\n2023-11-16 18:17:03.9799600,3,eu\n2023-11-16 18:17:03.9799600,3,eu\n2020-02-29T01:00:00+02:00,4,us"
    )
    options = ["--customer", spell("cus", customer.pk), "--dimension", "region=area"]

    first, _ = import_table(meter, path, *options)
    # The same rows in another order, and a new one.
    path.write_text(
        "at,n,area\n2020-02-29T01:00:00+02:00,4,us\n2023-11-16 18:17:03.9799600,3,eu\n2023-11-16 18:17:03.9799600,3,eu\n2023-01-01,1,eu\n"
    )
    second, _ = import_table(meter, path, *options)

    assert first == "3 rows: 3 events accepted, 0 known already, 0 refused.\n"
    assert second == "4 rows: 1 events accepted, 3 known already, 0 refused.\n"
    events = MeterEvent.objects.order_by("timestamp")
    assert [event.timestamp.isoformat() for event in events] == [
        "2020-02-28T23:00:00+00:00",
        "2023-01-01T00:00:00+00:00",
        "2023-11-16T18:17:03.979960+00:00",
        "2023-11-16T18:17:03.979960+00:00",
    ]
    assert [event.dimensions["region"] for event in events] == ["us", "eu", "eu", "eu"]
    assert {event.source for event in events} == {Source.IMPORT}


def test_given_bad_rows_when_imported_then_they_are_named_by_line_and_the_rest_is_taken(
    meter: Meter, customer: Customer, tmp_path: Path
) -> None:
    who = spell("cus", customer.pk)
    path = tmp_path / "usage.csv"
    path.write_bytes(
        b"at,n,who\n"
        + f"2026-01-01,1,{who}\n2026-01-01,many,{who}\nyesterday,1,{who}\n2026-01-02,1,cus_nobody\n".encode()
        + b"2026-01-03,\xff\xfe,"
        + f"{who}\n2026-01-04\n1901-01-01,1,{who}\n".encode()
        + f'"2026-01-05",2,{who}\n'.encode()
    )

    out, err = import_table(meter, path, "--customer-column", "who", refused=6)

    assert out == "8 rows: 2 events accepted, 0 known already, 6 refused.\n"
    reported = [line.split(":")[0] for line in err.splitlines() if line.startswith("line ")]
    assert reported == ["line 3", "line 4", "line 5", "line 6", "line 7", "line 8"]
    assert MeterEvent.objects.count() == 2


def test_given_an_identifier_column_when_imported_then_it_is_the_events_identifier(
    meter: Meter, customer: Customer, tmp_path: Path
) -> None:
    path = tmp_path / "usage.csv"
    path.write_text("at,n,id\n2026-01-01,1,a\n2026-01-01,1,b\n2026-01-09,5,a\n")

    out, _ = import_table(meter, path, "--customer", spell("cus", customer.pk), "--identifier-column", "id")

    assert out == "3 rows: 2 events accepted, 1 known already, 0 refused.\n"
    assert set(MeterEvent.objects.values_list("identifier", flat=True)) == {"a", "b"}


def test_given_rows_without_an_identifier_when_its_column_is_named_then_each_is_refused(
    meter: Meter, customer: Customer, tmp_path: Path
) -> None:
    MeterFactory.create(environment=meter.environment, event_name="bytes")
    path = tmp_path / "usage.csv"
    path.write_text("at,n,id\n2026-01-01,1,a\n2026-01-01,2,\n2026-01-09,5,  \n")
    options = ["--customer", spell("cus", customer.pk), "--identifier-column", "id", "--meter", "bytes=n"]

    first, err = import_table(meter, path, *options, refused=2)
    second, _ = import_table(meter, path, *options, refused=2)

    # Known by nothing they would be taken for one another, or count anew with every run.
    assert first == "3 rows: 2 events accepted, 0 known already, 2 refused.\n"
    assert second == "3 rows: 0 events accepted, 2 known already, 2 refused.\n"
    assert [line.split(":")[0] for line in err.splitlines() if line.startswith("line ")] == ["line 3", "line 4"]
    assert set(MeterEvent.objects.values_list("identifier", flat=True)) == {"a:calls", "a:bytes"}


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--customer-column", "nobody"], 'no column "nobody"'),
        (["--customer", "cus_x", "--meter", "unheard_of=n"], 'No active meter found for event name "unheard_of"'),
        (["--customer", "cus_x", "--meter", "calls"], "NAME=COLUMN"),
        (["--customer", "cus_x", "--company", "Nobody & Sons"], "Nobody & Sons"),
    ],
)
def test_given_a_table_that_cannot_be_read_when_imported_then_the_command_says_why_and_stores_nothing(
    meter: Meter, customer: Customer, tmp_path: Path, options: list[str], complaint: str
) -> None:
    path = tmp_path / "usage.csv"
    path.write_text("at,n\n2026-01-01,1\n")

    with pytest.raises(CommandError, match=complaint):
        import_table(meter, path, *options)

    assert not MeterEvent.objects.exists()
