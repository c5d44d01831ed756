"""What pages show and may change, and how much they ask of the database."""

import re
from decimal import Decimal

import pytest
from django.apps import apps
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.functional import empty

from accounts.approvals.models import ApprovalRequest, ApprovalRule
from accounts.console import base
from accounts.models import ApiKey, Company, Customer, License, LicenseNotice, Membership, User
from audit.models import Entry
from billing_project.console.tests.conftest import Worlds
from billing_project.console.tests.visits import address, models_shown, page_of, rows_of, signed_in, superuser
from billing_project.console.tests.world import add_rows, make_world
from core.console import cells
from core.console.paging import BoundedPaginator, is_large
from core.ids import new_id, spell
from credits.models import BurnMark, CreditGrant, EventCharge, LedgerEntry
from invoices.models import Invoice, InvoiceLine, RevenueFigure
from meters.models import Meter
from subscriptions.models import Coupon, Price, Product, PromotionCode, Subscription, TaxRate
from usage.models import (
    Backfill,
    DailySummary,
    EventAdjustment,
    EventClaim,
    EventNote,
    EventRejection,
    MeterEvent,
    RecountDifference,
    UniqueValue,
    UsageSummary,
    Watermark,
)
from webhooks.models import Event, WebhookEndpoint

# Whose form may be sent at all, by anyone.
CHANGED_BY_FORM = {
    ApiKey,
    ApprovalRule,
    Company,
    Coupon,
    Customer,
    License,
    Membership,
    Meter,
    Price,
    Product,
    PromotionCode,
    TaxRate,
    User,
    WebhookEndpoint,
}
ADDED_BY_FORM = CHANGED_BY_FORM - {Coupon, Price, PromotionCode} | {Backfill, CreditGrant}
HISTORY: tuple[type[Model], ...] = (
    MeterEvent,
    EventAdjustment,
    EventRejection,
    RecountDifference,
    UsageSummary,
    Watermark,
    Invoice,
    InvoiceLine,
    LicenseNotice,
    LedgerEntry,
    EventCharge,
    BurnMark,
    Event,
    Entry,
    ApprovalRequest,
)


@pytest.fixture
def client(worlds: Worlds) -> Client:
    return signed_in(superuser())


def test_every_model_of_ours_has_pages_but_those_with_a_composite_key() -> None:
    ours = {"accounts", "audit", "webhooks", "meters", "usage", "subscriptions", "credits", "invoices"}
    models = {model for model in apps.get_models() if model._meta.app_label in ours}
    # Revenue figures are kept for one page, which shows them.
    assert models - set(models_shown()) == {DailySummary, EventClaim, EventNote, RevenueFigure, UniqueValue}


def test_only_these_are_changed_or_added_by_a_form() -> None:
    assert {model for model in models_shown() if page_of(model).can_change} == CHANGED_BY_FORM
    assert {model for model in models_shown() if page_of(model).can_add} == ADDED_BY_FORM
    assert {model for model in models_shown() if page_of(model).can_delete} == {Membership, ApprovalRule}


def test_history_is_read_only_even_for_a_superuser(worlds: Worlds, client: Client) -> None:
    for model in HISTORY:
        row = model._default_manager.first()
        assert row is not None
        before = model._default_manager.filter(pk=row.pk).values().get()
        assert client.get(address(model, "change", row.pk)).status_code == 200
        assert client.post(address(model, "change", row.pk), {"status": "paid", "value": "0"}).status_code == 403
        assert client.post(address(model, "delete", row.pk), {"post": "yes"}).status_code == 403
        assert client.post(address(model, "add"), {}).status_code == 403
        client.post(
            address(model, "changelist"),
            {"action": "delete_selected", "_selected_action": [str(row.pk)], "post": "yes"},
        )
        assert model._default_manager.filter(pk=row.pk).values().get() == before


def test_the_hash_of_a_secret_is_on_no_page(worlds: Worlds, client: Client) -> None:
    key = ApiKey.objects.get(environment=worlds.ours.environment)

    for path in (address(ApiKey, "changelist"), address(ApiKey, "change", key.pk)):
        shown = client.get(path).content.decode()
        assert key.prefix in shown
        assert key.digest not in shown
        assert worlds.ours.secret not in shown


def asked(client: Client, path: str) -> list[str]:
    with CaptureQueriesContext(connection) as queries:
        answer = client.get(path, follow=True)
    assert answer.status_code == 200
    return [query["sql"] for query in queries]


def test_lists_ask_the_same_number_of_questions_however_many_rows_they_show(worlds: Worlds, client: Client) -> None:
    before = {model: asked(client, address(model, "changelist")) for model in models_shown()}
    assert max(len(queries) for queries in before.values()) <= 14

    add_rows(worlds.ours)
    add_rows(worlds.ours)
    make_world("Third")

    for model in models_shown():
        after = asked(client, address(model, "changelist"))
        assert len(after) == len(before[model]), (model, after)


