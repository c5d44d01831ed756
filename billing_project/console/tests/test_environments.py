"""Which environment is looked at: chosen at the head of a page, kept, told in words, and never one behind a wall."""

from typing import Any

import pytest
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from accounts.models import Customer, Environment, Membership
from billing_project.console.tests.conftest import Worlds
from billing_project.console.tests.visits import address, member, models_shown, page_of, signed_in
from invoices.models import Invoice, InvoiceLine
from meters.models import Meter
from usage.models import MeterEvent, UsageSummary

CHOOSE = reverse("admin:accounts_environment_choose")
BANNER = "Test mode"


@pytest.fixture
def client(worlds: Worlds) -> Client:
    return signed_in(member(worlds.ours.company, worlds.theirs.company, username="both"))


def choose(client: Client, environment: Environment | None, back: str = "/admin/") -> Any:
    return client.post(CHOOSE, {"environment": str(environment.pk) if environment else "", "next": back})


def listed(client: Client, model: type[Model], **query: str) -> set[Any]:
    return {row.pk for row in client.get(address(model, "changelist"), query, follow=True).context["cl"].result_list}


def test_every_list_follows_the_choice_and_rows_pages_open_all_the_same(worlds: Worlds, client: Client) -> None:
    ours, theirs = worlds
    both = {ours.invoice.pk, theirs.invoice.pk}
    assert both <= listed(client, Invoice)

    assert choose(client, ours.environment).status_code == 302
    checked = 0
    for model in models_shown():
        page = page_of(model)
        if page.wall != "environment" or not any(field.name == "environment" for field in model._meta.fields):
            continue
        answer = client.get(address(model, "changelist"))
        assert answer.status_code in (200, 403), model
        if answer.status_code == 200:
            environments = {row.environment_id for row in answer.context["cl"].result_list}
            assert environments <= {ours.environment.pk}, model
            checked += 1
    assert checked > 40
    assert listed(client, Invoice) & both == {ours.invoice.pk}
    assert client.get(address(Invoice, "change", theirs.invoice.pk)).status_code == 200
    event = MeterEvent.objects.get(environment=theirs.environment)
    assert client.get(address(MeterEvent, "change", event.pk)).status_code == 200
    # A list that was opened from a row shows what is that row's.
    theirs_only = {"customer__id__exact": str(theirs.customer.pk)}
    assert listed(client, Invoice, **theirs_only)

    choose(client, theirs.environment)
    assert listed(client, Invoice) & both == {theirs.invoice.pk}
    choose(client, None)
    assert both <= listed(client, Invoice)


def test_the_start_page_adds_up_what_is_chosen_alone(worlds: Worlds, client: Client) -> None:
    live = worlds.ours.company.environments.get(mode="live")
    assert client.get("/admin/").context["usage"].total == 2

    choose(client, worlds.ours.environment)
    assert client.get("/admin/").context["usage"].total == 1
    choose(client, live)
    answer = client.get("/admin/")
    assert answer.context["usage"].total == 0
    assert BANNER not in answer.content.decode()


def test_test_mode_is_said_in_words_on_every_page_of_it(worlds: Worlds, client: Client) -> None:
    live = worlds.ours.company.environments.get(mode="live")
    assert BANNER not in client.get(address(Invoice, "changelist")).content.decode()

    # A row says so, whatever is chosen.
    choose(client, live)
    invoice, customer = worlds.ours.invoice, worlds.ours.customer
    for path in (
        address(Invoice, "change", invoice.pk),
        address(Invoice, "history", invoice.pk),
        address(InvoiceLine, "explain", invoice.lines.get().pk),
        address(Customer, "overview", customer.pk),
        f"{address(Meter, 'explorer')}?meter={worlds.ours.meter.pk}",
        reverse("admin:invoices_invoice_command", args=[invoice.pk, "finalize"]),
    ):
        assert "This is the test environment of Ours" in client.get(path).content.decode(), path
    assert "[TEST]" not in client.get(address(Customer, "changelist")).content.decode()

    choose(client, worlds.ours.environment)
    for path in ("/admin/", address(Customer, "changelist"), reverse("admin:usage_meterevent_debugger")):
        shown = client.get(path).content.decode()
        assert BANNER in shown
        assert "[TEST]" in shown


def test_a_choice_never_leads_behind_a_wall(worlds: Worlds) -> None:
    person = member(worlds.ours.company, username="ours")
    client = signed_in(person)

    answer = choose(client, worlds.theirs.environment)
    assert answer.status_code == 302
    assert "Theirs" not in client.get("/admin/").content.decode()
    assert listed(client, Invoice) == {worlds.ours.invoice.pk} | listed(client, Invoice)
    assert client.post(CHOOSE, {"environment": "no id"}).status_code == 302

    # A membership that ends takes the choice with it.
    both = Membership.objects.create(user=person, company=worlds.theirs.company, role="administrator")
    choose(client, worlds.theirs.environment)
    assert worlds.theirs.invoice.pk in listed(client, Invoice)
    both.delete()
    assert worlds.theirs.invoice.pk not in listed(client, Invoice)
    assert "Theirs" not in client.get("/admin/").content.decode()
    for model in (MeterEvent, UsageSummary):
        assert not listed(client, model)


def test_choosing_leads_back_to_a_page_of_ours_without_its_filters(worlds: Worlds, client: Client) -> None:
    path = address(Customer, "changelist")
    assert choose(client, None, f"{path}?q=x")["Location"] == path
    for stranger in ("https://example.com/", "//example.com", "javascript:alert(1)", ""):
        assert choose(client, None, stranger)["Location"] == reverse("admin:index")


def test_of_many_environments_one_is_found_by_its_company(worlds: Worlds, client: Client) -> None:
    found = client.get(CHOOSE, {"q": "thei"})
    assert [str(one.company) for one in found.context["environments"]] == ["Theirs", "Theirs"]
    assert signed_in(member(username="nobody")).get(CHOOSE).context["environments"] == []
    assert Client().get(CHOOSE).status_code == 302
