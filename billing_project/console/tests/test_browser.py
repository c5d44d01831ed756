"""The console in a real browser: signing in, the start page, an invoice finalized, both color schemes, wide and narrow."""

import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from pytest_django.live_server_helper import LiveServer

from accounts.approvals.models import ApprovalKind, ApprovalRule
from billing_project.console.tests.visits import member, superuser
from billing_project.console.tests.world import NOW, USED_AT, World, bill_one_more_period, make_world
from core.ids import spell
from invoices.models import Invoice, WhatIf
from invoices.services import create_invoice, create_invoice_item, finalize_invoice
from usage.models import Backfill

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WIDE, NARROW = (1440, 1000), (390, 844)
# Told in the page what to tell us: of all that it looked at, most is fine.
HINDRANCES = """async () => {
    const { violations } = await axe.run({ resultTypes: ["violations"] });
    return violations
        .filter(({ impact }) => ["serious", "critical"].includes(impact))
        .flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html.slice(0, 200)}`));
}"""

pytestmark = [
    # A browser is a system package, which `make test` can install only as root. Otherwise it says so aloud.
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium: apt-get install chromium"),
    pytest.mark.xdist_group("browser"),
]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        # Playwright keeps an event loop in this thread, where Django would refuse its ORM to tests and their clean-up.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS, headless=True)
        yield started
        started.close()


@pytest.fixture
def browser(chromium: Browser) -> Iterator[Browser]:
    yield chromium
    # A window that is left open goes on drawing.
    for context in chromium.contexts:
        context.close()


@pytest.fixture
def ours(transactional_db: None) -> World:
    world = make_world("Ours")
    member(world.company, username="fiona", role="finance_manager")
    superuser()
    return world


class Visit:
    """A window of a size and color scheme, and what went wrong in it."""

    def __init__(self, context: BrowserContext, address: str) -> None:
        self.page: Page = context.new_page()
        self.address = address
        self.trouble: list[str] = []
        self.page.on("pageerror", lambda error: self.trouble.append(str(error)))
        self.page.on("console", lambda line: self.trouble.append(line.text) if line.type == "error" else None)
        self.page.on("request", lambda request: self._watch(request.url))

    def _watch(self, url: str) -> None:
        if not url.startswith((self.address, "data:")):
            self.trouble.append(f"asked a stranger: {url}")

    def open(self, path: str) -> Page:
        self.page.goto(self.address + path)
        return self.page

    def sign_in(self, username: str) -> Page:
        page = self.open("/admin/")
        page.fill("[name=username]", username)
        page.fill("[name=password]", "x")
        page.click("[type=submit]")
        page.wait_for_url(re.compile(r"/admin/$"))
        return page

    def hindrances(self) -> list[str]:
        """What axe finds that would keep somebody from using the page, and where."""
        self.page.evaluate(AXE_SCRIPT)
        found: list[str] = self.page.evaluate(HINDRANCES)
        return found

    def through(self, sizes: Sequence[tuple[int, int]], path: str) -> Iterator[int]:
        """Open a page in the first size, then bring it to the others; the width of each."""
        for number, (width, height) in enumerate(sizes):
            self.page.set_viewport_size({"width": width, "height": height})
            if number == 0:
                self.open(path)
            yield width

    def fits(self) -> bool:
        """Whether nothing makes the whole page scroll sideways."""
        return bool(self.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))


def visit(browser: Browser, live_server: LiveServer, scheme: str = "light", zone: str = "UTC") -> Visit:
    context = browser.new_context(
        viewport={"width": WIDE[0], "height": WIDE[1]},
        color_scheme=scheme,  # type: ignore[arg-type]
        timezone_id=zone,
    )
    return Visit(context, live_server.url)


def test_signing_in_leads_to_the_start_page(browser: Browser, live_server: LiveServer, ours: World) -> None:
    window = visit(browser, live_server)
    page = window.open("/admin/login/")
    page.fill("[name=username]", "fiona")
    page.fill("[name=password]", "wrong")
    page.click("[type=submit]")
    expect(page.get_by_text("Please enter the correct username and password")).to_be_visible()

    page.fill("[name=password]", "x")
    page.click("[type=submit]")

    expect(page).to_have_url(re.compile(r"/admin/$"))
    expect(page.get_by_role("heading", name="Events per hour")).to_be_visible()
    expect(page.get_by_text("No usage in the last 24 hours")).to_be_visible()
    expect(page.get_by_text("0.10 USD").first).to_be_visible()
    # What her role may not see is not in the menu.
    expect(page.get_by_role("link", name="API keys")).to_have_count(0)
    expect(page.get_by_role("link", name="Invoices", exact=False).first).to_be_visible()
    assert window.trouble == []


