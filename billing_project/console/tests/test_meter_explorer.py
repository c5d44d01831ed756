"""The page of a meter over time: exact numbers, each leading to its events, and nothing of others."""

import csv
import io
import re
from datetime import datetime
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import Customer, Membership
from accounts.tests.factories import NOW, CustomerFactory
from billing_project.console.tests.conftest import Worlds
from billing_project.console.tests.visits import member, signed_in
from billing_project.console.tests.world import USED_AT
from core.ids import spell
from core.periods import DAY, HOUR
from meters.models import Meter
from meters.tests.factories import MeterFactory
from usage.tests.factories import accepted, draft

pytestmark = pytest.mark.django_db

ADDRESS = "admin:meters_meter_explorer"
MOST_QUERIES = 20


@pytest.fixture
def meter() -> Meter:
    return MeterFactory.create(display_name="Calls", dimension_keys=["region"])


@pytest.fixture
def customer(meter: Meter) -> Customer:
    return CustomerFactory.create(environment=meter.environment, name="=Riverbank")


@pytest.fixture
def client(meter: Meter) -> Client:
    return signed_in(member(meter.environment.company, role=Membership.Role.ANALYST))


def use(meter: Meter, customer: Customer, value: object, at: datetime, **more: str) -> None:
    accepted(environment_of=meter, drafts=[draft(meter, customer, str(value), timestamp=at, more=more)])


def asked(client: Client, meter: Meter, **query: str) -> Any:
    answer = client.get(reverse(ADDRESS), {"meter": str(meter.pk), **query})
    assert answer.status_code == 200
    return answer


def days(**query: str) -> dict[str, str]:
    last = NOW.date()
    return {"first": str(last - 6 * DAY), "last": str(last), **query}


def test_bars_and_numbers_are_exact_and_lead_to_their_events(meter: Meter, customer: Customer, client: Client) -> None:
    other = CustomerFactory.create(environment=meter.environment, name="Hilltop")
    use(meter, customer, "12345.5", NOW - HOUR)
    use(meter, other, 2, NOW - HOUR)
    use(meter, customer, 4, NOW - 7 * DAY)

    answer = asked(client, meter, **days())

    text = answer.content.decode()
    for words in ("12,347.5", "Summaries are complete up to", "exact as of", "Days are those of UTC"):
        assert words in text
    (line,) = (line for line in answer.context["page"].lines if line.step.value is not None)
    shown = client.get(line.link)
    assert {row.value for row in shown.context["found"].rows} == {12345.5, 2}
    assert "from" in shown.context["found"].understood
    theirs = asked(client, meter, **days(customer=spell("cus", other.pk)))
    (line,) = (line for line in theirs.context["page"].lines if line.step.value is not None)
    assert client.get(line.link).context["row"].customer == other


def test_customers_and_dimensions_are_told_apart_and_exported(meter: Meter, customer: Customer, client: Client) -> None:
    use(meter, customer, 3, NOW - HOUR, region="eu")
    use(meter, customer, 4, NOW - 2 * HOUR)

    page = asked(client, meter, **days(by="customer")).context["page"]
    assert [(named.name, named.part.value, named.share) for named in page.parts] == [("=Riverbank", 7, 100)]
    page = asked(client, meter, **days(by="key:region")).context["page"]
    assert [(named.name, named.part.value) for named in page.parts] == [("without it", 4), ("eu", 3)]
    last = page.lines[-1]
    assert [client.get(link).context["row"].value for _value, link in last.parts] == [4, 3]
    assert len(client.get(last.link).context["found"].rows) == 2
    # Each color of the bar leads to the same.
    assert [link for _slice, link, _says in page.charts[0].bars[-1].slices] == [link for _value, link in last.parts]
    theirs = asked(client, meter, **days(by="key:region", customer=spell("cus", customer.pk))).context["page"]
    assert [client.get(link).context["row"].value for _value, link in theirs.lines[-1].parts] == [4, 3]

    answer: Any = client.get(page.csv)
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))
    assert len(rows) == 7
    assert rows[-1] | {"start": "", "end": "", "start_before": "", "end_before": ""} == {
        "start": "", "end": "", "value": "7", "events": "2", "start_before": "", "end_before": "", "value_before": "",
        "without it": "4", "eu": "3",
    }  # fmt: skip
    # A name that a spreadsheet would compute is text.
    by_customer: Any = client.get(asked(client, meter, **days(by="customer")).context["page"].csv)
    head = b"".join(by_customer.streaming_content).decode().partition("\r\n")[0]
    assert head.endswith(f",'=Riverbank {spell('cus', customer.pk)}")


