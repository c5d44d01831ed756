"""Actions say what they will do, do it once, and turn refusals into messages."""

import re
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.admin import site
from django.contrib.admin.models import LogEntry
from django.contrib.messages import get_messages
from django.db.models import Model
from django.test import Client
from django.utils import timezone
from django.utils.functional import Promise

from accounts.console.base import ConsoleAdmin
from accounts.models import ApiKey, Company, Customer, License, Membership, User
from billing_project.console.tests.conftest import Worlds
from billing_project.console.tests.visits import address, member, signed_in, superuser
from billing_project.console.tests.world import add_rows
from invoices.models import Invoice
from invoices.services import finalize_invoice
from meters.models import Meter, Status
from meters.services import create_meter, deactivate_meter
from subscriptions.models import Price, Product
from usage.models import DirtyHour, EventAdjustment, MeterEvent, RecountDifference, UsageSummary


@pytest.fixture
def client(worlds: Worlds) -> Client:
    return signed_in(member(worlds.ours.company, username="ours"))


def said(answer: Any) -> str:
    return " ".join(str(message) for message in get_messages(answer.wsgi_request))


def button(row: Model, name: str) -> str:
    return address(type(row), "command", row.pk, name)


def test_what_a_person_reads_of_commands_columns_and_fields_can_be_translated() -> None:
    pages = list(site._registry.values())
    commands = [(page, command) for page in pages if isinstance(page, ConsoleAdmin) for command in page.commands]
    assert len(commands) > 40
    texts: list[tuple[Any, Any]] = [
        (page, text) for page, command in commands for text in (command.title, command.done) if not callable(text)
    ]
    # Django's own column of boxes has markup for a head.
    columns = [(page, getattr(page, name)) for page in pages for name in dir(page) if name != "action_checkbox"]
    texts += [(page, column.short_description) for page, column in columns if hasattr(column, "short_description")]
    fields = [field for page in pages for field in page.model._meta.concrete_fields]
    texts += [(field, field.help_text) for field in fields]

    assert [(page, text) for page, text in texts if text and not isinstance(text, Promise)] == []


def test_finalizing_asks_first_says_how_much_and_then_does_it(worlds: Worlds, client: Client) -> None:
    invoice = worlds.ours.invoice

    asking = client.get(button(invoice, "finalize")).content.decode()
    invoice.refresh_from_db()
    assert "will owe 0.10 USD in test mode" in asking
    assert str(invoice.customer) in asking
    assert invoice.status == Invoice.Status.DRAFT

    answer = client.post(button(invoice, "finalize"))
    invoice.refresh_from_db()
    assert answer.status_code == 302
    assert (invoice.status, invoice.total, invoice.amount_due) == (Invoice.Status.OPEN, 10, 10)
    assert f"{invoice.number}: final." in said(answer)
    assert LogEntry.objects.get(object_id=str(invoice.pk)).change_message == "Finalize"
    # The customer's clock, and not the wall, is the time of the invoice.
    assert invoice.finalized_at == worlds.ours.customer.test_clock.frozen_at  # type: ignore[union-attr]


def test_an_open_invoice_is_paid_or_voided_and_a_second_step_is_told_why_not(worlds: Worlds, client: Client) -> None:
    invoice = finalize_invoice(invoice=worlds.ours.invoice, now=timezone.now())

    assert "0.10 USD in test mode will be recorded as received" in client.get(button(invoice, "pay")).content.decode()
    assert "0.10 USD in test mode will not be collected" in client.get(button(invoice, "void")).content.decode()
    client.post(button(invoice, "pay"))
    late = client.post(button(invoice, "void"))

    invoice.refresh_from_db()
    assert (invoice.status, invoice.amount_paid, invoice.paid_out_of_band) == (Invoice.Status.PAID, 10, True)
    assert late.status_code == 302
    assert "does not apply" in said(late)


def test_a_part_is_paid_the_rest_is_credited_and_each_says_who_did_it(worlds: Worlds, client: Client) -> None:
    invoice = finalize_invoice(invoice=worlds.ours.invoice, now=timezone.now())

    refused = client.post(button(invoice, "pay"), {"amount": "0.045"})
    assert "at most 2 decimal places" in refused.content.decode()
    # What was said is still there.
    assert 'value="0.045"' in refused.content.decode()
    client.post(button(invoice, "pay"), {"amount": "0.04", "method": "check", "reference": "C-1"})
    invoice.refresh_from_db()
    payment = invoice.payments.get()
    assert (invoice.status, invoice.amount_paid, invoice.amount_remaining) == (Invoice.Status.OPEN, 4, 6)
    assert (payment.method, payment.reference, payment.recorded_by) == ("check", "C-1", "ours")

    asking = client.get(button(invoice, "credit")).content.decode()
    assert "0.10 USD in test mode will be taken back" in asking
    assert "lowers the 0.06 USD in test mode" in asking
    client.post(button(invoice, "credit"), {"gives_back": "refund_amount", "reason": "duplicate"})

    invoice.refresh_from_db()
    note = invoice.credit_notes.get()
    assert (invoice.status, invoice.pre_payment_credited, invoice.post_payment_credited) == (Invoice.Status.PAID, 6, 4)
    assert (note.total, note.refund_amount, note.reason, note.recorded_by) == (10, 4, "duplicate", "ours")
    late = client.post(button(payment, "reverse"))
    assert "cannot be reversed any more" in late.content.decode()


