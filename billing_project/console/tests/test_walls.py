"""A member of one company meets nothing of another, on no page, in no choice, by no action."""

import json
from typing import Any

import pytest
from django.contrib import admin
from django.db.models import ForeignKey, Model
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import ApiKey, Customer, Environment, License, Membership, User
from audit.models import Entry
from billing_project.console.tests.conftest import Worlds
from billing_project.console.tests.visits import address, member, models_shown, rows_of, signed_in, superuser
from core.ids import spell
from credits.models import BurnMark
from invoices.models import Invoice
from meters.models import Meter, Status
from usage.events import EventDraft
from usage.models import DirtyHour, DroppedMonth, EventAdjustment, EventRejection, MeterEvent, UsageSummary, Watermark
from usage.services import take_in_stream

# It belongs to the instance, and is for superusers.
OF_NOBODY = {Watermark, DroppedMonth, BurnMark}
# Its rows go by plain numbers, which are found on any page: it has a test of its own (test_audit_trail.py).
TRAIL = {Entry}
WALLED = [model for model in models_shown() if model not in OF_NOBODY | TRAIL]


@pytest.fixture
def client(worlds: Worlds) -> Client:
    return signed_in(member(worlds.ours.company, username="ours"))


def page(client: Client, address: str) -> str:
    response = client.get(address, follow=True)
    assert response.status_code == 200, address
    return response.content.decode()


def ids(rows: list[Model]) -> list[str]:
    return [str(row.pk) for row in rows]


@pytest.mark.parametrize("model", WALLED, ids=lambda model: model._meta.label)
def test_lists_and_pages_end_at_the_wall(worlds: Worlds, client: Client, model: type[Model]) -> None:
    ours, theirs = rows_of(model, worlds.ours.company), rows_of(model, worlds.theirs.company)
    assert ours
    assert theirs

    shown = page(client, address(model, "changelist"))
    for identifier in ids(ours):
        # A list of one environment at a time shows the other's rows on another page.
        assert identifier in shown or model in (MeterEvent, UsageSummary, EventAdjustment, EventRejection, DirtyHour)
    assert not [identifier for identifier in ids(theirs) if identifier in shown]
    assert "Theirs" not in shown

    assert client.get(address(model, "change", ours[0].pk)).status_code == 200
    assert "Theirs" not in page(client, address(model, "change", ours[0].pk))
    for row in theirs:
        for kind in ("change", "history", "delete"):
            answer = client.get(address(model, kind, row.pk))
            assert answer.status_code in (302, 403), kind
            if answer.status_code == 302:
                assert answer["Location"] == reverse("admin:index")


def test_what_belongs_to_the_instance_is_for_superusers(worlds: Worlds, client: Client) -> None:
    for model in OF_NOBODY:
        assert client.get(address(model, "changelist")).status_code == 403
        assert signed_in(superuser(model.__name__)).get(address(model, "changelist")).status_code == 200


def foreign_keys() -> list[tuple[type[Model], ForeignKey[Any]]]:
    """Every field that an autocomplete could be asked for."""
    return [
        (model, field)
        for model in models_shown()
        for field in model._meta.fields
        if isinstance(field, ForeignKey)
        and (related := admin.site._registry.get(field.remote_field.model)) is not None
        and related.search_fields
    ]


def test_autocompletes_end_at_the_wall(worlds: Worlds, client: Client) -> None:
    asked = foreign_keys()
    assert len(asked) > 20
    searched: set[type[Model]] = set()
    for model, field in asked:
        remote = field.remote_field.model
        theirs = ids(rows_of(remote, worlds.theirs.company))
        where = {
            "app_label": model._meta.app_label,
            "model_name": str(model._meta.model_name),
            "field_name": field.name,
        }
        # Whichever field asks, the page of the model that it names searches: for all there is and each of their ids, once.
        terms = ("Their", *theirs[:1]) if remote in searched else ("", "Their", *theirs)
        for term in terms:
            response = client.get(reverse("admin:autocomplete"), {**where, "term": term})
            assert response.status_code == 200
            offered = [row["id"] for row in json.loads(response.content)["results"]]
            assert not set(offered) & set(theirs), (model, field, term)
        searched.add(remote)