def test_a_bar_leads_to_its_hour(browser: Browser, live_server: LiveServer, ours: World) -> None:
    window = visit(browser, live_server)
    page = window.sign_in("fiona")

    page.locator(".tb-chart svg a").last.click()

    expect(page).to_have_url(re.compile("hour__gte="))
    expect(page.get_by_text(f"{USED_AT:%Y-%m-%d %H}:00:00 UTC")).to_be_visible()


def test_an_invoice_is_finalized_after_a_question(browser: Browser, live_server: LiveServer, ours: World) -> None:
    window = visit(browser, live_server)
    page = window.sign_in("fiona")

    page.get_by_role("link", name="1 invoice").click()
    page.get_by_role("link", name="draft", exact=True).first.click()
    expect(page.get_by_text("0.0025 USD").first).to_be_visible()
    page.get_by_role("link", name="Finalize").click()
    expect(page.get_by_text("will owe 0.10 USD in test mode")).to_be_visible()
    page.get_by_role("link", name="No, go back").click()
    ours.invoice.refresh_from_db()
    assert ours.invoice.status == Invoice.Status.DRAFT

    page.get_by_role("link", name="Finalize").click()
    page.get_by_role("button", name="Finalize").click()
    expect(page.get_by_text(": final.")).to_be_visible()

    ours.invoice.refresh_from_db()
    assert (ours.invoice.status, ours.invoice.total) == (Invoice.Status.OPEN, 10)
    expect(page.get_by_role("link", name="Finalize")).to_have_count(0)
    expect(page.get_by_role("link", name="Void", exact=True)).to_be_visible()
    assert window.trouble == []


def test_a_list_acts_on_what_is_chosen(browser: Browser, live_server: LiveServer, ours: World) -> None:
    window = visit(browser, live_server)
    window.sign_in("fiona")
    page = window.open("/admin/invoices/invoice/")

    page.locator("input.action-select").last.check()
    page.locator("select[name=action]").select_option("finalize")
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_text("will owe 0.10 USD in test mode")).to_be_visible()
    page.get_by_role("button", name="Finalize").click()
    expect(page.get_by_text(": final.")).to_be_visible()

    ours.invoice.refresh_from_db()
    assert ours.invoice.status == Invoice.Status.OPEN


def test_why_a_customer_s_bill_rose_is_found(browser: Browser, live_server: LiveServer, ours: World) -> None:
    invoice = bill_one_more_period(ours, used=4_000)
    window = visit(browser, live_server, zone="Europe/Berlin")
    window.sign_in("fiona")
    page = window.open("/admin/accounts/customer/")

    page.get_by_role("link", name=str(ours.customer)).click()
    # A setup fee of 7.00 and usage of 10.00 less a tenth, both with tax, against ten cents.
    expect(page.get_by_role("row", name=invoice.number).first).to_contain_text("17.50 USD")
    page.get_by_role("link", name=invoice.number, exact=True).first.click()
    page.get_by_role("link", name=invoice.lines.get(price=ours.price).description).click()
    expect(page.get_by_role("row", name="because of the quantity")).to_contain_text("9.90 USD")
    expect(page.get_by_role("row", name="because of the price")).to_contain_text("0.00 USD")
    page.get_by_role("button", name="Compute it again").click()
    expect(page.get_by_text("comes out as it was billed")).to_be_visible()
    # The reader's own time, and UTC on hover.
    used_at = page.get_by_role("row", name=f"{ours.identifier}-more").locator("time")
    expect(used_at).to_have_text("2026-04-03 02:30:00 CEST")
    expect(used_at).to_have_attribute("title", re.compile(r"2026-04-03T00:30:00\.000000\+00:00"))
    page.get_by_role("link", name=f"{ours.identifier}-more").click()
    page.get_by_role("link", name="What became of it").click()
    expect(page.get_by_text("counted", exact=True)).to_be_visible()
    expect(page.get_by_role("cell", name="Billed.")).to_contain_text(invoice.number)
    assert window.trouble == []