def test_voiding_keeps_number_and_amounts(worlds: Worlds, client: Client) -> None:
    invoice = finalize_invoice(invoice=worlds.ours.invoice, now=timezone.now())

    client.post(button(invoice, "void"))

    number = invoice.number
    invoice.refresh_from_db()
    assert (invoice.status, invoice.number, invoice.total) == (Invoice.Status.VOID, number, 10)


def test_a_page_offers_only_what_can_work(worlds: Worlds, client: Client) -> None:
    def offered() -> set[str]:
        shown = client.get(address(Invoice, "change", worlds.ours.invoice.pk)).content.decode()
        return {name for name in ("finalize", "pay", "void") if button(worlds.ours.invoice, name) in shown}

    assert offered() == {"finalize"}
    client.post(button(worlds.ours.invoice, "finalize"))
    assert offered() == {"pay", "void"}
    client.post(button(worlds.ours.invoice, "void"))
    assert offered() == set()
    assert client.post(button(worlds.ours.invoice, "no-such-command")).status_code == 404


def test_chosen_from_the_list_those_that_cannot_are_left_alone(worlds: Worlds, client: Client) -> None:
    final = finalize_invoice(invoice=worlds.ours.invoice, now=timezone.now())
    add_rows(worlds.ours)
    first = worlds.ours.invoice
    add_rows(worlds.ours)
    second = worlds.ours.invoice
    chosen = {"action": "finalize", "_selected_action": [str(row.pk) for row in (final, first, second)]}

    asking = client.post(address(Invoice, "changelist"), chosen)
    assert asking.status_code == 200
    text = asking.content.decode()
    assert "2 customers will owe 0.20 USD in test mode" in text
    assert "1 of the chosen rows is left alone" in text
    assert Invoice.objects.filter(status=Invoice.Status.DRAFT, environment=worlds.ours.environment).count() == 2

    done = client.post(address(Invoice, "changelist"), {**chosen, "confirmed": "yes"})
    assert done.status_code == 302
    assert Invoice.objects.filter(status=Invoice.Status.OPEN, environment=worlds.ours.environment).count() == 3
    nothing = client.post(address(Invoice, "changelist"), {**chosen, "confirmed": "yes"})
    assert "applies to none" in said(nothing)


def test_a_refusal_is_a_message_and_changes_nothing(worlds: Worlds, client: Client) -> None:
    closed = deactivate_meter(meter=worlds.ours.meter, now=timezone.now())
    create_meter(
        environment=worlds.ours.environment,
        display_name="The next one",
        event_name=closed.event_name,
        formula="count",
        now=timezone.now(),
    )

    answer = client.post(button(closed, "reactivate"))

    closed.refresh_from_db()
    assert answer.status_code == 302
    assert "already counts events named" in said(answer)
    assert closed.status == Status.INACTIVE


def test_a_meter_is_deactivated_and_reactivated(worlds: Worlds, client: Client) -> None:
    meter = worlds.ours.meter
    assert "No more events are taken in" in client.get(button(meter, "deactivate")).content.decode()

    client.post(button(meter, "deactivate"))
    meter.refresh_from_db()
    assert meter.status == Status.INACTIVE
    client.post(button(meter, "reactivate"))
    meter.refresh_from_db()
    assert meter.status == Status.ACTIVE


def test_a_recount_marks_the_hour(worlds: Worlds, client: Client) -> None:
    DirtyHour.objects.all().delete()
    summary = UsageSummary.objects.get(environment=worlds.ours.environment)

    client.post(button(summary, "recount"))

    mark = DirtyHour.objects.get()
    assert (mark.environment_id, mark.meter_id, mark.customer_id, mark.hour) == (
        summary.environment_id,
        summary.meter_id,
        summary.customer_id,
        summary.hour,
    )