@pytest.mark.parametrize("formula", ["last", "max", "unique_count"])
def test_what_does_not_add_up_is_said_and_not_stacked(
    meter: Meter, customer: Customer, client: Client, formula: str
) -> None:
    Meter.objects.filter(pk=meter.pk).update(formula=formula)
    meter.refresh_from_db()
    other = CustomerFactory.create(environment=meter.environment, name="Hilltop")
    use(meter, customer, 5, NOW - 2 * HOUR)
    use(meter, other, 9, NOW - HOUR)

    answer = asked(client, meter, **days(by="customer"))

    page = answer.context["page"]
    assert "is not the sum of shorter ones" in answer.content.decode()
    assert {named.share for named in page.parts} == {None}
    assert [chart.part for chart in page.charts] == [0, 1]
    assert len({chart.top for chart in page.charts}) == 1


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ({"first": "2026-01-02", "last": "2026-01-01"}, "It lies before the first day."),
        ({"first": "2020-01-01", "last": "2026-01-01"}, "These are too many bars"),
        ({"first": "0001-01-01", "last": "0001-01-02"}, "No event lies that far away."),
        ({"first": "9999-12-31", "last": "9999-12-31"}, "No event lies that far away."),
        ({"first": "soon"}, "Enter a valid date."),
        ({"zone": "Mars/Olympus"}, "There is no such time zone."),
        ({"zone": "../../etc/passwd"}, "There is no such time zone."),
        ({"window": "year"}, "Select a valid choice."),
        ({"by": "key:secret"}, "Select a valid choice."),
        ({"customer": "cus_nobody"}, "no such customer"),
        ({"customer": "\0"}, "Null characters"),
    ],
)
def test_what_cannot_be_shown_is_said_beside_its_field(
    meter: Meter, client: Client, query: dict[str, str], told: str
) -> None:
    answer = asked(client, meter, **{**days(), **query})
    assert told in answer.content.decode()
    assert "page" not in answer.context


def test_a_meter_without_usage_says_what_to_do(meter: Meter, client: Client) -> None:
    text = re.sub(r"\s+", " ", asked(client, meter).content.decode())
    assert f"No event of {meter.event_name} counts in these days or those before." in text
    Meter.objects.all().delete()
    assert "No meter yet" in client.get(reverse(ADDRESS)).content.decode()


def test_it_opens_on_what_was_used_last(worlds: Worlds) -> None:
    client = signed_in(member(worlds.ours.company, username="ours"))
    answer = client.get(reverse(ADDRESS))
    assert answer.context["meter"] == worlds.ours.meter
    page = answer.context["page"]
    assert (page.found.value, page.question.last) == (40, USED_AT.date())
    # From the meter's own page, and from the menu.
    shown = client.get(reverse("admin:meters_meter_change", args=[worlds.ours.meter.pk])).content.decode()
    assert f"{reverse(ADDRESS)}?meter={worlds.ours.meter.pk}" in shown
    assert f'href="{reverse(ADDRESS)}"' in shown


def test_nothing_of_another_company_is_found(worlds: Worlds) -> None:
    client = signed_in(member(worlds.ours.company, username="ours"))
    for named in (str(worlds.theirs.meter.pk), spell("mtr", worlds.theirs.meter.pk), "garbage", "0" * 32):
        assert client.get(reverse(ADDRESS), {"meter": named}).status_code == 404
    theirs = spell("cus", worlds.theirs.customer.pk)
    answer = asked(client, worlds.ours.meter, customer=theirs)
    assert "no such customer" in answer.content.decode()
    bar = {"since": "2026-01-01T00:00:00+00:00", "until": "2026-12-01T00:00:00+00:00"}
    debugger = reverse("admin:usage_meterevent_debugger")
    found = client.get(debugger, {**bar, "meter": str(worlds.theirs.meter.pk)}).context["found"]
    assert (found.rows, found.understood) == ((), "")
    mine = {"meter": str(worlds.ours.meter.pk), "customer": str(worlds.theirs.customer.pk)}
    assert client.get(debugger, {**bar, **mine}).context["found"].rows == ()
    assert worlds.theirs.customer.name not in answer.content.decode()


def test_few_questions_however_many_customers(meter: Meter, customer: Customer, client: Client) -> None:
    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            asked(client, meter, **days(by="customer"))
        return len(queries)

    use(meter, customer, 1, NOW - HOUR)
    count()
    before = count()
    for number in range(14):
        one = CustomerFactory.create(environment=meter.environment)
        use(meter, one, number, NOW - (number + 1) * HOUR)
    assert count() == before <= MOST_QUERIES
