"""The payer's page: who sees it, what it says, and what it leaves behind."""

import base64

import pytest
from django.test import Client
from pytest_django import Settings

from accounts.models import Customer
from accounts.tests.factories import NOW, CustomerFactory, EnvironmentFactory
from core import typesetting
from invoices import services
from invoices.documents import document_of, document_of_note
from invoices.links import invoice_of, note_pdf_address, page_address, pdf_address, token_of
from invoices.models import HostedLink, Invoice
from invoices.tests.factories import draft_invoice, open_invoice, subscribe
from invoices.tests.test_documents import rich_invoice
from subscriptions.tests.factories import PriceFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def customer() -> Customer:
    return CustomerFactory.create(name="<b>Evil & Sons</b>")


def page(token: str | None, tail: str = "") -> str:
    return f"/i/{token}{tail}"


def test_a_link_opens_an_invoice_with_all_that_its_pdf_says(client: Client, customer: Customer) -> None:
    invoice = rich_invoice(customer)
    shown = client.get(page(token_of(invoice)))
    text = shown.content.decode()
    document = document_of(invoice)

    assert shown.status_code == 200
    assert document.headline in text
    for line in document.lines:
        assert line.title in text
        assert line.amount in text
        for step in line.steps:
            assert step.words in text
    for row in document.sums:
        assert row.amount in text
    assert "&lt;b&gt;Evil &amp; Sons&lt;/b&gt;" in text
    assert "<b>" not in text


def test_the_pdf_is_the_document_itself(client: Client, customer: Customer) -> None:
    invoice = open_invoice(customer)
    first, again = (client.get(page(token_of(invoice), "/pdf")) for _ in range(2))

    assert first.status_code == 200
    assert first["Content-Type"] == "application/pdf"
    assert invoice.number in first["Content-Disposition"]
    assert first.content.startswith(b"%PDF-")
    assert first.content == again.content


def test_nothing_of_a_page_stays_behind_or_goes_elsewhere(client: Client, customer: Customer) -> None:
    token = token_of(open_invoice(customer))
    for path in (page(token), page(token, "/pdf"), page("wrong")):
        answer = client.get(path)
        assert answer["Cache-Control"] == "no-store, private"
        assert answer["Referrer-Policy"] == "no-referrer"
        assert "noindex" in answer["X-Robots-Tag"]
        policy = answer["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "script-src" not in policy
        assert not answer.cookies


def test_whatever_opens_nothing_is_answered_alike(client: Client, customer: Customer) -> None:
    invoice, other, draft = open_invoice(customer), open_invoice(customer), draft_invoice(customer)
    token, another = token_of(invoice), token_of(other)
    assert token is not None
    assert another is not None
    swapped = base64.urlsafe_b64encode(invoice.pk.bytes + base64.urlsafe_b64decode(another)[16:]).decode()
    of_draft = base64.urlsafe_b64encode(draft.pk.bytes + base64.urlsafe_b64decode(token)[16:]).decode()
    wrong = ["x", token[:-1], token + "A", token[:-1] + "~", swapped, of_draft, "é" * 48, "A" * 48, str(invoice.pk)]
    answers = [client.get(page(one, tail)) for one in wrong for tail in ("", "/pdf")]

    assert token_of(draft) is None
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.content for answer in answers}) == 1


@pytest.mark.parametrize("position", range(0, 48, 5))
def test_no_other_letter_does_instead(customer: Customer, position: int) -> None:
    token = token_of(open_invoice(customer))
    assert token is not None
    other = "A" if token[position] != "A" else "B"

    assert invoice_of(token[:position] + other + token[position + 1 :]) is None


def test_a_link_is_replaced_closed_and_opened_anew(client: Client, customer: Customer) -> None:
    invoice = open_invoice(customer)
    tokens = [token_of(invoice)]
    services.replace_link(invoice=invoice, now=NOW)
    tokens.append(token_of(Invoice.objects.get(pk=invoice.pk)))
    services.close_link(invoice=invoice, now=NOW)
    assert [client.get(page(token)).status_code for token in tokens] == [404, 404]
    assert token_of(Invoice.objects.get(pk=invoice.pk)) is None
    services.replace_link(invoice=invoice, now=NOW)
    tokens.append(token_of(Invoice.objects.get(pk=invoice.pk)))

    assert [client.get(page(token)).status_code for token in tokens] == [404, 404, 200]
    assert len(set(tokens)) == 3
    assert HostedLink.objects.get().number == 3


