"""The demo: the real hour's totals, its invoice, and one way in however often it is loaded."""

import json
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.utils import timezone

from accounts.models import ApiKey, Company, User
from billing_project.demo.load import EMAIL, ENDED_AT, STARTED_AT, Access, load
from billing_project.demo.months import BUYERS, EVENT_NAME
from core.periods import Period
from invoices.models import CreditNote, Invoice
from meters.models import Meter
from usage.models import EventRejection, MeterEvent
from usage.reports import UsageQuestion, quantities


@pytest.mark.django_db
def test_given_nothing_when_loaded_twice_then_one_demo_stands_with_exact_totals_and_its_draft(tmp_path: Path) -> None:
    rows: list[int] = []

    first = load(wall=timezone.now(), on_progress=rows.append)
    second = load(wall=timezone.now(), on_progress=rows.append)

    assert sum(rows) == 8_819
    assert Company.objects.count() == 1
    invoice = Invoice.objects.get(customer__name="Code completion service")
    assert MeterEvent.objects.filter(customer=invoice.customer).count() == 2 * 8_819
    assert (invoice.status, invoice.total, invoice.currency) == (Invoice.Status.DRAFT, 4761, "usd")
    assert [line.amount for line in invoice.lines.all()] == [4515, 246]
    assert [f"{line.exact_amount.normalize():f}" for line in invoice.lines.all()] == ["4514.9935", "245.896"]
    questions = [
        UsageQuestion(meter.pk, invoice.customer_id, Period(STARTED_AT, ENDED_AT))
        for meter in Meter.objects.exclude(event_name=EVENT_NAME).order_by("event_name")
    ]
    assert [usage.value for usage in quantities(invoice.environment_id, questions)] == [18_059_974, 245_896]
    # The second way in replaces the first password, and both keys work.
    person = User.objects.get(username=EMAIL)
    assert person.check_password(second.password)
    assert not person.check_password(first.password)
    assert all(ApiKey.objects.with_secret(access.api_key).exists() for access in (first, second))
    assert second.api_key in second.curl


def test_given_a_way_in_when_written_then_only_its_owner_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "demo.json"
    path.write_text("older")

    Access("a@example.com", "secret", "sk_test_x", "curl").write(path)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text())["password"] == "secret"


@pytest.mark.django_db
@pytest.mark.parametrize("wall", [datetime(2026, 11, 20, 17, tzinfo=UTC), datetime(2026, 10, 31, 0, 5, tzinfo=UTC)])
def test_given_any_day_when_loaded_then_the_last_months_have_something_for_every_page(wall: datetime) -> None:
    load(wall=wall, on_progress=lambda _: None)

    mine = Invoice.objects.filter(customer__name__in=[buyer.name for buyer in BUYERS])
    told = set(mine.values_list("status", flat=True))
    assert {"paid", "open", "void"} <= told
    assert CreditNote.objects.count() == 1
    late = mine.filter(status="open", due_at__lt=wall)
    assert [invoice.amount_paid > 0 for invoice in late] == [True]
    codes = EventRejection.Code
    refused = {codes.NO_METER, codes.CUSTOMER_NOT_FOUND, codes.INVALID_VALUE}
    assert set(EventRejection.objects.values_list("code", flat=True)) == refused
    # The third period has just closed, where its day is one that all months have.
    assert (mine.filter(status="draft").count() == len(BUYERS)) is (wall.day <= 28)
