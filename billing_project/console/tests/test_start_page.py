"""The start page: right numbers, of the person's companies, each leading to its rows, with few questions asked."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import F
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.models import License, Membership, TestClock
from billing_project.console.start_page import spoken
from billing_project.console.tests.conftest import Worlds
from billing_project.console.tests.visits import member, signed_in, superuser
from billing_project.console.tests.world import USED_AT, add_rows, make_world
from core.ids import new_id
from core.periods import DAY, HOUR, floor_hour
from invoices.exports import Selection, add_up
from invoices.models import Invoice, RevenueFigure
from invoices.services import ask_for_unbilled_usage, compute_revenue_figures, finalize_invoice
from usage.models import EventRejection, RecountDifference, UsageSummary, Watermark

MOST_QUERIES = 24


def start(client: Client) -> Any:
    answer = client.get(reverse("admin:index"))
    assert answer.status_code == 200
    return answer


@pytest.fixture
def client(worlds: Worlds) -> Client:
    return signed_in(member(worlds.ours.company, username="ours"))


def summarize(worlds: Worlds, hour: Any, count: int) -> None:
    summary = UsageSummary.objects.get(environment=worlds.ours.environment, hour=floor_hour(USED_AT))
    summary.pk, summary.hour, summary.event_count, summary._state.adding = new_id(), hour, count, True
    summary.save(force_insert=True)


def test_without_recent_usage_the_latest_day_that_holds_some_is_shown_and_named(worlds: Worlds, client: Client) -> None:
    answer = start(client)
    usage = answer.context["usage"]

    assert not usage.is_recent
    assert usage.span.end == floor_hour(USED_AT) + HOUR
    assert (usage.total, usage.bars[-1].count) == (1, 1)
    text = answer.content.decode()
    assert "No usage in the last 24 hours" in text
    assert f"{floor_hour(USED_AT) - 23 * HOUR:%Y-%m-%d %H:%M}" in text


def test_recent_usage_is_shown_by_the_hour_with_half_open_edges(worlds: Worlds, client: Client) -> None:
    this_hour = floor_hour(timezone.now())
    summarize(worlds, this_hour, 7)
    summarize(worlds, this_hour - 23 * HOUR, 5)
    summarize(worlds, this_hour - 24 * HOUR, 1000)

    usage = start(client).context["usage"]

    assert usage.is_recent
    assert [bar.count for bar in usage.bars] == [5, *[0] * 22, 7]
    assert usage.total == 12


def test_a_bar_leads_to_its_summaries(worlds: Worlds, client: Client) -> None:
    link = start(client).context["usage"].links[-1]

    listed = client.get(link)

    assert [row.environment for row in listed.context["cl"].result_list] == [worlds.ours.environment]


def test_invoices_are_summed_per_currency_and_lead_to_their_rows(worlds: Worlds, client: Client) -> None:
    add_rows(worlds.ours)
    (row,) = (row for row in start(client).context["money"].rows if row.currency == "usd")
    assert (row.mode, row.draft.amount, row.draft.count) == ("test", "0.20 USD", 2)
    assert (row.open, row.past_due) == (None, None)
    assert row.unbilled is None

    drafts = Invoice.objects.filter(pk=worlds.ours.invoice.pk)
    drafts.update(collection_method="send_invoice", days_until_due=0)
    finalize_invoice(invoice=drafts.get(), now=timezone.now() - timedelta(days=1))
    # The customer lives at the time of a test clock: it is past due by that.
    (row,) = (row for row in start(client).context["money"].rows if row.currency == "usd")
    assert row.past_due is None
    TestClock.objects.update(frozen_at=timezone.now())
    (row,) = (row for row in start(client).context["money"].rows if row.currency == "usd")
    # Counted again: ten cents, a tenth off, and a tenth of the nine as tax.
    for money in (row.draft, row.open, row.past_due):
        assert (money.amount, money.count) == ("0.10 USD", 1)
        listed = client.get(money.link)
        assert listed.status_code == 200
        assert listed.context["cl"].result_count == money.count, money.link


def test_unbilled_usage_is_what_it_came_to_last_and_as_of_when(worlds: Worlds, client: Client) -> None:
    assert "it was not yet" in start(client).content.decode()
    now = timezone.now()
    ask_for_unbilled_usage(now=now)
    compute_revenue_figures(now=now)

    money = start(client).context["money"]

    (row,) = (row for row in money.rows if row.currency == "usd")
    (total,) = add_up("unbilled", Selection(worlds.ours.environment, now=now)).values()
    assert (row.mode, row.unbilled.count, row.unbilled.amount) == ("test", total.rows, f"{total.amount} USD")
    assert money.computed_at == now
    # What nobody has asked for yet today is yesterday's.
    RevenueFigure.objects.update(since=F("since") - DAY, until=F("until") - DAY, computed_at=now - DAY)
    money = start(client).context["money"]
    assert (money.rows[0].unbilled.amount, money.computed_at) == (row.unbilled.amount, now - DAY)
    RevenueFigure.objects.update(since=F("since") - DAY, until=F("until") - DAY)
    assert start(client).context["money"].computed_at is None


def test_the_lag_is_told_and_is_an_alarm_over_ten_seconds(worlds: Worlds, client: Client) -> None:
    Watermark.objects.update(read_at=timezone.now() - timedelta(seconds=2))
    assert 'data-lag="fresh"' in start(client).content.decode()

    Watermark.objects.update(read_at=timezone.now() - timedelta(seconds=11))
    answer = start(client)
    assert 'data-lag="late"' in answer.content.decode()
    assert answer.context["lag"].age.startswith("11.")

    Watermark.objects.all().delete()
    assert start(client).context["lag"].is_late


@pytest.mark.parametrize(
    ("age", "text"),
    [
        (timedelta(0), "0.0 s"),
        (timedelta(seconds=0.84), "0.8 s"),
        (timedelta(seconds=119), "119.0 s"),
        (timedelta(seconds=120), "2 min"),
        (timedelta(hours=2), "2 h"),
        (timedelta(days=2), "2 d"),
    ],
)
def test_an_age_is_told_as_people_do(age: timedelta, text: str) -> None:
    assert spoken(age) == text


def test_rejections_and_failures_are_counted_and_lead_to_their_rows(worlds: Worlds, client: Client) -> None:
    EventRejection.objects.update(received_at=timezone.now() - timedelta(days=6))
    answer = start(client)

    (line,) = answer.context["rejections"]
    assert (line.label, line.count) == ("no such customer", 1)
    assert client.get(line.link).context["cl"].result_count == 1
    assert [failure.environment for failure in answer.context["failures"]] == [worlds.ours.environment]

    EventRejection.objects.update(received_at=timezone.now() - timedelta(days=8))
    assert start(client).context["rejections"] == []


def test_differences_alarm_until_they_are_settled(worlds: Worlds, client: Client) -> None:
    answer = start(client)

    assert answer.context["differences"].count == 1
    assert "summary did not agree with its events" in answer.content.decode()
    assert client.get(answer.context["differences"].link).context["cl"].result_count == 1

    RecountDifference.objects.filter(environment=worlds.ours.environment).update(resolved_at=timezone.now())
    answer = start(client)
    assert answer.context["differences"].count == 0
    assert "summary did not agree" not in answer.content.decode()


def test_licenses_tell_their_state_and_the_latest_notice(worlds: Worlds, client: Client) -> None:
    now = timezone.now()
    License.objects.filter(product="metered_products").delete()
    license_ = License.objects.get(company=worlds.ours.company)
    for ends_at, state in (
        (now + timedelta(days=3), "Active"),
        (now - HOUR, "In Grace"),
        (now - timedelta(days=8), "Ended"),
    ):
        License.objects.filter(pk=license_.pk).update(ends_at=ends_at, grace=timedelta(days=7))
        license_.notices.update(ends_at=ends_at)
        (line,) = start(client).context["licenses"]
        assert (line.license.company, line.state) == (worlds.ours.company, state)
        assert line.notice is not None
    # A notice about an end that was moved since is no news.
    License.objects.filter(pk=license_.pk).update(ends_at=now + timedelta(days=300))
    (line,) = start(client).context["licenses"]
    assert line.notice is None


def test_nothing_of_another_company_is_told(worlds: Worlds, client: Client) -> None:
    License.objects.update(ends_at=None)
    answer = start(client)

    assert "Theirs" not in answer.content.decode()
    assert "Theirs" in start(signed_in(superuser())).content.decode()


def test_few_questions_however_much_there_is(worlds: Worlds) -> None:
    for client in (signed_in(superuser()), signed_in(member(worlds.ours.company, username="ours"))):
        start(client)
        with CaptureQueriesContext(connection) as before:
            start(client)
        assert len(before) <= MOST_QUERIES, [query["sql"] for query in before]
        add_rows(worlds.ours)
        make_world(f"More {client.session.session_key}")
        with CaptureQueriesContext(connection) as after:
            start(client)
        assert len(after) == len(before)


def test_a_role_without_invoices_would_see_no_money(worlds: Worlds, monkeypatch: pytest.MonkeyPatch) -> None:
    client = signed_in(member(worlds.ours.company, role=Membership.Role.SUPPORT, username="support"))
    monkeypatch.setattr(
        "billing_project.console.start_page.GRANTS", {Membership.Role.SUPPORT: frozenset({"usage.view_usagesummary"})}
    )

    answer = start(client)

    assert answer.context["usage"] is not None
    assert answer.context["money"] is None
    assert answer.context["webhooks"] is None
    assert answer.context["rejections"] is None
    assert answer.context["failures"] is None