def test_a_filter_by_their_environment_finds_nothing(worlds: Worlds, client: Client) -> None:
    theirs = worlds.theirs.environment.pk
    for model in (Customer, Invoice, MeterEvent, UsageSummary, Meter):
        answer = client.get(address(model, "changelist"), {"environment__id__exact": str(theirs)}, follow=True)
        assert answer.status_code == 200
        assert "Theirs" not in answer.content.decode()
        assert answer.context["cl"].result_count == 0


def test_a_search_for_their_ids_finds_nothing_and_for_ours_the_row(worlds: Worlds, client: Client) -> None:
    def found(model: type[Model], term: str) -> int:
        return int(client.get(address(model, "changelist"), {"q": term}).context["cl"].result_count)

    for model, prefix, name in (
        (Customer, "cus", "customer"),
        (Invoice, "in", "invoice"),
        (Invoice, "sub", "subscription"),
        (Meter, "mtr", "meter"),
        (MeterEvent, "mtr", "meter"),
        (MeterEvent, "cus", "customer"),
        (UsageSummary, "cus", "customer"),
    ):
        assert found(model, spell(prefix, getattr(worlds.ours, name).pk)) == 1, (model, prefix)
        assert found(model, spell(prefix, getattr(worlds.theirs, name).pk)) == 0, (model, prefix)
    # A bill of its subscription, and one that stands for itself.
    assert found(Invoice, spell("cus", worlds.ours.customer.pk)) == 2
    assert found(Invoice, spell("cus", worlds.theirs.customer.pk)) == 0
    assert found(Invoice, str(worlds.ours.invoice.pk)) == 1
    assert found(MeterEvent, f" {worlds.ours.identifier} ") == 1
    assert found(MeterEvent, worlds.theirs.identifier) == 0
    assert found(EventRejection, f"{worlds.ours.identifier}-lost") == 1
    assert found(EventRejection, f"{worlds.theirs.identifier}-lost") == 0
    # The stream's leave their identifiers free: no claim leads to them.
    for world in (worlds.ours, worlds.theirs):
        bad = EventDraft("unheard_of", {}, f"{world.identifier}-streamed")
        take_in_stream(environment=world.environment, drafts=[bad, bad], source="stream", now=timezone.now())
    assert found(EventRejection, f"{worlds.ours.identifier}-streamed") == 2
    assert found(EventRejection, f"{worlds.theirs.identifier}-streamed") == 0
    assert found(ApiKey, worlds.ours.secret) == 1
    assert found(ApiKey, worlds.theirs.secret) == 0


def test_forms_offer_and_accept_nothing_of_theirs(worlds: Worlds, client: Client) -> None:
    before = Meter.objects.count(), ApiKey.objects.count(), Customer.objects.count(), Membership.objects.count()
    theirs = str(worlds.theirs.environment.pk)
    forms = {
        Meter: {"display_name": "x", "event_name": "x", "formula": "sum", "customer_key": "c", "value_key": "v"},
        ApiKey: {"name": "x", "scopes": "meter-report"},
        Customer: {"name": "x"},
    }
    for model, fields in forms.items():
        assert theirs not in page(client, address(model, "add"))
        answer = client.post(address(model, "add"), {**fields, "environment": theirs})
        assert answer.status_code == 200
        assert "Select a valid choice" in answer.content.decode()
    someone = User.objects.get(username="theirs")
    me = User.objects.get(username="ours")
    for user, company in ((someone, worlds.ours.company), (me, worlds.theirs.company)):
        answer = client.post(
            address(Membership, "add"), {"user": str(user.pk), "company": str(company.pk), "role": "auditor"}
        )
        assert "Select a valid choice" in answer.content.decode()

    assert before == (
        Meter.objects.count(),
        ApiKey.objects.count(),
        Customer.objects.count(),
        Membership.objects.count(),
    )


