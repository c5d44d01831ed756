"""What each role may do, as a table, and that every page asks it."""

import pytest
from django.apps import apps
from django.contrib import admin
from django.db.models import Model

from accounts.models import ApiKey, Company, Customer, IdempotencyRecord, License, Membership, User
from accounts.roles import GRANTS, roles_granting
from billing_project.console.tests.conftest import Worlds
from billing_project.console.tests.visits import address, member, models_shown, page_of, signed_in
from invoices.models import Invoice
from meters.models import Meter
from usage.models import MeterEvent, RecountDifference, UsageSummary, Watermark

Role = Membership.Role
EVERYONE = set(Role.values)
ADMINISTRATOR, FINANCE, ANALYST, SUPPORT, DEVELOPER, AUDITOR = (
    Role.ADMINISTRATOR,
    Role.FINANCE_MANAGER,
    Role.ANALYST,
    Role.SUPPORT,
    Role.DEVELOPER,
    Role.AUDITOR,
)

# Written out, so that a change of the roles is a change of this table too.
TABLE: dict[str, set[str]] = {
    "invoices.view_invoice": EVERYONE,
    "invoices.change_invoice": {ADMINISTRATOR, FINANCE},
    "invoices.change_draftedit": {ADMINISTRATOR, FINANCE},
    "invoices.view_whatif": EVERYONE,
    "invoices.add_whatif": {ADMINISTRATOR, FINANCE, ANALYST},
    "invoices.change_whatif": set(),
    "subscriptions.view_subscription": EVERYONE,
    "subscriptions.change_price": {ADMINISTRATOR, FINANCE},
    "subscriptions.add_product": {ADMINISTRATOR, FINANCE},
    "credits.view_ledgerentry": EVERYONE,
    "credits.change_ledgerentry": set(),
    "credits.add_creditgrant": {ADMINISTRATOR, FINANCE},
    "credits.change_creditgrant": {ADMINISTRATOR, FINANCE},
    "accounts.view_customer": EVERYONE,
    "accounts.change_customer": {ADMINISTRATOR, FINANCE, SUPPORT, DEVELOPER},
    "accounts.add_customer": {ADMINISTRATOR, FINANCE, DEVELOPER},
    "meters.view_meter": EVERYONE,
    "meters.change_meter": {ADMINISTRATOR, DEVELOPER},
    "meters.add_meter": {ADMINISTRATOR, DEVELOPER},
    "usage.view_meterevent": EVERYONE,
    "usage.view_eventrejection": EVERYONE,
    "webhooks.view_event": EVERYONE,
    "webhooks.change_event": set(),
    "webhooks.view_webhookendpoint": EVERYONE,
    "webhooks.add_webhookendpoint": {ADMINISTRATOR, DEVELOPER},
    "webhooks.change_webhookendpoint": {ADMINISTRATOR, DEVELOPER},
    "webhooks.change_delivery": {ADMINISTRATOR, DEVELOPER},
    "usage.change_usagesummary": {ADMINISTRATOR, DEVELOPER},
    "usage.change_meterevent": {ADMINISTRATOR, FINANCE},
    "usage.add_backfill": {ADMINISTRATOR, FINANCE},
    "usage.change_backfill": {ADMINISTRATOR, FINANCE},
    "usage.view_recountdifference": EVERYONE,
    "usage.change_recountdifference": {ADMINISTRATOR, DEVELOPER},
    "accounts.view_apikey": {ADMINISTRATOR, DEVELOPER, AUDITOR},
    "accounts.add_apikey": {ADMINISTRATOR, DEVELOPER},
    "accounts.change_apikey": {ADMINISTRATOR, DEVELOPER},
    "accounts.view_apirequest": {ADMINISTRATOR, SUPPORT, DEVELOPER, AUDITOR},
    "accounts.view_customernote": EVERYONE,
    "accounts.view_idempotencyrecord": {ADMINISTRATOR, SUPPORT, DEVELOPER, AUDITOR},
    "accounts.view_membership": {ADMINISTRATOR, AUDITOR},
    "accounts.add_membership": {ADMINISTRATOR},
    "accounts.change_membership": {ADMINISTRATOR},
    "accounts.delete_membership": {ADMINISTRATOR},
    "accounts.view_user": {ADMINISTRATOR, AUDITOR},
    "accounts.change_user": set(),
    "accounts.view_license": EVERYONE,
    "accounts.change_license": set(),
    "accounts.add_license": set(),
    "accounts.add_company": set(),
    "accounts.change_company": set(),
    "usage.view_watermark": set(),
    "audit.view_entry": {ADMINISTRATOR, AUDITOR},
    "audit.add_entry": set(),
    "audit.change_entry": set(),
    "audit.delete_entry": set(),
    "accounts.view_approvalrequest": {ADMINISTRATOR, FINANCE, AUDITOR},
    "accounts.change_approvalrequest": {ADMINISTRATOR, FINANCE},
    "accounts.view_approvalrule": {ADMINISTRATOR, FINANCE, AUDITOR},
    "accounts.add_approvalrule": set(),
    "accounts.change_approvalrule": set(),
    "accounts.delete_approvalrule": set(),
    "subscriptions.view_price": EVERYONE,
    "subscriptions.add_price": {ADMINISTRATOR, FINANCE},
    "subscriptions.add_coupon": {ADMINISTRATOR, FINANCE},
    "subscriptions.change_taxrate": {ADMINISTRATOR, FINANCE},
    "subscriptions.change_subscription": {ADMINISTRATOR, FINANCE},
    "invoices.view_payment": EVERYONE,
    "invoices.change_payment": {ADMINISTRATOR, FINANCE},
    "invoices.change_creditnote": {ADMINISTRATOR, FINANCE},
    "invoices.change_invoiceverification": {ADMINISTRATOR, FINANCE},
    "accounts.view_testclock": EVERYONE,
    "accounts.view_company": EVERYONE,
}


