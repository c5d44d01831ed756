"""The desk of invoices: tabs, sums, reasons, and edits of drafts with their undoing."""

import re
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.tests.factories import CustomerFactory
from billing_project.console.tests.conftest import Worlds
from billing_project.console.tests.visits import address, member, signed_in
from billing_project.console.tests.world import NOW
from core.console.paging import counts
from core.ids import spell
from invoices.models import (
    BillingFailure,
    CustomerBalance,
    DraftEdit,
    Invoice,
    InvoiceItem,
    InvoiceMail,
    InvoiceVerification,
)
from invoices.services import create_invoice, create_invoice_item, finalize_invoice
from subscriptions.services import create_coupon, create_promotion_code, create_tax_rate

LIST = address(Invoice, "changelist")


@pytest.fixture
def client(worlds: Worlds) -> Client:
    return signed_in(member(worlds.ours.company, username="ours", role="finance_manager"))


def tabs(client: Client, **query: str) -> dict[str, str]:
    answer = client.get(LIST, query)
    return {str(tab["title"]): tab["count"] for tab in answer.context["review"]["tabs"]}


def listed(client: Client, **query: str) -> set[Invoice]:
    return set(client.get(LIST, query).context["cl"].result_list)


def said(answer: Any) -> str:
    return " ".join(str(message) for message in get_messages(answer.wsgi_request))


def do(row: Any, name: str) -> str:
    return address(type(row), "command", row.pk, name)


def an_invoice(worlds: Worlds, amount: int, **terms: Any) -> Invoice:
    here: dict[str, Any] = {
        "environment": worlds.ours.environment,
        "customer": worlds.ours.customer,
        "currency": "usd",
        "now": NOW,
    }
    invoice = create_invoice(**here, **terms)
    create_invoice_item(invoice=invoice, amount=amount, description="Setup", **here)
    invoice.refresh_from_db()
    return invoice


def test_tabs_count_and_hold_what_they_say(worlds: Worlds, client: Client) -> None:
    sent = an_invoice(worlds, 500, collection_method="send_invoice", days_until_due=10)
    open_ = finalize_invoice(invoice=sent, now=NOW)
    paid = Invoice.objects.get(environment=worlds.ours.environment, status="paid")
    BillingFailure.objects.all().delete()

    assert tabs(client) == {
        "All": "3", "Draft": "1", "Needs action": "0", "Open": "1", "Past due": "0", "Paid": "1", "Void": "0", "Given up": "0",
    }  # fmt: skip
    assert listed(client, tab="draft") == {worlds.ours.invoice}
    assert listed(client, tab="open") == {open_}
    assert listed(client, tab="paid") == {paid}
    # The customer's clock decides, whatever the wall says.
    clock = worlds.ours.customer.test_clock
    assert clock is not None
    clock.frozen_at = NOW + timedelta(days=11)
    clock.save()
    assert listed(client, tab="past_due") == {open_}
    assert tabs(client, q=open_.number)["Past due"] == "1"
    assert tabs(client, q=paid.number)["Past due"] == "0"
    # The draft's grace is long over by now.
    assert listed(client, tab="action") == {worlds.ours.invoice}
    assert client.get(LIST, {"tab": "nonsense"}).status_code == 200


def test_a_number_is_searched_in_whatever_case(worlds: Worlds, client: Client) -> None:
    paid = Invoice.objects.get(environment=worlds.ours.environment, status="paid")

    assert listed(client, q=paid.number.lower()) == {paid}
    assert listed(client, q=spell("in", paid.pk)) == {paid}
    theirs = Invoice.objects.get(environment=worlds.theirs.environment, status="paid")
    assert listed(client, q=theirs.number) == set()


def test_each_reason_to_act_is_said_in_words(worlds: Worlds, client: Client) -> None:
    manual = an_invoice(worlds, 100)
    failing = worlds.ours.invoice
    sent = finalize_invoice(invoice=an_invoice(worlds, 700), now=NOW)
    mail = {"environment": sent.environment, "invoice": sent, "recipient": "a@example.com", "requested_at": NOW}
    InvoiceMail.objects.create(state="failed", error="No such mailbox", next_attempt_at=NOW, **mail)
    wrong = Invoice.objects.get(environment=worlds.ours.environment, status="paid")
    InvoiceVerification.objects.filter(invoice=wrong).update(is_equal=False)

    answer = client.get(LIST, {"tab": "action"})

    shown = answer.content.decode()
    assert set(answer.context["cl"].result_list) == {manual, failing, sent, wrong}
    for reason in (
        "It does not become final by itself",
        "It could not be billed or made final: It was too large.",
        "The mail to a@example.com failed: No such mailbox",
        "Computed again, it came out different.",
    ):
        assert reason in shown
    assert "needs action because" not in client.get(LIST).content.decode()

    # What was sent since, and what was settled, needs nobody.
    InvoiceMail.objects.create(state="sent", sent_at=NOW, next_attempt_at=NOW, **mail)
    InvoiceVerification.objects.filter(invoice=wrong).update(resolved_at=NOW)
    assert listed(client, tab="action") == {manual, failing}