def test_pages_ask_the_same_number_of_questions_however_many_rows_they_show(worlds: Worlds, client: Client) -> None:
    shown: list[Model] = [worlds.ours.company, worlds.ours.environment, worlds.ours.product, worlds.ours.invoice]

    def count() -> list[int]:
        return [len(asked(client, address(type(row), "change", row.pk))) for row in shown]

    count()  # What is read once per process is read now.
    before = count()

    line = worlds.ours.invoice.lines.get()
    for position in range(1, 6):
        line.pk, line.position, line._state.adding = new_id(), position, True
        line.save(force_insert=True)
    for number in range(4):
        price = Price.objects.get(pk=worlds.ours.price.pk)
        price.pk, price.nickname, price._state.adding = new_id(), f"more {number}", True
        price.save(force_insert=True)
        person = User.objects.create_user(f"person {number}")
        Membership.objects.create(user=person, company=worlds.ours.company, role="auditor")
        License.objects.create(
            company=worlds.ours.company, product="subscription", starts_at=worlds.ours.invoice.created_at
        )

    assert count() == before


def test_big_tables_are_counted_to_a_bound_only(worlds: Worlds, client: Client) -> None:
    for model in (MeterEvent, UsageSummary, EventRejection, Invoice, InvoiceLine, Customer, Subscription):
        counts = [sql for sql in asked(client, address(model, "changelist")) if "COUNT(" in sql]
        assert counts
        bounds = [f"LIMIT {bound}" for bound in (BoundedPaginator.BOUND, BoundedPaginator.BOUND + 1)]
        assert all(any(bound in sql for bound in bounds) for sql in counts), counts


def test_a_list_that_is_cut_says_so(worlds: Worlds, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BoundedPaginator, "BOUND", 1)

    shown = client.get(address(Customer, "changelist"))

    assert "the first 1 customer;" in re.sub(r"\s+", " ", shown.content.decode())
    assert len(shown.context["cl"].result_list) == 2 or len(shown.context["cl"].result_list) == 1


def test_statements_on_usage_name_the_shard_key(worlds: Worlds, client: Client) -> None:
    event = MeterEvent.objects.get(environment=worlds.ours.environment)
    for path in (address(MeterEvent, "changelist"), address(MeterEvent, "change", event.pk)):
        statements = [sql for sql in asked(client, path) if 'FROM "usage_meterevent"' in sql]
        assert statements
        assert all(
            "environment_id" in sql.rpartition('FROM "usage_meterevent"')[2].split("WHERE", 1)[1] for sql in statements
        )


def test_a_list_of_usage_opens_on_an_environment_that_holds_some(worlds: Worlds, client: Client) -> None:
    for model in (MeterEvent, UsageSummary, EventRejection):
        answer = client.get(address(model, "changelist"))
        assert answer.status_code == 302
        assert f"environment__id__exact={worlds.ours.environment.pk}" in answer["Location"]
        narrowed = {"q": spell("mtr", worlds.theirs.meter.pk)}
        assert client.get(address(model, "changelist"), narrowed).status_code == 200
    garbage = client.get(address(MeterEvent, "changelist"), {"environment__id__exact": "garbage"})
    assert garbage.status_code in (200, 302)


def test_an_invoice_explains_its_lines(worlds: Worlds, client: Client) -> None:
    shown = client.get(address(Invoice, "change", worlds.ours.invoice.pk)).content.decode()

    # 40 events' worth at a quarter of a cent.
    for text in (
        "0.0025 USD",
        "0.10 USD",
        "1 event",
        worlds.ours.meter.event_name,
        spell("in", worlds.ours.invoice.pk),
    ):
        assert text in shown
    behind = re.search(r'href="(/admin/usage/usagesummary/\?[^"]+)"', shown)
    assert behind is not None
    listed = client.get(behind.group(1).replace("&amp;", "&"))
    assert [row.value_sum for row in listed.context["cl"].result_list] == [Decimal(40)]


def test_ids_are_shown_as_the_apis_spell_them(worlds: Worlds, client: Client) -> None:
    for row, prefix in (
        (worlds.ours.customer, "cus"),
        (worlds.ours.meter, "mtr"),
        (worlds.ours.product, "prod"),
        (worlds.ours.price, "price"),
        (worlds.ours.subscription, "sub"),
        (worlds.ours.invoice.lines.get(), "il"),
    ):
        shown = client.get(address(type(row), "change", row.pk)).content.decode()
        assert spell(prefix, row.pk) in shown
        assert str(row.pk) in shown


