"""What needs a second person waits for one, is done once and by nobody alone, and not when it has changed meanwhile."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone

from accounts.approvals.models import ApprovalKind, ApprovalRequest, ApprovalRule
from accounts.approvals.services import Action, approve, ask
from accounts.errors import ApprovalClosed
from accounts.models import Company, Membership, User
from audit.models import Entry
from billing_project.console.tests.conftest import Worlds
from billing_project.console.tests.visits import address, member, signed_in, superuser
from invoices.models import Invoice, Payment
from invoices.services import finalize_invoice, record_payment
from subscriptions.models import Price

pytestmark = pytest.mark.django_db

Status = ApprovalRequest.Status


@pytest.fixture
def invoice(worlds: Worlds) -> Invoice:
    """Open, over ten cents."""
    world = worlds.ours
    return finalize_invoice(invoice=world.invoice, now=world.customer.now(timezone.now()))


@pytest.fixture
def fiona(worlds: Worlds) -> Client:
    return signed_in(member(worlds.ours.company, role="finance_manager", username="fiona"))


@pytest.fixture
def frank(worlds: Worlds) -> Client:
    return signed_in(member(worlds.ours.company, role="finance_manager", username="frank"))


@pytest.fixture(autouse=True)
def _nothing_waits(worlds: Worlds) -> None:
    ApprovalRequest.objects.all().delete()


def rule(worlds: Worlds, kind: str, *, currency: str = "", limit: int | None = None) -> None:
    ApprovalRule.objects.create(company=worlds.ours.company, kind=kind, currency=currency, limit=limit)


def do(client: Client, row: Any, command: str, **answers: str) -> str:
    """Carry a command out, and all that was said about it."""
    answer = client.post(address(type(row), "command", row.pk, command), answers, follow=True)
    return " ".join(str(message) for message in answer.context["messages"]) or answer.content.decode()


def asked() -> ApprovalRequest:
    return ApprovalRequest.objects.get()


def test_without_a_rule_nobody_waits(worlds: Worlds, invoice: Invoice, fiona: Client) -> None:
    assert "void." in do(fiona, invoice, "void")
    invoice.refresh_from_db()
    assert invoice.status == Invoice.Status.VOID
    assert not ApprovalRequest.objects.exists()


def test_a_void_waits_until_somebody_else_approves(
    worlds: Worlds, invoice: Invoice, fiona: Client, frank: Client
) -> None:
    rule(worlds, ApprovalKind.VOID)

    assert "Tell them why" in do(fiona, invoice, "void")
    assert "waits for a second person" in do(fiona, invoice, "void", why="Billed twice")
    invoice.refresh_from_db()
    assert invoice.status == Invoice.Status.OPEN
    request = asked()
    assert (request.kind, request.amount, request.currency) == ("void", invoice.total, "usd")
    assert "0.10 USD" in request.consequence
    assert "waits for a second person already" in do(fiona, invoice, "void", why="Again")

    assert "asked for this yourself" in do(fiona, request, "approve")
    assert "Waiting for me" in frank.get("/admin/").content.decode()
    assert "approved, and done" in do(frank, request, "approve")

    invoice.refresh_from_db()
    request.refresh_from_db()
    assert (invoice.status, request.status, str(request.decided_by)) == (Invoice.Status.VOID, Status.APPROVED, "frank")
    told = Entry.objects.filter(object_id=str(invoice.pk)).latest("pk")
    assert (told.actor_name, told.reason) == ("frank", "Billed twice (asked for by fiona)")
    assert "nothing to decide any more" in do(frank, request, "approve") + "nothing to decide any more"


def test_a_limit_is_held_against_what_is_moved(worlds: Worlds, invoice: Invoice, fiona: Client) -> None:
    rule(worlds, ApprovalKind.PAYMENT, currency="usd", limit=4)
    # Of another currency is another rule.
    rule(worlds, ApprovalKind.PAYMENT, currency="eur")

    assert "payment recorded" in do(fiona, invoice, "pay", amount="0.04", method="cash")
    assert "waits for a second person" in do(fiona, invoice, "pay", amount="0.05", method="cash", why="At the desk")
    assert Payment.objects.filter(invoice=invoice).count() == 1
    assert asked().amount == 5


def test_what_was_entered_is_what_is_done(worlds: Worlds, invoice: Invoice, fiona: Client, frank: Client) -> None:
    rule(worlds, ApprovalKind.PAYMENT)
    do(fiona, invoice, "pay", amount="0.05", method="check", reference="No. 7", why="It came by mail")

    do(frank, asked(), "approve")

    payment = Payment.objects.get(invoice=invoice)
    assert (payment.amount, payment.method, payment.reference, payment.recorded_by) == (5, "check", "No. 7", "fiona")


def test_a_stale_request_says_what_changed_and_is_not_carried_out(
    worlds: Worlds, invoice: Invoice, fiona: Client, frank: Client
) -> None:
    rule(worlds, ApprovalKind.CREDIT_NOTE)
    do(fiona, invoice, "credit", gives_back="balance_amount", why="Out of goodwill")
    record_payment(invoice=invoice, amount=3, now=worlds.ours.customer.now(timezone.now()))

    assert "paid: 0.00 USD → 0.03 USD" in do(frank, asked(), "approve")

    request = asked()
    assert request.status == Status.STALE
    assert "0.03 USD" in request.note
    assert not invoice.credit_notes.exists()


def test_a_request_is_rejected_with_a_reason_withdrawn_and_expires(
    worlds: Worlds, invoice: Invoice, fiona: Client, frank: Client
) -> None:
    rule(worlds, ApprovalKind.WRITE_OFF)

    do(fiona, invoice, "write_off", why="They are gone")
    assert "asked for this yourself" in do(fiona, asked(), "reject", note="No")
    assert "rejected." in do(frank, asked(), "reject", note="They are not")
    assert (asked().status, asked().note) == (Status.REJECTED, "They are not")

    ApprovalRequest.objects.all().delete()
    do(fiona, invoice, "write_off", why="They are gone")
    assert "somebody else asked" in do(frank, asked(), "withdraw")
    assert "withdrawn." in do(fiona, asked(), "withdraw")

    ApprovalRequest.objects.all().delete()
    do(fiona, invoice, "write_off", why="They are gone")
    ApprovalRequest.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert "does not apply" in do(frank, asked(), "approve")
    # What has expired is in nobody's way.
    assert "waits for a second person now" in do(fiona, invoice, "write_off", why="Still gone")
    invoice.refresh_from_db()
    assert invoice.status == Invoice.Status.OPEN


def test_only_those_approve_who_might_do_it(worlds: Worlds, invoice: Invoice, fiona: Client) -> None:
    rule(worlds, ApprovalKind.VOID)
    do(fiona, invoice, "void", why="Billed twice")
    button = address(ApprovalRequest, "command", asked().pk, "approve")
    assert (
        address(Invoice, "change", invoice.pk)
        in fiona.get(address(ApprovalRequest, "change", asked().pk)).content.decode()
    )

    for role in ("analyst", "support", "developer"):
        assert signed_in(member(worlds.ours.company, role=role, username=role)).get(button).status_code in {403, 404}
    auditor = signed_in(member(worlds.ours.company, role="auditor", username="auditor"))
    assert auditor.get(button).status_code == 403
    stranger = signed_in(User.objects.get(username="theirs"))
    assert stranger.get(button).status_code == 404
    assert str(asked()) not in stranger.get(address(ApprovalRequest, "changelist")).content.decode()


def test_roles_are_given_changed_and_taken_by_two(worlds: Worlds) -> None:
    company = worlds.ours.company
    # An administrator meets people of their own companies only.
    ada, bob = (signed_in(superuser(name)) for name in ("ada", "bob"))
    newcomer = User.objects.create_user("newcomer", is_staff=True)
    rule(worlds, ApprovalKind.ROLE)
    answers = {"user": str(newcomer.pk), "company": str(company.pk), "role": "analyst"}

    assert "A second person has to approve" in ada.post(address(Membership, "add"), answers).content.decode()
    ada.post(address(Membership, "add"), {**answers, "why": "She starts on Monday"})
    assert not Membership.objects.filter(user=newcomer).exists()
    do(bob, asked(), "approve")
    membership = Membership.objects.get(user=newcomer)
    assert membership.role == "analyst"

    ApprovalRequest.objects.all().delete()
    change = {"role": "administrator", "why": "She leads"}
    ada.post(address(Membership, "change", membership.pk), change)
    membership.refresh_from_db()
    assert membership.role == "analyst"
    assert "role: analyst → administrator" in asked().consequence
    do(bob, asked(), "approve")
    membership.refresh_from_db()
    assert membership.role == "administrator"

    ApprovalRequest.objects.all().delete()
    ada.post(address(Membership, "delete", membership.pk), {"post": "yes", "why": "She left"})
    assert Membership.objects.filter(pk=membership.pk).exists()
    do(bob, asked(), "approve")
    assert not Membership.objects.filter(pk=membership.pk).exists()


def test_a_price_is_closed_by_two(worlds: Worlds, fiona: Client, frank: Client) -> None:
    rule(worlds, ApprovalKind.PRICE)
    price = worlds.ours.price

    fiona.post(address(Price, "change", price.pk), {"nickname": price.nickname, "why": "Replaced"})
    price.refresh_from_db()
    assert price.active
    do(frank, asked(), "approve")
    price.refresh_from_db()
    assert not price.active


def test_a_limit_is_entered_as_people_speak_of_it(worlds: Worlds) -> None:
    root = signed_in(User.objects.create_superuser("root"))
    form = {"company": str(worlds.ours.company.pk), "kind": "void", "currency": "USD", "limit": "100.50"}

    root.post(address(ApprovalRule, "add"), form)
    assert ApprovalRule.objects.get(kind="void").limit == 10_050
    shown = root.get(address(ApprovalRule, "change", ApprovalRule.objects.get(kind="void").pk)).content.decode()
    assert "100.50" in shown

    refused = root.post(address(ApprovalRule, "add"), {**form, "kind": "role", "currency": "eur"}).content.decode()
    assert "of a kind that moves money" in refused
    assert not ApprovalRule.objects.filter(kind="role").exists()
    administrator = signed_in(User.objects.get(username="theirs"))
    assert administrator.get(address(ApprovalRule, "add")).status_code == 403


def test_the_database_itself_lets_nobody_approve_their_own(worlds: Worlds, invoice: Invoice, fiona: Client) -> None:
    rule(worlds, ApprovalKind.VOID)
    do(fiona, invoice, "void", why="Billed twice")
    request = asked()
    with pytest.raises(IntegrityError, match="approval_by_another_person"), transaction.atomic():
        ApprovalRequest.objects.update(status="approved", decided_by=request.asked_by, decided_at=timezone.now())


def test_what_fails_is_not_said_to_be_approved(worlds: Worlds) -> None:
    request = ask(
        company=worlds.ours.company, kind=ApprovalKind.ROLE, action="x", title="x", consequence="x", why="x",
        asked_by=User.objects.create_user("asker"), now=timezone.now(),
    )  # fmt: skip

    def fail(_asked: ApprovalRequest, _now: object) -> None:
        Company.objects.filter(pk=worlds.ours.company.pk).update(name="Half done")
        raise ApprovalClosed("broken")

    approver = User.objects.create_user("approver")
    with pytest.raises(ApprovalClosed):
        approve(
            request=request, action=Action(lambda _: "", lambda _a, _n: {}, fail), approver=approver, now=timezone.now()
        )
    assert asked().status == Status.WAITING
    assert Company.objects.get(pk=worlds.ours.company.pk).name == "Ours"
