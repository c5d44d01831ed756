"""A finance manager closes the month in a real browser: from the drafts to the journal."""

import csv
from collections import defaultdict
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from billing_project.console.tests import test_browser
from billing_project.console.tests.test_browser import browser, chromium, ours, visit  # noqa: F401 (fixtures)
from billing_project.console.tests.world import NOW, World
from invoices.exports.writing import write_exports
from invoices.models import BillingFailure, DraftEdit, Invoice, InvoiceVerification
from invoices.services import create_invoice, create_invoice_item

pytestmark = test_browser.pytestmark


@pytest.fixture
def fee(ours: World) -> Invoice:  # noqa: F811
    """A draft over 8.00 USD that somebody made by hand."""
    here: dict[str, Any] = {"environment": ours.environment, "customer": ours.customer, "currency": "usd", "now": NOW}
    draft = create_invoice(**here)
    create_invoice_item(invoice=draft, amount=800, description="Setup fee", **here)
    BillingFailure.objects.all().delete()
    return draft


def test_the_month_is_closed(browser: Browser, live_server: LiveServer, ours: World, fee: Invoice) -> None:  # noqa: F811
    window = visit(browser, live_server)
    window.sign_in("fiona")
    page = window.open("/admin/invoices/invoice/")

    # What needs somebody, and why.
    page.get_by_role("link", name="Needs action 1").click()
    expect(page.get_by_text("It does not become final by itself")).to_be_visible()
    page.get_by_role("link", name="draft", exact=True).click()

    # An edit that stays, and one that is taken back.
    page.get_by_role("link", name="Memo and due date").click()
    page.fill("[name=description]", "For March")
    page.get_by_role("button", name="Memo and due date").click()
    page.get_by_role("link", name="Add item").click()
    page.fill("[name=description]", "A mistake")
    page.fill("[name=unit_price]", "5")
    page.get_by_role("button", name="Add item").click()
    expect(page.get_by_text("It comes to 13.00 USD.")).to_be_visible()
    page.get_by_role("button", name="Undo: “A mistake” added, 5.00 USD").click()
    expect(page.get_by_role("region", name="This draft")).to_contain_text("8.00 USD")
    expect(page.get_by_role("button", name="Undo: Memo changed")).to_be_visible()
    assert DraftEdit.objects.filter(invoice=fee).standing().get().says == "Memo changed"

    # All drafts at once.
    window.open("/admin/invoices/invoice/?tab=draft")
    page.locator("#action-toggle").check()
    page.locator("select[name=action]").select_option("finalize")
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_text("will owe 8.10 USD in test mode")).to_be_visible()
    page.get_by_role("button", name="Finalize").click()
    expect(page.get_by_text(": final.")).to_have_count(2)
    fee.refresh_from_db()
    assert (fee.status, fee.total, fee.description) == ("open", 800, "For March")

    # What was billed is what the events come to.
    ours.invoice.refresh_from_db()
    window.open(f"/admin/invoices/invoice/?q={ours.invoice.number}")
    page.get_by_role("link", name=ours.invoice.number, exact=True).click()
    page.get_by_role("link", name="Compute again").click()
    page.get_by_role("button", name="Compute again").click()
    expect(page.get_by_text("everything on it comes out the same")).to_be_visible()
    assert InvoiceVerification.objects.get(invoice=ours.invoice).is_equal

    _keep_the_books(page, ours, {fee.number: "8.00", ours.invoice.number: "0.10"})
    assert window.trouble == []


def _keep_the_books(page: Page, ours: World, owed: dict[str, str]) -> None:  # noqa: F811
    """Take the journal, which balances, and look at what is owed now."""
    page.get_by_role("link", name="Exports", exact=True).click()
    page.select_option("[name=table]", "journal")
    page.get_by_label("Environment:").select_option(str(ours.environment.pk))
    page.get_by_role("button", name="Export").click()
    expect(page.get_by_text("It waits for a worker.").first).to_be_visible()
    assert write_exports(clock=timezone.now)
    # The page looks by itself whether the file is there.
    with page.expect_download() as fetched:
        page.get_by_role("row", name="journal").get_by_role("link", name="Download").click()
    postings = list(csv.DictReader(fetched.value.path().read_text().splitlines()))
    debits = {row["document"]: row["debit"] for row in postings if row["account"] == "receivable"}
    assert owed.items() <= debits.items()
    balances: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for row in postings:
        balances[row["at"], row["document"]] += Decimal(row["debit"] or 0) - Decimal(row["credit"] or 0)
    assert set(balances.values()) == {Decimal(0)}

    page.get_by_role("link", name="Revenue", exact=True).click()
    page.get_by_label("Environment:").select_option(str(ours.environment.pk))
    page.locator("#content").get_by_role("button", name="Show").click()
    page.locator("section").filter(has_text="Ageing").get_by_role("link", name="8.10 USD").first.click()
    for number, amount in owed.items():
        expect(page.get_by_role("row", name=number)).to_contain_text(amount)