def test_the_list_of_all_pages_is_made_for_who_looks_at_it(worlds: Worlds, client: Client) -> None:
    assert client.get(address(Customer, "changelist")).context["available_apps"]._wrapped is empty
    [accounts] = client.get(reverse("admin:app_list", args=["accounts"])).context["app_list"]
    assert "Customers" in [model["name"] for model in accounts["models"]]


def test_cells_are_exact() -> None:
    assert "0.0000025 USD" in cells.exact_amount(Decimal("0.00025"), "usd")
    assert "12 JPY" in cells.exact_amount(Decimal(12), "jpy")
    assert "45.149935 USD" in cells.exact_amount(Decimal("4514.9935"), "usd")
    assert "47.61 USD" in cells.amount(4761, "usd")
    long = Decimal("12345678901234567890123456789012345678.123456789012345678901234567891")
    assert "12,345,678,901,234,567,890,123,456,789,012,345,678.123456789012345678901234567891" in cells.quantity(long)
    assert ">1,000,000<" in cells.quantity(Decimal("1E+6"))


def kind_of(row: Model) -> object:
    """What has one page for all: the trail and the outbox hold rows by the hundred that differ in their words alone."""
    match row:
        case Entry():
            return row.relation, row.operation
        case Event():
            return row.kind, row.type
    return row.pk


@pytest.mark.parametrize("model", models_shown(), ids=lambda model: model._meta.label)
def test_every_kind_of_row_has_a_page(worlds: Worlds, client: Client, model: type[Model]) -> None:
    for row in {kind_of(row): row for row in rows_of(model, worlds.ours.company)}.values():
        assert client.get(address(model, "change", row.pk)).status_code == 200
        assert client.get(address(model, "history", row.pk)).status_code == 200


def test_a_list_over_several_environments_is_read_from_the_beginning_of_each(
    worlds: Worlds, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_rows(worlds.ours)
    add_rows(worlds.theirs)
    for model in (Customer, Invoice, LedgerEntry):
        page = page_of(model)
        monkeypatch.setattr(page, "list_per_page", 3)
        expected = list(model._default_manager.order_by(*page.ordering or ()).values_list("pk", flat=True))
        found: list[object] = []
        for number in range(1, -(-len(expected) // 3) + 1):
            path = address(model, "changelist") + f"?p={number}"
            # What adds them up reads them so, too.
            asked_for = [sql for sql in asked(client, path) if "UNION ALL" in sql and "GROUP BY" not in sql]
            assert len(asked_for) == 1
            # Four environments: a look into each, no further than the page.
            assert asked_for[0].count(f"LIMIT {min(number * 3, len(expected))}") >= 4
            found += [row.pk for row in client.get(path).context["cl"].result_list]
        assert list(dict.fromkeys(found)) == expected, model


def test_a_large_table_is_not_sorted_by_what_no_index_has(
    worlds: Worlds, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = client.get(address(Customer, "changelist")).context["cl"].list_display
    path = address(Customer, "changelist") + f"?o={shown.index('email')}"
    assert any('ORDER BY "accounts_customer"."email"' in sql for sql in asked(client, path))

    monkeypatch.setattr(base, "is_large", lambda table: table == "accounts_customer")

    assert not any('ORDER BY "accounts_customer"."email"' in sql for sql in asked(client, path))
    assert not is_large("accounts_customer")
    assert not is_large("no_such_table")


def test_a_search_is_by_an_index_and_means_the_words_as_they_stand(worlds: Worlds, client: Client) -> None:
    customer = worlds.ours.customer
    Customer.objects.filter(pk=customer.pk).update(name="Ada Example Ltd", email="Ada@Example.com")
    Invoice.objects.filter(pk=worlds.ours.invoice.pk).update(customer=customer)

    def found(model: type[Model], term: str) -> list[object]:
        return [row.pk for row in client.get(address(model, "changelist"), {"q": term}).context["cl"].result_list]

    for term in ("ada example", "Ada Example Ltd", "ADA@example.com"):
        assert found(Customer, term) == [customer.pk], term
        assert worlds.ours.invoice.pk in found(Invoice, term)
        assert worlds.theirs.invoice.pk not in found(Invoice, term)
    assert found(Customer, "Example") == []
    with CaptureQueriesContext(connection) as queries:
        client.get(address(Invoice, "changelist"), {"q": "ada example"})
    # Invoices are found by the ids of customers, not by joining all of them.
    counts = [query["sql"] for query in queries if "COUNT(" in query["sql"]]
    assert counts
    assert not [count for count in counts if "accounts_customer" in count]
    with connection.cursor() as cursor:
        cursor.execute("SELECT indexdef FROM pg_indexes WHERE indexname = 'customer_by_beginning_of_name'")
        # In the order of bytes; in a language's order it would find no beginning.
        assert "text_pattern_ops" in str(cursor.fetchall())