def test_a_wrong_event_is_put_right_before_its_invoice_is_final(
    browser: Browser, live_server: LiveServer, ours: World, tmp_path: Path
) -> None:
    ApprovalRule.objects.filter(kind=ApprovalKind.BACKFILL).delete()
    window = visit(browser, live_server)
    window.sign_in("fiona")
    page = window.open("/admin/usage/meterevent/debugger/")
    page.get_by_label("An identifier, an id").fill(ours.identifier)
    page.get_by_role("button", name="Find").click()
    expect(page.get_by_role("cell", name="On a draft")).to_be_visible()
    page.get_by_role("link", name="Cancel this event").click()
    expect(page.get_by_text("0.10 USD becomes 0.00 USD.")).to_be_visible()
    page.get_by_label("Reason").fill("A tenth of what it should be")
    page.get_by_role("button", name="Cancel this event").click()
    expect(page.get_by_text(": canceled.")).to_be_visible()
    ours.invoice.refresh_from_db()
    assert ours.invoice.total == 0

    window.open("/admin/usage/meterevent/debugger/?q=nothing")
    page.get_by_role("link", name="Bring in events").click()
    of_theirs = f"{ours.meter.event_name},{spell('cus', ours.customer.pk)},{USED_AT.isoformat()},400"
    right = tmp_path / "right.csv"
    right.write_text(
        f"event_name,customer,timestamp,value,identifier\n{of_theirs},right\n{of_theirs},{ours.identifier}\n"
    )
    page.locator("#id_environment").select_option(str(ours.environment.pk))
    page.locator("input[name=file]").set_input_files(right)
    page.locator("[name=reason]").fill("The right amount")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("row", name="The draft over")).to_contain_text("0.99 USD")
    expect(page.get_by_role("row", name="duplicate")).to_contain_text("Its identifier is held")
    ours.invoice.refresh_from_db()
    assert ours.invoice.total == 0

    page.get_by_role("link", name="Carry out").click()
    expect(page.get_by_text("0.00 USD becomes 0.99 USD.")).to_be_visible()
    page.get_by_role("button", name="Carry out").click()
    expect(page.get_by_text(": carried out.")).to_be_visible()
    ours.invoice.refresh_from_db()
    assert ours.invoice.total == 99
    assert window.trouble == []


# Each page is opened in one size and brought to the other.
SCHEMES = pytest.mark.parametrize(("scheme", "sizes"), [("light", (NARROW, WIDE)), ("dark", (WIDE, NARROW))])


@SCHEMES
def test_main_pages_fit_ask_no_stranger_and_can_be_used_by_everybody(
    browser: Browser, live_server: LiveServer, ours: World, scheme: str, sizes: Sequence[tuple[int, int]]
) -> None:
    here: dict[str, Any] = {"environment": ours.environment, "customer": ours.customer, "currency": "usd", "now": NOW}
    open_ = create_invoice(**here)
    create_invoice_item(invoice=open_, amount=800, **here)
    finalize_invoice(invoice=open_, now=NOW)
    window = visit(browser, live_server, scheme=scheme)
    page = window.sign_in("root")

    hindrances: list[tuple[str, int, str]] = []
    for path in (
        "/admin/",
        "/admin/invoices/invoice/",
        f"/admin/invoices/invoice/{ours.invoice.pk}/change/",
        f"/admin/invoices/invoice/{ours.invoice.pk}/do/finalize/",
        f"/admin/invoices/invoice/{open_.pk}/change/",
        "/admin/invoices/invoice/?tab=action",
        f"/admin/invoices/whatif/{WhatIf.objects.get().pk}/report/",
        f"/admin/invoices/whatif/new/?price={ours.price.pk}",
        f"/admin/subscriptions/subscription/{ours.subscription.pk}/change/",
        f"/admin/invoices/invoiceline/{ours.invoice.lines.get().pk}/explain/",
        f"/admin/accounts/customer/{ours.customer.pk}/overview/",
        "/admin/usage/meterevent/",
        "/admin/usage/meterevent/debugger/",
        f"/admin/meters/meter/explorer/?meter={ours.meter.pk}&by=customer",
        f"/admin/meters/meter/explorer/?meter={ours.meter.pk}&window=hour",
        f"/admin/usage/backfill/{Backfill.objects.get(environment=ours.environment).pk}/review/",
        "/admin/usage/backfill/add/",
        f"/admin/usage/meterevent/debugger/?q={ours.identifier}",
        "/admin/usage/usagesummary/",
        f"/admin/meters/meter/{ours.meter.pk}/change/",
        f"/admin/accounts/company/{ours.company.pk}/change/",
        "/admin/accounts/apikey/",
        "/admin/accounts/apikey/add/",
        "/admin/accounts/environment/choose/",
        "/admin/invoices/invoice/revenue/",
        "/admin/invoices/invoice/export/",
        "/admin/import/",
        "/admin/audit/entry/",
        f"/admin/accounts/customer/{ours.customer.pk}/history/",
        "/admin/accounts/approvalrequest/",
        "/admin/accounts/approvalrule/",
        "/admin/accounts/apirequest/",
        f"/admin/accounts/company/{ours.company.pk}/do/set_logo/",
    ):
        for width in window.through(sizes, path):
            assert window.fits(), (path, width)
            hindrances += [(path, width, one) for one in window.hindrances()]
        dark = page.evaluate("document.documentElement.classList.contains('dark')")
        assert dark is (scheme == "dark"), path
    # What the theme does when a file is chosen, on the last of them.
    page.set_input_files("input[type=file]", {"name": "a.png", "mimeType": "image/png", "buffer": b"x"})
    # A browser complains in its console of whatever a page's policy has stopped.
    assert window.trouble == []
    assert hindrances == []