def test_an_event_is_canceled_with_a_reason_only_and_says_so_ever_after(worlds: Worlds, client: Client) -> None:
    event = MeterEvent.objects.get(identifier=worlds.ours.identifier)
    EventAdjustment.objects.all().delete()
    page = address(MeterEvent, "change", event.pk)

    asking = client.get(button(event, "cancel")).content.decode()
    assert "counts no more" in asking
    assert '<textarea name="reason"' in asking
    for reason in ("", " ", "x" * 501):
        refused = client.post(button(event, "cancel"), {"confirmed": "yes", "reason": reason})
        assert refused.status_code == 200
        assert 'role="alert"' in refused.content.decode()
    assert not EventAdjustment.objects.exists()
    assert button(event, "cancel") in client.get(page).content.decode()

    answer = client.post(button(event, "cancel"), {"confirmed": "yes", "reason": "A broken sensor"})

    made = EventAdjustment.objects.get()
    assert (made.event_id, made.environment, made.reason) == (event.pk, event.environment, "A broken sensor")
    assert "canceled." in said(answer)
    shown = client.get(page).content.decode()
    assert "A broken sensor" in shown
    assert address(EventAdjustment, "change", made.pk) in shown
    assert button(event, "cancel") not in shown
    assert "canceled" in client.get(address(MeterEvent, "changelist"), follow=True).content.decode()
    assert "does not apply" in said(client.post(button(event, "cancel"), {"reason": "again"}))


def test_events_chosen_from_the_list_share_one_reason(worlds: Worlds, client: Client) -> None:
    event = MeterEvent.objects.get(identifier=worlds.ours.identifier)
    theirs = MeterEvent.objects.get(identifier=worlds.theirs.identifier)
    EventAdjustment.objects.all().delete()
    path = f"{address(MeterEvent, 'changelist')}?environment__id__exact={event.environment_id}"
    chosen = {"action": "cancel", "_selected_action": [str(event.pk), str(theirs.pk)]}

    asking = client.post(path, chosen).content.decode()
    assert '<textarea name="reason"' in asking
    assert 'role="alert"' not in asking
    client.post(path, {**chosen, "confirmed": "yes", "reason": "Test data"})

    assert [(row.event_id, row.reason) for row in EventAdjustment.objects.all()] == [(event.pk, "Test data")]


def test_a_difference_is_settled_and_stays_on_record(worlds: Worlds, client: Client) -> None:
    difference = RecountDifference.objects.get(environment=worlds.ours.environment)
    assert "stays on record" in client.get(button(difference, "resolve")).content.decode()

    client.post(button(difference, "resolve"))

    difference.refresh_from_db()
    settled_at = difference.resolved_at
    assert settled_at is not None
    assert button(difference, "resolve") not in client.get(button(difference, "resolve"), follow=True).content.decode()
    assert RecountDifference.objects.get(environment=worlds.theirs.environment).resolved_at is None


def test_a_key_is_shown_once_and_revoked(worlds: Worlds, client: Client) -> None:
    form = {"environment": str(worlds.ours.environment.pk), "name": "CI", "scopes": ["meter-report", "usage-read"]}

    answer = client.post(address(ApiKey, "add"), form)

    key = ApiKey.objects.get(name="CI")
    [secret] = re.findall(r'<code id="tb-secret">([^<]+)</code>', answer.content.decode())
    assert ApiKey.digest_of(secret) == key.digest
    assert (key.scopes, key.environment) == (["meter-report", "usage-read"], worlds.ours.environment)
    assert "no-store" in answer["Cache-Control"]
    # Neither the session nor a message keeps it.
    assert secret not in str(dict(client.session.items()))
    assert secret not in client.get(address(ApiKey, "change", key.pk)).content.decode()
    assert secret not in client.get(address(ApiKey, "changelist")).content.decode()
    assert secret not in str(client.cookies)

    assert "open nothing" in client.get(button(key, "revoke")).content.decode()
    client.post(button(key, "revoke"))
    key.refresh_from_db()
    assert key.revoked_at is not None
    first = key.revoked_at
    client.post(button(key, "revoke"))
    key.refresh_from_db()
    assert key.revoked_at == first


def test_forms_write_through_the_services(worlds: Worlds, client: Client) -> None:
    environment = str(worlds.ours.environment.pk)

    client.post(
        address(Meter, "add"),
        {
            "environment": environment,
            "display_name": "Bytes",
            "event_name": "bytes",
            "formula": "max",
            "customer_key": "buyer",
            "value_key": "size",
            "dimension_keys": "region,zone",
            "late_policy": "report_only",
        },
    )
    meter = Meter.objects.get(event_name="bytes")
    assert (meter.formula, meter.customer_key, meter.value_key) == ("max", "buyer", "size")
    assert (meter.dimension_keys, meter.late_policy) == (["region", "zone"], "report_only")

    change = {"display_name": "Bytes sent", "formula": "sum", "late_policy": "bill_next"}
    client.post(address(Meter, "change", meter.pk), change)
    meter.refresh_from_db()
    assert (meter.display_name, meter.formula, meter.late_policy) == ("Bytes sent", "max", "bill_next")

    client.post(address(Customer, "add"), {"environment": environment, "name": "New", "email": "new@example.com"})
    assert Customer.objects.get(name="New").email == "new@example.com"

    client.post(address(Product, "add"), {"environment": environment, "name": "New product", "unit_label": "GB"})
    assert Product.objects.get(name="New product").unit_label == "GB"

    client.post(address(Price, "change", worlds.ours.price.pk), {"nickname": "Old price", "unit_amount": "9"})
    price = Price.objects.get(pk=worlds.ours.price.pk)
    assert (price.nickname, price.active, price.unit_amount) == ("Old price", False, Decimal("0.25"))