def test_what_has_no_invoice_stands_above_the_list(worlds: Worlds, client: Client) -> None:
    for world in worlds:
        BillingFailure.objects.create(
            environment=world.environment, subscription=world.subscription, reason=f"{world.company} is too large.",
            failed_at=NOW, retry_at=NOW,
        )  # fmt: skip

    shown = client.get(LIST, {"tab": "action"}).content.decode()

    assert "Ours is too large." in shown
    assert "Theirs" not in shown
    assert "is too large." not in client.get(LIST).content.decode()


def test_what_is_shown_is_added_up_by_currency(worlds: Worlds, client: Client) -> None:
    finalize_invoice(invoice=an_invoice(worlds, 700), now=NOW)

    def sums(**query: str) -> list[tuple[int, str, str]]:
        rows = client.get(LIST, query).context["review"]["sums"]
        return [(row["count"], row["total"], row["remaining"]) for row in rows]

    assert sums(tab="open") == [(1, "7.00 USD", "7.00 USD")]
    assert sums(tab="paid") == [(1, "3.00 USD", "")]
    assert sums(tab="void") == []
    # 10 cents of the draft as well.
    assert sums() == [(3, "10.10 USD", "7.00 USD")]
    assert sums(environment__id__exact=str(worlds.ours.environment.pk)) == sums()
    assert sums(environment__id__exact=str(worlds.theirs.environment.pk)) == []


def test_tabs_count_up_to_a_bound_in_one_statement(worlds: Worlds) -> None:
    everything = Invoice.objects.all()
    with CaptureQueriesContext(connection) as queries:
        assert counts([everything, Invoice.objects.none(), everything.filter(status="void")], most=2) == [3, 0, 0]
    assert [query["sql"].count("LIMIT 3") for query in queries] == [2]


def test_a_draft_is_edited_in_place_and_each_edit_undone_with_one_click(worlds: Worlds, client: Client) -> None:
    draft = an_invoice(worlds, 500, collection_method="send_invoice", days_until_due=30)
    page = address(Invoice, "change", draft.pk)
    item = InvoiceItem.objects.get(invoice=draft)

    asking = client.get(do(draft, "words")).content.decode()
    assert "comes to 5.00 USD now" in asking
    assert 'value="30"' in asking
    client.post(do(draft, "words"), {"description": "Thank you", "footer": "", "days_until_due": "14"})
    answer = client.post(do(draft, "add_item"), {"description": "More", "unit_price": "0.125", "quantity": "3"})
    assert "It comes to 5.38 USD." in said(answer)
    assert 'value="5"' in client.get(do(item, "change")).content.decode()
    answer = client.post(do(item, "change"), {"description": "Setup", "quantity": "2", "unit_price": "5"})
    assert answer["Location"] == page
    client.post(do(draft, "balance"), {"amount": "1.50", "description": "Sorry"})
    answer = client.post(do(InvoiceItem.objects.get(description="More"), "remove"))
    assert answer["Location"] == page
    draft.refresh_from_db()
    assert (draft.description, draft.days_until_due, draft.total) == ("Thank you", 14, 1000)

    shown = client.get(page).content.decode()
    assert "to be paid, if it became final now" in shown.lower()
    assert "8.50 USD" in shown
    assert '<b>unit amount</b> <span class="amount">5.00 USD</span>' in shown
    undone = re.findall(r'action="(/admin/invoices/draftedit/[^"]+/do/undo/)"', shown)
    assert len(undone) == 5
    for path in undone:
        answer = client.post(path)
        assert answer["Location"] == page
        assert "undone." in said(answer)
    draft.refresh_from_db()
    assert (draft.description, draft.days_until_due, draft.total) == ("", 30, 500)
    assert CustomerBalance.objects.get(customer=draft.customer, currency="usd").amount == 0
    assert "Nothing was edited by hand" in client.get(page).content.decode()

    client.post(do(draft, "words"), {"description": "A", "footer": "", "days_until_due": "14"})
    edit = DraftEdit.objects.standing().get(invoice=draft)
    finalize_invoice(invoice=draft, now=timezone.now())
    assert "does not apply" in said(client.post(do(edit, "undo")))


