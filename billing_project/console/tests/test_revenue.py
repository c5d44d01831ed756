"""The page of revenue numbers: what it adds up, where it leads, and that it ends at the wall."""

import re
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import CompanyLogo, User
from billing_project.console.tests.conftest import Worlds
from billing_project.console.tests.visits import member, signed_in
from billing_project.console.tests.world import NOW, USED_AT, World
from core.ids import spell
from invoices.console.revenue import NUMBERS
from invoices.exports import Selection, add_up, table_of
from invoices.services import compute_revenue_figures, figuring


@pytest.fixture
def client(worlds: Worlds) -> Client:
    return signed_in(member(worlds.ours.company, username="ours"))


def ask(client: Client, name: str = "", **asked: Any) -> tuple[int, str]:
    page = (
        reverse("admin:invoices_invoice_revenue_rows", args=[name])
        if name
        else reverse("admin:invoices_invoice_revenue")
    )
    answer = client.get(f"{page}?{urlencode(asked)}")
    return answer.status_code, answer.content.decode()


def span(world: World) -> dict[str, Any]:
    return {"environment": world.environment.pk, "since": USED_AT.date(), "until": NOW.date()}


def test_every_number_says_what_it_means_and_leads_to_its_rows(worlds: Worlds, client: Client) -> None:
    status, overview = ask(client, **span(worlds.ours))
    assert status == 200
    for name, kind in NUMBERS.items():
        assert kind.sums is not None
        assert kind.sums.means in overview
        link = reverse("admin:invoices_invoice_revenue_rows", args=[name])
        assert f'href="{link}?environment={worlds.ours.environment.pk}&amp;since=' in overview
        status, rows = ask(client, name, **span(worlds.ours))
        assert status == 200
        assert reverse("admin:invoices_invoice_export") in rows
    # Usage of the draft is unbilled; its row leads to whose it is.
    assert re.search(r"invoice is not final</td>\s*<td[^>]*>1 row</td>", overview)
    status, rows = ask(client, "unbilled", **span(worlds.ours))
    assert reverse("admin:accounts_customer_overview", args=[worlds.ours.customer.pk]) in rows
    assert spell("sub", worlds.ours.subscription.pk) in rows


def test_a_number_is_the_sum_of_its_rows(worlds: Worlds) -> None:
    for name, kind in NUMBERS.items():
        assert kind.sums is not None
        selection = Selection(worlds.ours.environment, now=NOW)
        amount, currency = (kind.columns.index(column) for column in (kind.sums.of, "currency"))
        expected: dict[Any, Decimal] = {}
        for row in table_of(name, selection).rows:
            expected[row[currency]] = expected.get(row[currency], Decimal(0)) + Decimal(str(row[amount]))
        found: dict[Any, Decimal] = {}
        for (key, *_), one in add_up(name, selection).items():
            found[key] = found.get(key, Decimal(0)) + one.amount
        assert found == expected, name


def test_the_page_ends_at_the_wall(worlds: Worlds, client: Client) -> None:
    for name in ("", *NUMBERS):
        status, text = ask(client, name, **span(worlds.theirs))
        assert (status, "Select a valid choice" in text) == (200, True)
        assert "Theirs" not in text
        assert "tb-list" not in text
        status, text = ask(client, name)
        assert (status, "Theirs" in text) == (200, False)
    nobody = User.objects.create_user("nobody", password="x", is_staff=True)
    assert {ask(signed_in(nobody), name)[0] for name in ("", *NUMBERS)} == {403}
    assert ask(client, "no-such-number", **span(worlds.ours))[0] == 200


def test_a_credit_note_s_pdf_ends_at_the_wall(worlds: Worlds, client: Client) -> None:
    # The worlds' logo is no picture.
    CompanyLogo.objects.all().delete()
    ours, theirs = (world.invoice.environment.credit_notes.get() for world in worlds)
    mine = client.get(reverse("admin:invoices_creditnote_pdf", args=[ours.pk]))

    assert mine.content.startswith(b"%PDF-")
    assert ours.number in mine["Content-Disposition"]
    assert client.get(reverse("admin:invoices_creditnote_pdf", args=[theirs.pk])).status_code == 404


def test_a_part_of_a_number_leads_to_its_own_rows(worlds: Worlds, client: Client) -> None:
    overview = ask(client, **span(worlds.ours))[1]
    link = reverse("admin:invoices_invoice_revenue_rows", args=["unbilled"])
    for part in ("invoice is not final", "period is running"):
        of = urlencode({"of": ["USD", part]}, doseq=True).replace("&", "&amp;")
        assert (f"{link}?" in overview and of in overview) == (part == "invoice is not final")
        rows = ask(client, "unbilled", **span(worlds.ours), of="USD")[1]
        assert spell("sub", worlds.ours.subscription.pk) in rows
        answer = client.get(f"{link}?{urlencode({**span(worlds.ours), 'of': ['USD', part]}, doseq=True)}")
        assert (spell("sub", worlds.ours.subscription.pk) in answer.content.decode()) == (
            part == "invoice is not final"
        )


def test_it_opens_on_an_environment_that_bills_somebody(worlds: Worlds, client: Client) -> None:
    environment = worlds.ours.environment
    other = environment.company.environments.exclude(pk=environment.pk).get()
    assert not other.invoices.exists()

    answer = client.get(reverse("admin:invoices_invoice_revenue"))

    assert answer.context["form"].cleaned_data["environment"] == environment


def test_a_large_book_is_added_up_while_the_page_waits(
    worlds: Worlds, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figuring, "LARGE_SUBSCRIPTIONS", 0)
    refresh = 'data-refresh="'
    first = ask(client, **span(worlds.ours))[1]
    assert first.count("This is being added up") == len(NUMBERS)
    assert refresh in first

    compute_revenue_figures(now=timezone.now())
    second = ask(client, **span(worlds.ours))[1]

    assert "This is being added up" not in second
    assert refresh not in second
    assert second.count("As of") == len(NUMBERS)
    assert re.search(r"invoice is not final</td>\s*<td[^>]*>1 row</td>", second)
