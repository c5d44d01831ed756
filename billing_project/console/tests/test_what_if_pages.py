"""Trying a price in the console: the form, the report, its file, and who may."""

import csv
import io
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from billing_project.console.tests.conftest import Worlds
from billing_project.console.tests.visits import address, member, signed_in
from core.ids import new_id, spell
from invoices.console.histogram import SIDE, draw, step_for
from invoices.models import WhatIf, WhatIfOutcome
from invoices.services import run_what_ifs

NEW = address(WhatIf, "new")
NO_TIERS = {"tiers-TOTAL_FORMS": "0", "tiers-INITIAL_FORMS": "0"}


@pytest.fixture
def client(worlds: Worlds) -> Client:
    return signed_in(member(worlds.ours.company, username="ours", role="analyst"))


def asked(worlds: Worlds, **said: Any) -> dict[str, Any]:
    return {"subject": str(worlds.ours.price.pk), "month": "2026-03", "model": "per_unit", **NO_TIERS, **said}


def computed(client: Client, form: dict[str, Any]) -> WhatIf:
    answer = client.post(NEW, form)
    assert answer.status_code == 302, answer.context["question"].form.errors
    what_if = WhatIf.objects.latest("pk")
    assert answer["Location"] == address(WhatIf, "report", what_if.pk)
    waiting = client.get(answer["Location"])
    assert "being computed" in waiting.content.decode()
    assert waiting["Refresh"] == "2"
    run_what_ifs(now=timezone.now())
    what_if.refresh_from_db()
    return what_if


def test_a_price_is_tried_and_its_report_opened_exported_and_forgotten(worlds: Worlds, client: Client) -> None:
    # 40 calls at a quarter of a cent, against a fee of a dollar, ten for nothing, and 15 cents for each beyond.
    tiers = {
        "tiers-TOTAL_FORMS": "3", "tiers-INITIAL_FORMS": "0",
        "tiers-0-up_to": "10", "tiers-0-unit_price": "0", "tiers-0-flat_fee": "1",
        "tiers-1-unit_price": "0.15",
    }  # fmt: skip
    form = {**asked(worlds, model="graduated"), **tiers}

    what_if = computed(client, form)

    assert (what_if.amount_now, what_if.amount_then, what_if.asked_by) == (10, 550, "ours")
    shown = client.get(address(WhatIf, "report", what_if.pk))
    text = shown.content.decode()
    assert "Refresh" not in shown
    for words in ("5.40 USD", "+5400.0 %", "up to 10: 0.00 USD and 1.00 USD flat", "0.0025 USD for each unit"):
        assert words in text
    assert str(worlds.ours.customer) in text
    rows = list(csv.DictReader(io.StringIO(_file(client, what_if))))
    assert [(row["customer"], row["quantity"], row["amount_now"], row["difference"]) for row in rows] == [
        (spell("cus", worlds.ours.customer.pk), "40", "0.10", "5.40")
    ]
    assert f"{what_if}" in client.get(address(WhatIf, "changelist")).content.decode()

    client.post(address(WhatIf, "forget", what_if.pk))
    assert not WhatIf.objects.filter(pk=what_if.pk).exists()
    assert not WhatIfOutcome.objects.filter(what_if=what_if.pk).exists()


def _file(client: Client, what_if: WhatIf) -> str:
    answer: Any = client.get(address(WhatIf, "csv", what_if.pk))
    return b"".join(answer.streaming_content).decode()


def test_the_price_that_is_paid_makes_no_difference(worlds: Worlds, client: Client) -> None:
    form = asked(worlds, model="existing", other_price=str(worlds.ours.price.pk))

    what_if = computed(client, form)

    assert (what_if.amount_now, what_if.amount_then, what_if.other_price) == (10, 10, worlds.ours.price)
    text = client.get(address(WhatIf, "report", what_if.pk)).content.decode()
    assert "Nobody would pay more." in text
    assert "Nobody would pay less." in text


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"unit_price": ""}, "needs the amount of a unit"),
        ({"unit_price": "0.00000000000000001", "month": "2026-03"}, "12 decimal places"),
        ({"month": "2099-01", "unit_price": "1"}, "has not begun"),
        ({"month": "soon", "unit_price": "1"}, "Enter a valid date"),
        ({"model": "volume"}, "needs"),
        ({"model": "existing"}, "Choose the price that exists"),
        ({"model": "package", "unit_price": "1"}, "A package has at least one unit"),
    ],
)
def test_what_is_not_filled_in_as_it_must_be_is_said(
    worlds: Worlds, client: Client, said: dict[str, str], words: str
) -> None:
    before = WhatIf.objects.count()
    answer = client.post(NEW, asked(worlds, **said))

    assert answer.status_code == 200
    assert words in answer.content.decode()
    assert WhatIf.objects.count() == before