@pytest.mark.parametrize(("permission", "roles"), TABLE.items())
def test_the_table_of_roles(permission: str, roles: set[str]) -> None:
    assert set(roles_granting(permission)) == roles


def test_only_memberships_are_ever_deleted_and_an_auditor_changes_nothing() -> None:
    granted = set().union(*GRANTS.values())
    assert {name for name in granted if ".delete_" in name} == {"accounts.delete_membership"}
    assert all(".view_" in name for name in GRANTS[AUDITOR])
    assert set(GRANTS) == EVERYONE


def test_every_permission_names_a_model_of_the_console() -> None:
    for permission in set().union(*GRANTS.values()):
        app, _, rest = permission.partition(".")
        action, _, model = rest.partition("_")
        assert action in {"view", "add", "change", "delete"}
        assert apps.get_model(app, model) in admin.site._registry


@pytest.mark.django_db
@pytest.mark.parametrize("role", Role.values)
def test_every_page_asks_the_table(worlds: Worlds, role: str) -> None:
    client = signed_in(member(worlds.ours.company, role=role, username="someone"))

    for model in models_shown():
        name = model._meta.model_name
        may_see = f"{model._meta.app_label}.view_{name}" in GRANTS[role]
        answer = client.get(address(model, "changelist"), follow=True)
        assert answer.status_code == (200 if may_see else 403), model
        may_add = page_of(model).can_add and f"{model._meta.app_label}.add_{name}" in GRANTS[role]
        assert client.get(address(model, "add")).status_code == (200 if may_add else 403), model


@pytest.mark.django_db
@pytest.mark.parametrize("role", Role.values)
def test_buttons_and_actions_follow_the_role(worlds: Worlds, role: str) -> None:
    client = signed_in(member(worlds.ours.company, role=role, username="someone"))
    key = ApiKey.objects.get(environment=worlds.ours.environment)
    summary = UsageSummary.objects.get(environment=worlds.ours.environment)
    event = MeterEvent.objects.get(identifier=worlds.ours.identifier)
    difference = RecountDifference.objects.get(environment=worlds.ours.environment)
    rows: list[tuple[Model, str, str]] = [
        (worlds.ours.invoice, "finalize", "invoices.change_invoice"),
        (worlds.ours.grant, "expire", "credits.change_creditgrant"),
        (worlds.ours.meter, "deactivate", "meters.change_meter"),
        (key, "revoke", "accounts.change_apikey"),
        (summary, "recount", "usage.change_usagesummary"),
        (event, "cancel", "usage.change_meterevent"),
        (difference, "resolve", "usage.change_recountdifference"),
    ]
    for row, command, permission in rows:
        if f"{row._meta.app_label}.view_{row._meta.model_name}" not in GRANTS[role]:
            continue
        button = address(type(row), "command", row.pk, command)
        shown = client.get(address(type(row), "change", row.pk)).content.decode()
        listed = client.get(address(type(row), "changelist"), follow=True).content.decode()
        may = role in TABLE[permission]
        assert (button in shown) is may
        assert (f'value="{command}"' in listed) is may
        assert client.get(button).status_code == (200 if may else 403)


@pytest.mark.django_db
@pytest.mark.parametrize("role", [ADMINISTRATOR, FINANCE, SUPPORT, ANALYST])
def test_a_form_changes_a_row_only_for_roles_that_may(worlds: Worlds, role: str) -> None:
    client = signed_in(member(worlds.ours.company, role=role, username="someone"))

    answer = client.post(address(Customer, "change", worlds.ours.customer.pk), {"name": "Renamed"})

    worlds.ours.customer.refresh_from_db()
    may = role in TABLE["accounts.change_customer"]
    assert answer.status_code == (302 if may else 403)
    assert (worlds.ours.customer.name == "Renamed") is may


@pytest.mark.django_db
def test_an_administrator_cannot_become_more_than_that(worlds: Worlds) -> None:
    user = member(worlds.ours.company, username="someone")
    client = signed_in(user)
    license_ = License.objects.filter(company=worlds.ours.company).first()
    assert license_ is not None

    assert client.post(address(User, "change", user.pk), {"is_superuser": "on"}).status_code == 403
    assert client.post(reverse_password(user)).status_code == 403
    assert client.post(address(License, "change", license_.pk), {"grace": "9000"}).status_code == 403
    assert client.post(address(Company, "change", worlds.ours.company.pk), {"name": "x"}).status_code == 403
    user.refresh_from_db()
    assert not user.is_superuser
    assert "is_superuser" not in client.get(address(User, "change", user.pk)).content.decode()


def reverse_password(user: User) -> str:
    return address(User, "change", user.pk).replace("/change/", "/password/")


def test_models_of_the_instance_are_in_no_role() -> None:
    assert not any(permission.endswith("watermark") for permission in set().union(*GRANTS.values()))
    assert {Watermark, Invoice, Meter, IdempotencyRecord} <= set(admin.site._registry)