def test_a_coupon_is_applied_and_taken_off(worlds: Worlds, client: Client) -> None:
    draft = an_invoice(worlds, 500)
    asking = client.get(do(draft, "coupon")).content.decode()
    assert "Ours coupon" in asking
    assert "Theirs" not in asking
    theirs = client.post(do(draft, "coupon"), {"coupon": str(_coupon(worlds.theirs))})
    assert "Select a valid choice" in theirs.content.decode()

    # It is for the product of the meter: it takes nothing off a setup fee, and stands on the draft.
    client.post(do(draft, "coupon"), {"coupon": str(_coupon(worlds.ours))})
    [row] = draft.discounts.all()
    client.post(do(draft, "discount"), {"discount": str(row.discount_id)})

    assert not draft.discounts.exists()
    assert [edit.says for edit in DraftEdit.objects.filter(invoice=draft)] == [
        "Discount “Ours coupon” taken off", "Coupon “Ours coupon” applied",
    ]  # fmt: skip


def test_a_promotion_code_is_redeemed_as_the_customer_says_it(worlds: Worlds, client: Client) -> None:
    draft = an_invoice(worlds, 500)
    half = create_coupon(
        environment=draft.environment, percent_off=Decimal(50), duration="once", name="Half", now=timezone.now()
    )
    anybody: dict[str, Any] = {"environment": draft.environment, "coupon": half, "now": timezone.now()}
    create_promotion_code(code="SPRING", **anybody)
    others = CustomerFactory.create(environment=draft.environment)
    create_promotion_code(code="FOROTHERS", customer=others, **anybody)

    for said_code in ("forothers", "unknown"):
        answer = client.post(do(draft, "coupon"), {"promotion_code": said_code})
        assert "There is no such code in use for this customer." in answer.content.decode()
    assert "one of the two" in client.post(do(draft, "coupon"), {}).content.decode()
    client.post(do(draft, "coupon"), {"promotion_code": " spring "})

    draft.refresh_from_db()
    assert draft.total == 250
    edit = DraftEdit.objects.get(invoice=draft)
    assert edit.says == "Promotion code “SPRING” applied"
    client.post(do(edit, "undo"))
    draft.refresh_from_db()
    assert draft.total == 500


def test_the_taxes_of_a_draft_are_chosen(worlds: Worlds, client: Client) -> None:
    draft = an_invoice(worlds, 500)
    made: dict[str, Any] = {"inclusive": False, "display_name": "VAT", "now": timezone.now()}
    rate = create_tax_rate(environment=draft.environment, percentage=Decimal(19), **made)
    foreign = create_tax_rate(environment=worlds.theirs.environment, percentage=Decimal(7), **made)

    asking = client.get(do(draft, "taxes")).content.decode()
    assert "VAT 19 %" in asking
    assert "VAT 7 %" not in asking
    client.post(do(draft, "taxes"), {"tax_rates": [str(foreign.pk)]})
    draft.refresh_from_db()
    assert draft.total == 500
    client.post(do(draft, "taxes"), {"tax_rates": [str(rate.pk)]})

    draft.refresh_from_db()
    assert draft.total == 595
    edit = DraftEdit.objects.get(invoice=draft)
    assert edit.says == "Taxes changed, none to VAT 19 %"
    client.post(do(edit, "undo"))
    draft.refresh_from_db()
    assert draft.total == 500


def _coupon(world: Any) -> Any:
    return world.invoice.discounts.get().discount.coupon_id


def test_who_may_only_look_is_offered_no_edit(worlds: Worlds, client: Client) -> None:
    draft = an_invoice(worlds, 500)
    client.post(do(draft, "words"), {"description": "A", "footer": ""})
    edit, item = DraftEdit.objects.get(invoice=draft), InvoiceItem.objects.get(invoice=draft)
    looker = signed_in(member(worlds.ours.company, username="looker", role="analyst"))
    stranger = signed_in(member(worlds.theirs.company, username="stranger"))

    shown = looker.get(address(Invoice, "change", draft.pk)).content.decode()
    assert "Memo changed" in shown
    for path in (do(draft, "words"), do(draft, "balance"), do(item, "remove"), do(edit, "undo")):
        assert path not in shown
        assert looker.post(path).status_code == 403
        assert stranger.post(path).status_code == 404
    draft.refresh_from_db()
    assert (draft.description, draft.total) == ("A", 500)