def test_actions_do_not_reach_over_the_wall(worlds: Worlds, client: Client) -> None:
    invoice, meter = worlds.theirs.invoice, worlds.theirs.meter
    key = ApiKey.objects.get(environment=worlds.theirs.environment)
    for row, command in ((invoice, "finalize"), (meter, "deactivate"), (key, "revoke")):
        for method in (client.get, client.post):
            assert method(address(type(row), "command", row.pk, command)).status_code == 404
        client.post(
            address(type(row), "changelist"),
            {"action": command, "_selected_action": [str(row.pk)], "confirmed": "yes"},
            follow=True,
        )

    invoice.refresh_from_db()
    meter.refresh_from_db()
    key.refresh_from_db()
    assert (invoice.status, meter.status, key.revoked_at) == (Invoice.Status.DRAFT, Status.ACTIVE, None)


def test_a_person_of_two_companies_acts_in_each_by_the_role_held_there(worlds: Worlds) -> None:
    person = member(worlds.ours.company, role=Membership.Role.FINANCE_MANAGER, username="both")
    Membership.objects.create(user=person, company=worlds.theirs.company, role=Membership.Role.ANALYST)
    client = signed_in(person)

    shown = page(client, address(Invoice, "changelist"))
    assert str(worlds.ours.invoice.pk) in shown
    assert str(worlds.theirs.invoice.pk) in shown
    assert client.post(address(Invoice, "command", worlds.theirs.invoice.pk, "finalize")).status_code == 403
    # Chosen together, only ours is acted on.
    client.post(
        address(Invoice, "changelist"),
        {
            "action": "finalize",
            "_selected_action": [str(worlds.ours.invoice.pk), str(worlds.theirs.invoice.pk)],
            "confirmed": "yes",
        },
    )
    worlds.ours.invoice.refresh_from_db()
    worlds.theirs.invoice.refresh_from_db()
    assert worlds.ours.invoice.status == Invoice.Status.OPEN
    assert worlds.theirs.invoice.status == Invoice.Status.DRAFT

    assert str(worlds.theirs.customer.pk) in page(client, address(Customer, "changelist"))
    answer = client.post(address(Customer, "change", worlds.theirs.customer.pk), {"name": "Mine now"})
    assert answer.status_code == 403
    worlds.theirs.customer.refresh_from_db()
    assert worlds.theirs.customer.name != "Mine now"
    # Only where the role grants adding is a choice.
    offered = client.get(address(Customer, "add")).context["adminform"].form.fields["environment"].queryset
    assert {environment.company for environment in offered} == {worlds.ours.company}


def test_rows_are_hidden_where_the_role_of_their_company_does_not_show_them(worlds: Worlds) -> None:
    person = member(worlds.ours.company, role=Membership.Role.DEVELOPER, username="both")
    Membership.objects.create(user=person, company=worlds.theirs.company, role=Membership.Role.ANALYST)
    client = signed_in(person)
    ours, theirs = (ApiKey.objects.get(environment=world.environment) for world in worlds)

    shown = page(client, address(ApiKey, "changelist"))
    assert str(ours.pk) in shown
    assert str(theirs.pk) not in shown
    assert client.get(address(ApiKey, "change", theirs.pk)).status_code == 302
    # The company's own page shows what hangs on it by the same rule.
    company_page = page(client, address(type(worlds.theirs.company), "change", worlds.theirs.company.pk))
    assert theirs.prefix not in company_page


def test_staff_without_a_company_see_nothing(worlds: Worlds) -> None:
    client = signed_in(User.objects.create_user("lonely", is_staff=True))

    assert "No company yet" in page(client, reverse("admin:index"))
    for model in models_shown():
        assert client.get(address(model, "changelist")).status_code == 403


def test_nobody_enters_without_signing_in(worlds: Worlds) -> None:
    for model in models_shown():
        for path in (address(model, "changelist"), address(model, "change", worlds.ours.customer.pk)):
            answer = Client().get(path)
            assert answer.status_code == 302
            assert answer["Location"].startswith(reverse("admin:login"))
    # Signed in, but no staff: the same.
    assert signed_in(User.objects.create_user("guest")).get(reverse("admin:index")).status_code == 302


def test_a_superuser_sees_both(worlds: Worlds) -> None:
    client = signed_in(superuser())

    for model in (Customer, Invoice, Environment, License, ApiKey):
        shown = page(client, address(model, "changelist"))
        for world in worlds:
            assert all(identifier in shown for identifier in ids(rows_of(model, world.company)))
