"""Two journeys in a real browser: void and reissue with a second person, roll a key; and both in the audit trail."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect
from pytest_django.live_server_helper import LiveServer

from accounts.approvals.models import ApprovalKind, ApprovalRule
from accounts.models import ApiKey
from billing_project.console.tests.test_browser import (
    CHROMIUM,
    SCHEMES,
    browser,  # noqa: F401 (a fixture)
    chromium,  # noqa: F401 (a fixture)
    visit,
)
from billing_project.console.tests.visits import member
from billing_project.console.tests.world import World, make_world
from invoices.models import Invoice
from invoices.services import finalize_invoice

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium: apt-get install chromium"),
    pytest.mark.xdist_group("browser"),
]


@pytest.fixture
def ours(transactional_db: None) -> World:
    """A company that wants a second person to void more than five cents, and an invoice over ten."""
    world = make_world("Ours")
    member(world.company, username="fiona", role="finance_manager")
    member(world.company, username="ada", role="administrator")
    ApprovalRule.objects.create(company=world.company, kind=ApprovalKind.VOID, currency="usd", limit=5)
    clock = world.customer.test_clock
    assert clock is not None
    clock.refresh_from_db()
    finalize_invoice(invoice=world.invoice, now=clock.frozen_at)
    return world


def test_an_invoice_is_voided_and_reissued_by_two(
    browser: Browser,  # noqa: F811
    live_server: LiveServer,
    ours: World,
) -> None:
    first, second = visit(browser, live_server), visit(browser, live_server)
    page = first.sign_in("fiona")
    first.open(f"/admin/invoices/invoice/{ours.invoice.pk}/change/")
    page.get_by_role("link", name="Void and reissue").click()
    page.get_by_role("button", name="Void and reissue").click()
    expect(page.get_by_text("A second person has to approve this. Tell them why.")).to_be_visible()
    page.get_by_label("Why").fill("The address was wrong")
    page.get_by_role("button", name="Void and reissue").click()
    expect(page.get_by_text("waits for a second person now. Nothing has happened yet.")).to_be_visible()
    ours.invoice.refresh_from_db()
    assert ours.invoice.status == Invoice.Status.OPEN

    page = second.sign_in("ada")
    page.get_by_role("link", name="1 request needs a second person").or_(
        page.get_by_role("link", name="requests need a second person")
    ).first.click()
    page.get_by_role("link", name="Void and reissue:").click()
    expect(page.get_by_text("The address was wrong")).to_be_visible()
    page.get_by_role("link", name="Approve").click()
    expect(page.get_by_text("0.10 USD").first).to_be_visible()
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_text("approved, and done.")).to_be_visible()

    ours.invoice.refresh_from_db()
    assert ours.invoice.status == Invoice.Status.VOID
    assert Invoice.objects.filter(revises=ours.invoice, status="draft").exists()
    second.open(f"/admin/invoices/invoice/{ours.invoice.pk}/history/")
    expect(page.get_by_text("The address was wrong (asked for by fiona)")).to_be_visible()
    expect(page.get_by_text("open → void")).to_be_visible()
    assert first.trouble + second.trouble == []


def test_a_key_is_rolled_and_the_trail_says_so(
    browser: Browser,  # noqa: F811
    live_server: LiveServer,
    ours: World,
) -> None:
    old = ApiKey.objects.get(environment=ours.environment)
    window = visit(browser, live_server)
    page = window.sign_in("ada")
    window.open(f"/admin/accounts/apikey/{old.pk}/change/")
    page.get_by_role("link", name="Roll").click()
    page.get_by_role("button", name="Roll").click()
    expect(page.get_by_text("This is the only time the secret is shown")).to_be_visible()
    new = ApiKey.objects.exclude(pk=old.pk).get(environment=ours.environment)

    window.open("/admin/audit/entry/?relation=accounts_apikey")
    for key in (old, new):
        expect(page.get_by_role("link", name="api key").and_(page.get_by_title(str(key.pk))).first).to_be_visible()
    expect(page.get_by_role("row", name="ada").first).to_be_visible()
    shown = page.content()
    assert old.digest not in shown
    assert new.digest not in shown
    assert window.trouble == []


@SCHEMES
def test_pages_of_oversight_fit(
    browser: Browser,  # noqa: F811
    live_server: LiveServer,
    ours: World,
    scheme: str,
    sizes: Sequence[tuple[int, int]],
) -> None:
    window = visit(browser, live_server, scheme=scheme)
    window.sign_in("ada")
    looked = os.environ.get("LOOK")
    for number, path in enumerate(
        (
            "/admin/",
            "/admin/audit/entry/",
            f"/admin/invoices/invoice/{ours.invoice.pk}/history/",
            "/admin/accounts/approvalrequest/",
            f"/admin/accounts/approvalrequest/{ours.company.approval_requests.first().pk}/change/",  # type: ignore[union-attr]
            f"/admin/invoices/invoice/{ours.invoice.pk}/do/void/",
            "/admin/accounts/approvalrule/",
        )
    ):
        for width in window.through(sizes, path):
            if looked:
                window.page.screenshot(path=str(Path(looked) / f"{number}-{width}-{scheme}.png"), full_page=True)
            assert window.fits(), (path, width)
        assert window.trouble == [], path
