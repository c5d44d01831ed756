"""The payer's page in a real browser: both color schemes, wide and narrow, with nothing loaded from elsewhere."""

import os
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, expect
from pytest_django.live_server_helper import LiveServer

from accounts.logos import set_logo
from accounts.tests.factories import NOW, CustomerFactory
from billing_project.console.tests.test_browser import NARROW, WIDE, Visit, browser, chromium, pytestmark
from core.tests.test_typesetting import PNG
from invoices.links import token_of
from invoices.tests.test_documents import rich_invoice

__all__ = ["browser", "chromium", "pytestmark"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW])
def test_an_invoice_fits_and_explains_itself(
    transactional_db: None,
    browser: Browser,
    live_server: LiveServer,
    size: tuple[int, int],
    scheme: Literal["light", "dark"],
) -> None:
    customer = CustomerFactory.create(name="شركة الفواتير المحدودة", email="x" * 60 + "@example.com")
    set_logo(company=customer.environment.company, image=PNG, now=NOW)
    invoice = rich_invoice(customer)
    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
    visit = Visit(context, live_server.url)

    page = visit.open(f"/i/{token_of(invoice)}")
    expect(page.get_by_role("heading", level=1)).to_contain_text("due")
    page.get_by_text("How this was computed").first.click()
    expect(page.get_by_text("Tier 2, and above")).to_be_visible()
    assert visit.fits()
    assert visit.trouble == []
    if folder := os.environ.get("TOLLBOOK_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"invoice-{size[0]}-{scheme}.png", full_page=True)
    context.close()