def test_another_secret_key_opens_nothing(customer: Customer, settings: Settings) -> None:
    token = token_of(open_invoice(customer))
    assert token is not None
    settings.SECRET_KEY = "another"

    assert invoice_of(token) is None


def test_a_page_says_what_became_of_the_invoice(client: Client, customer: Customer) -> None:
    def status_of(invoice: Invoice) -> str:
        text = client.get(page(token_of(invoice))).content.decode()
        return text.split('class="chip')[1].split(">")[1].split("<")[0]

    paid, void = open_invoice(customer), open_invoice(customer)
    services.pay_invoice_out_of_band(invoice=paid, now=NOW)
    services.void_invoice(invoice=void, now=NOW)
    price = PriceFactory.create(environment=customer.environment)
    late, open_ = (
        Invoice.objects.get(
            subscription=subscribe(customer, price, collection_method="send_invoice", days_until_due=days)
        )
        for days in (5, 3650)
    )

    assert [status_of(one) for one in (paid, void, late, open_)] == ["Paid", "Void", "Past due", "Open"]


def test_an_invoice_is_read_and_nothing_else(client: Client, customer: Customer) -> None:
    token = token_of(open_invoice(customer))

    assert client.head(page(token)).status_code == 200
    for method in (client.post, client.put, client.delete, client.patch):
        assert method(page(token)).status_code == 405


def test_a_pdf_that_cannot_be_made_now_is_asked_for_again(
    client: Client, customer: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = token_of(open_invoice(customer))
    monkeypatch.setattr(typesetting, "_PROGRAM", typesetting._PROGRAM.with_name("no_such_program.py"))
    answer = client.get(page(token, "/pdf"))

    assert (answer.status_code, answer["Retry-After"]) == (503, "5")


def test_addresses_are_whole_where_the_instance_knows_its_own(customer: Customer, settings: Settings) -> None:
    invoice = open_invoice(customer)
    settings.PUBLIC_URL = ""
    assert page_address(invoice) is None
    settings.PUBLIC_URL = "https://pay.example.com"
    address = page_address(invoice)

    assert address == f"https://pay.example.com/i/{token_of(invoice)}"
    assert pdf_address(invoice) == f"{address}/pdf"
    assert page_address(draft_invoice(CustomerFactory.create(environment=EnvironmentFactory.create()))) is None


def test_a_credit_note_is_seen_by_the_link_of_its_invoice(client: Client, customer: Customer) -> None:
    invoice, other = rich_invoice(customer), open_invoice(customer)
    note = services.issue_credit_note(invoice=invoice, total=250, now=NOW)
    token = token_of(invoice)
    address = page(token, f"/credit-notes/{note.sequence}")
    text = client.get(address).content.decode()
    document = document_of_note(note)

    assert f'href="{address}"' in client.get(page(token)).content.decode()
    assert f'href="{page(token)}"' in text
    for said in (document.headline, note.number, *(row.amount for row in document.sums)):
        assert said in text
    printed = client.get(f"{address}/pdf")
    assert (printed["Content-Type"], printed["Cache-Control"]) == ("application/pdf", "no-store, private")
    assert note.number in printed["Content-Disposition"]
    assert printed.content.startswith(b"%PDF-")
    missing = client.get(page("wrong")).content
    for elsewhere in (
        page(token_of(other), "/credit-notes/1"),
        page(token, "/credit-notes/2"),
        page(token, f"/credit-notes/{10**30}"),
    ):
        for tail in ("", "/pdf"):
            answer = client.get(elsewhere + tail)
            assert (answer.status_code, answer.content) == (404, missing)
    services.close_link(invoice=invoice, now=NOW)
    assert client.get(address).status_code == 404


def test_a_credit_note_has_its_address_where_its_invoice_has_one(customer: Customer, settings: Settings) -> None:
    note = services.issue_credit_note(invoice=open_invoice(customer), total=250, now=NOW)
    settings.PUBLIC_URL = ""
    assert note_pdf_address(note) is None
    settings.PUBLIC_URL = "https://pay.example.com"

    assert note_pdf_address(note) == f"{page_address(note.invoice)}/credit-notes/1/pdf"
