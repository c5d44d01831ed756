"""The demo: the real hour's totals, its invoice, and one way in however often it is loaded."""

import json
import stat
from pathlib import Path

import pytest
from django.utils import timezone

from accounts.models import ApiKey, Company, User
from billing_project.demo.load import EMAIL, ENDED_AT, STARTED_AT, Access, load
from core.periods import Period
from invoices.models import Invoice
from meters.models import Meter
from usage.models import MeterEvent
from usage.reports import UsageQuestion, quantities


@pytest.mark.django_db
def test_given_nothing_when_loaded_twice_then_one_demo_stands_with_exact_totals_and_its_draft(tmp_path: Path) -> None:
    rows: list[int] = []

    first = load(wall=timezone.now(), on_progress=rows.append)
    second = load(wall=timezone.now(), on_progress=rows.append)

    assert sum(rows) == 8_819
    assert Company.objects.count() == 1
    assert MeterEvent.objects.count() == 2 * 8_819
    invoice = Invoice.objects.get()
    assert (invoice.status, invoice.total, invoice.currency) == (Invoice.Status.DRAFT, 4761, "usd")
    assert [line.amount for line in invoice.lines.all()] == [4515, 246]
    assert [f"{line.exact_amount.normalize():f}" for line in invoice.lines.all()] == ["4514.9935", "245.896"]
    questions = [
        UsageQuestion(meter.pk, invoice.customer_id, Period(STARTED_AT, ENDED_AT))
        for meter in Meter.objects.order_by("event_name")
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
