"""What every answer tells a browser: pages may do what they need, programs' answers nothing, and nobody is framed."""

import re

import pytest
from django.test import Client
from django.urls import reverse

from billing_project.console.tests.conftest import Worlds
from billing_project.console.tests.visits import address, signed_in, superuser
from invoices.models import Invoice

# Answers of every door, of pages and files, made by views and by middleware, good and bad.
PATHS = (
    "/",
    "/admin",
    "/admin/",
    "/admin/login/",
    "/admin/no-such-page/",
    "/healthz",
    "/i/no-such-link",
    "/openapi/",
    "/openapi/stripe",
    "/openapi/stripe.json",
    "/v1/customers",
    "/v1/no-such-address",
    "/v2/billing/meter_events",
    "/api/v1/meters",
    "/api/meters",
    "/no-such-page",
)


def directives(policy: str) -> dict[str, list[str]]:
    return {name: sources for name, *sources in (part.split() for part in policy.split(";"))}


@pytest.mark.django_db
@pytest.mark.parametrize("path", PATHS)
def test_every_answer_says_what_a_browser_may_do(path: str) -> None:
    answer = Client(raise_request_exception=False).get(path)

    policy = directives(answer["Content-Security-Policy"])
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == ["'none'"]
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["X-Frame-Options"] == "DENY"
    assert answer["Referrer-Policy"] in ("same-origin", "no-referrer")
    assert answer["Cross-Origin-Opener-Policy"] == "same-origin"
    assert "camera=()" in answer["Permissions-Policy"]
    text = answer["Content-Security-Policy"]
    assert "*" not in text
    assert "http" not in text
    assert "unsafe-inline" not in text
    # The theme's Alpine asks for it, on its own pages.
    assert ("unsafe-eval" in text) is path.startswith("/admin")
    if not path.startswith(("/admin", "/openapi", "/i/")):
        assert set(policy) == {"default-src", "base-uri", "form-action", "frame-ancestors"}


def test_no_page_holds_a_script_or_a_style(worlds: Worlds) -> None:
    client = signed_in(superuser())
    pages = ("/admin/", address(Invoice, "changelist"), address(Invoice, "change", worlds.ours.invoice.pk))
    for path in (*pages, reverse("admin:login"), reverse("openapi-index")):
        shown = client.get(path, follow=True).content.decode()
        assert re.findall(r"<style|\sstyle=|\son[a-z]+=\"|javascript:", shown) == [], path
        assert [tag for tag in re.findall(r"<script[^>]*>", shown) if "src=" not in tag] == [], path