def test_a_name_that_is_taken_is_told_in_the_form(worlds: Worlds, client: Client) -> None:
    answer = client.post(
        address(Meter, "add"),
        {
            "environment": str(worlds.ours.environment.pk),
            "display_name": "Twice",
            "event_name": worlds.ours.meter.event_name,
            "formula": "sum",
            "customer_key": "buyer",
            "value_key": "size",
            "late_policy": "bill_next",
        },
    )

    assert answer.status_code == 302
    assert "already counts events named" in said(answer)
    assert not Meter.objects.filter(display_name="Twice").exists()


def test_a_superuser_makes_a_company_with_licenses_people_and_memberships(worlds: Worlds) -> None:
    client = signed_in(superuser())

    client.post(address(Company, "add"), {"name": "Fresh", "licenses": ["subscription"]})
    company = Company.objects.get(name="Fresh")
    assert {environment.mode for environment in company.environments.all()} == {"test", "live"}
    assert [license_.product for license_ in company.licenses.all()] == ["subscription"]

    client.post(
        address(User, "add"),
        {"username": "newcomer", "password1": "long-enough-7", "password2": "long-enough-7", "is_staff": "on"},
    )
    person = User.objects.get(username="newcomer")
    assert person.is_staff
    assert person.check_password("long-enough-7")

    client.post(address(Membership, "add"), {"user": str(person.pk), "company": str(company.pk), "role": "auditor"})
    membership = Membership.objects.get(user=person)
    client.post(
        address(Membership, "change", membership.pk), {"role": "analyst", "company": str(worlds.ours.company.pk)}
    )
    membership.refresh_from_db()
    assert (membership.role, membership.company) == ("analyst", company)

    license_ = company.licenses.get()
    ends_at = timezone.now() + timedelta(days=90)
    answer = client.post(
        address(License, "change", license_.pk),
        {
            "starts_at_0": f"{license_.starts_at:%Y-%m-%d}",
            "starts_at_1": f"{license_.starts_at:%H:%M:%S}",
            "ends_at_0": f"{ends_at:%Y-%m-%d}",
            "ends_at_1": "00:00:00",
            "grace": "3 00:00:00",
            "notices-TOTAL_FORMS": "0",
            "notices-INITIAL_FORMS": "0",
        },
    )
    license_.refresh_from_db()
    assert answer.status_code == 302, answer.context["errors"]
    assert license_.ends_at is not None
    assert license_.grace == timedelta(days=3)


def test_a_customer_that_was_closed_cannot_be_changed(worlds: Worlds, client: Client) -> None:
    Customer.objects.filter(pk=worlds.ours.customer.pk).update(deleted_at=timezone.now())

    assert client.post(address(Customer, "change", worlds.ours.customer.pk), {"name": "x"}).status_code == 403
    assert client.get(address(Customer, "change", worlds.ours.customer.pk)).status_code == 200


def test_a_rolled_key_shows_its_successor_s_secret_once(worlds: Worlds, client: Client) -> None:
    key = ApiKey.objects.get(environment=worlds.ours.environment)

    asking = client.get(button(key, "roll")).content.decode()
    assert "takes the place of" in asking
    assert ApiKey.objects.filter(environment=worlds.ours.environment).count() == 1

    answer = client.post(button(key, "roll"), {"overlap": "24"})
    secret = answer.context["secret"]
    successor = ApiKey.objects.with_secret(secret).get()
    key.refresh_from_db()
    assert secret in answer.content.decode()
    assert "no-store" in answer["Cache-Control"]
    assert (successor.environment, successor.scopes) == (key.environment, key.scopes)
    assert key.expires_at is not None
    for path in (address(ApiKey, "changelist"), address(ApiKey, "change", successor.pk), "/admin/"):
        assert secret not in client.get(path).content.decode()
    # A list would make several at once, and a page shows one.
    listed = client.post(address(ApiKey, "changelist"), {"action": "roll", "_selected_action": [str(key.pk)]})
    assert listed.status_code in (200, 302)
    assert ApiKey.objects.filter(environment=worlds.ours.environment).count() == 2

    client.post(button(successor, "revoke"))
    assert client.post(button(successor, "roll"), {"overlap": "0"}).status_code == 302
    assert ApiKey.objects.filter(environment=worlds.ours.environment).count() == 2