def test_nobody_tries_a_price_on_others_or_without_the_right(worlds: Worlds, client: Client) -> None:
    before = WhatIf.objects.count()
    form = asked(worlds, unit_price="1")
    for subject in (str(worlds.theirs.price.pk), f"{worlds.theirs.meter.pk} usd"):
        answer = client.post(NEW, {**form, "subject": subject})
        assert "Select a valid choice" in answer.content.decode()
    assert "Theirs" not in client.get(f"{NEW}?price={worlds.theirs.price.pk}").content.decode()
    support = signed_in(member(worlds.ours.company, username="support", role="support"))
    assert support.get(NEW).status_code == support.post(NEW, form).status_code == 403
    theirs = WhatIf.objects.get(environment=worlds.theirs.environment)
    ours = WhatIf.objects.get(environment=worlds.ours.environment)
    for page in ("report", "csv"):
        assert client.get(address(WhatIf, page, theirs.pk)).status_code == 404
    assert client.post(address(WhatIf, "forget", theirs.pk)).status_code == 404
    assert client.get(address(WhatIf, "forget", ours.pk)).status_code == 405
    assert support.post(address(WhatIf, "forget", ours.pk)).status_code == 403
    assert WhatIf.objects.count() == before


def test_a_report_asks_as_much_however_many_customers_it_has(worlds: Worlds, client: Client) -> None:
    what_if = WhatIf.objects.get(environment=worlds.ours.environment)
    page = address(WhatIf, "report", what_if.pk)

    def questions() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert client.get(page).status_code == 200
        return len(queries)

    questions()
    before = questions()
    [outcome] = WhatIfOutcome.objects.filter(what_if=what_if)
    customer = outcome.customer
    for amount in range(-60, 61):
        customer.pk, customer.name, customer._state.adding = new_id(), f"Customer {amount}", True
        customer.save()
        WhatIfOutcome.objects.create(
            environment=what_if.environment, what_if=what_if, customer=customer, quantity=1,
            amount_now=100, amount_then=100 + amount, difference=amount,
        )  # fmt: skip
    WhatIf.objects.filter(pk=what_if.pk).update(customer_count=122)
    assert questions() <= before + 2
    shown = client.get(page).context
    assert [one.difference for one in shown["losers"]] == [60, 59, 58, 57, 56]
    assert [one.difference for one in shown["winners"]] == [-60, -59, -58, -57, -56]
    assert shown["page"].paginator.num_pages == 3
    last = client.get(page, {"order": "up", "page": "3"}).context["page"]
    assert last.object_list[-1].difference == 60


@pytest.mark.django_db
def test_bars_hold_whoever_they_say(worlds: Worlds) -> None:
    assert [step_for(reach) for reach in (0, 8, 9, 16, 17, 80, 81, 12345)] == [1, 1, 2, 2, 5, 10, 20, 2000]
    what_if = WhatIf.objects.get(environment=worlds.ours.environment)
    customer = worlds.ours.customer
    WhatIfOutcome.objects.filter(what_if=what_if).delete()
    differences = [0, 0, 1, 10, 11, -1, -10, -11, 79, 80, 81, 5_000, -5_000]
    for difference in differences:
        customer.pk, customer._state.adding = new_id(), True
        customer.save()
        WhatIfOutcome.objects.create(
            environment=what_if.environment, what_if=what_if, customer=customer, quantity=1,
            amount_now=10_000, amount_then=10_000 + difference, difference=difference,
        )  # fmt: skip

    histogram = draw(WhatIfOutcome.objects.filter(what_if=what_if), 10, str)

    assert {one.x - SIDE: one.count for one in histogram.bins if one.count} == {
        -8: 1, -2: 1, -1: 2, 0: 2, 1: 2, 2: 1, 8: 4,
    }  # fmt: skip
    assert (histogram.less, histogram.same, histogram.more, histogram.most) == (4, 2, 7, 4)
    assert [one.label for one in histogram.bins[6:]][:6] == [
        "over 10 up to 20 less", "over 0 up to 10 less", "no difference", "over 0 up to 10 more",
        "over 10 up to 20 more", "over 20 up to 30 more",
    ]  # fmt: skip
    assert histogram.bins[-1].label == "more than 70 more"
    assert all(one.height == 1000 * one.count // 4 for one in histogram.bins)
