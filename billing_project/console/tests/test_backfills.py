"""Events brought in and taken back by hand: what it does to bills is said first, exactly, and nothing stays of a look."""

from decimal import Decimal
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from accounts.approvals.models import ApprovalKind, ApprovalRequest, ApprovalRule
from accounts.models import Membership
from billing_project.console.tests.conftest import Worlds
from billing_project.console.tests.visits import address, member, signed_in
from billing_project.console.tests.world import USED_AT, World
from core.ids import spell
from invoices.models import Invoice, InvoiceLine
from subscriptions.models import PriceTier, Subscription
from usage.backfills import MOST_BYTES
from usage.models import Backfill, EventAdjustment, EventClaim, MeterEvent, UsageSummary

HEAD = "event_name,customer,timestamp,value,identifier\n"


@pytest.fixture
def client(worlds: Worlds) -> Client:
    return signed_in(member(worlds.ours.company, role=Membership.Role.FINANCE_MANAGER, username="fiona"))


def row(world: World, value: int, identifier: str, at: str = USED_AT.isoformat()) -> str:
    return f"{world.meter.event_name},{spell('cus', world.customer.pk)},{at},{value},{identifier}\n"


def send(client: Client, world: World, content: bytes) -> Any:
    return client.post(
        address(Backfill, "add"),
        {
            "environment": str(world.environment.pk),
            "reason": "They were lost.",
            "file": SimpleUploadedFile("lost.csv", content),
        },
    )


def contents() -> list[Any]:
    models = (MeterEvent, EventClaim, EventAdjustment, UsageSummary, Invoice, InvoiceLine, Subscription, PriceTier)
    return [sorted(map(str, model._default_manager.values_list())) for model in models]


def test_a_file_is_looked_at_without_a_trace_and_then_carried_out(worlds: Worlds, client: Client) -> None:
    ours = worlds.ours
    content = HEAD + row(ours, 4000, "found") + row(ours, 1, ours.identifier) + row(ours, 1, "", "yesterday")
    ApprovalRule.objects.filter(kind=ApprovalKind.BACKFILL).delete()
    before = contents()

    answer = send(client, worlds.ours, content.encode())

    backfill = Backfill.objects.get(file_name="lost.csv")
    assert answer["Location"] == address(Backfill, "review", backfill.pk)
    assert (backfill.made_by, backfill.reason) == ("fiona", "They were lost.")
    shown = client.get(answer["Location"])
    found = shown.context["found"]
    assert [len(rows) for rows in (found.accepted, found.known, found.refused)] == [1, 1, 1]
    # 40 at a quarter of a cent, a tenth off and a tenth of tax, become 4,040.
    (bill,) = found.effects.bills
    assert (bill.before, bill.after, bill.difference) == ("0.10 USD", "10.00 USD", "9.90 USD")
    (usage,) = found.effects.usage
    assert (usage.before, usage.after) == ("40", "4,040")
    text = shown.content.decode()
    assert "is not ISO 8601" in text or "yesterday" in text
    asked = client.get(address(Backfill, "command", backfill.pk, "carry_out")).content.decode()
    assert "1 events of lost.csv will count, 1 are there already, 1 rows cannot be counted." in asked
    assert "0.10 USD becomes 10.00 USD." in asked
    assert contents() == before

    client.post(address(Backfill, "command", backfill.pk, "carry_out"))

    backfill.refresh_from_db()
    assert (backfill.accepted, backfill.known, backfill.refused) == (1, 1, 1)
    assert backfill.carried_out_by == "fiona"
    # The draft follows at once.
    ours.invoice.refresh_from_db()
    assert (ours.invoice.total, ours.invoice.amount_due) == (1000, 1000)
    assert MeterEvent.objects.get(identifier="found").value == Decimal(4000)
    assert client.get(address(Backfill, "review", backfill.pk))["Location"] == address(Backfill, "change", backfill.pk)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"\xff\xfea\x00", "UTF-16"),
        (HEAD.encode() + b"\x00", "zero byte"),
        (b"x" * (MOST_BYTES + 1), "more than 2 MB"),
        (b"", "The submitted file is empty."),
        (b"a,b\n1,2\n", "no column"),
        (b'"<script>alert(1)</script>,x\n', "no column"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_beside_its_field(
    worlds: Worlds, client: Client, content: bytes, told: str
) -> None:
    count = Backfill.objects.count()
    answer = send(client, worlds.ours, content)
    assert answer.status_code == 200
    assert told in answer.content.decode()
    assert "<script>alert(1)" not in answer.content.decode()
    assert Backfill.objects.count() == count


def test_markup_and_formulas_in_cells_are_only_shown(worlds: Worlds, client: Client) -> None:
    nasty = '"<img src=x onerror=alert(1)>",=cmd|calc,1,2,x\n'
    answer = client.get(send(client, worlds.ours, (HEAD + nasty).encode())["Location"])
    assert "&lt;img src=x onerror=alert(1)&gt;" in answer.content.decode()
    assert "<img src=x" not in answer.content.decode()


def test_only_those_who_may_bring_events_in_do_and_only_to_their_own(worlds: Worlds, client: Client) -> None:
    assert "Select a valid choice" in send(client, worlds.theirs, HEAD.encode() + b"a,b,c,1,\n").content.decode()
    theirs = Backfill.objects.get(environment=worlds.theirs.environment)
    for page in (("review",), ("command", "carry_out")):
        assert client.get(address(Backfill, page[0], theirs.pk, *page[1:])).status_code == 404
    support = signed_in(member(worlds.ours.company, role=Membership.Role.SUPPORT, username="sam"))
    ours = Backfill.objects.get(environment=worlds.ours.environment)
    assert send(support, worlds.ours, HEAD.encode()).status_code == 403
    assert support.post(address(Backfill, "command", ours.pk, "carry_out")).status_code == 403
    debugger = reverse("admin:usage_meterevent_debugger")
    assert address(Backfill, "add") in client.get(debugger, {"q": "x"}).content.decode()
    assert address(Backfill, "add") not in support.get(debugger, {"q": "x"}).content.decode()


def test_canceling_an_event_says_what_it_does_to_the_draft_first(worlds: Worlds, client: Client) -> None:
    event = MeterEvent.objects.get(identifier=worlds.ours.identifier)
    before = contents()

    asked = client.get(address(MeterEvent, "command", event.pk, "cancel")).content.decode()

    assert "0.10 USD becomes 0.00 USD." in asked
    assert contents() == before


def test_where_the_company_wants_that_a_second_person_lets_it_count(worlds: Worlds, client: Client) -> None:
    assert ApprovalRule.objects.filter(company=worlds.ours.company, kind=ApprovalKind.BACKFILL).exists()
    backfill = Backfill.objects.get(environment=worlds.ours.environment)
    before = contents()

    client.post(address(Backfill, "command", backfill.pk, "carry_out"), {"why": "They were lost."})

    assert contents() == before
    assert ApprovalRequest.objects.filter(kind=ApprovalKind.BACKFILL, why="They were lost.").count() == 1
