"""What is changed is told of, whatever changes it; and what is told stays."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from django.apps import apps
from django.db import DatabaseError, connection, transaction
from django.db.models import Case, F, Value, When

from accounts.models import ApiKey, Company, Customer, User
from accounts.services import create_api_key, create_company, create_customer, revoke_api_key, update_customer
from accounts.tests.factories import EnvironmentFactory
from audit.models import Entry
from core.actors import Actor, acting, giving_reason, identify
from core.bulk import update_rows
from invoices.models import Invoice
from invoices.tests.factories import draft_invoice
from subscriptions.models import Subscription

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 1, 1, tzinfo=UTC)

# What no trigger stands on, and why.
UNTOLD = {
    "admin.LogEntry": "what the console's own log says, the trail says better",
    "audit.Entry": "the trail itself, to which nobody adds but its triggers",
    "auth.Permission": "asked by nobody: roles are a table in the code",
    "auth.Group": "asked by nobody",
    "auth.Group_permissions": "asked by nobody",
    "accounts.User_groups": "asked by nobody",
    "accounts.User_user_permissions": "asked by nobody",
    "contenttypes.ContentType": "the names of models, written by migrations",
    "sessions.Session": "who is signed in, and nothing else",
    "accounts.IdempotencyRecord": "answers of a day, to be given again",
    "accounts.ApiRequest": "the record of programs' requests: append-only, for some weeks",
    "accounts.LicenseNotice": "a warning that a job has given",
    "webhooks.Event": "an outbox, which tells by itself what happened",
    "webhooks.Delivery": "attempts to send, each with its outcome",
    "usage.MeterEvent": "usage: append-only, with its source and time",
    "usage.EventClaim": "usage: which identifiers were taken",
    "usage.EventNote": "usage: what an event had beside it",
    "usage.EventRejection": "usage that could not be counted, with its source",
    "usage.UsageSummary": "computed from events, and recounted from them",
    "usage.DailySummary": "computed from events",
    "usage.UniqueValue": "computed from events",
    "usage.DirtyHour": "hours that a job computes again",
    "usage.DroppedMonth": "what retention has dropped: append-only",
    "usage.Watermark": "how far a job has read",
    "credits.BurnMark": "how far a job has read",
    "credits.CreditAccount": "a lock: it has no columns of its own",
    "credits.EventCharge": "computed from events, and paid through the ledger",
    "credits.CreditReservation": "made and ended by calls, thousands a second; what it takes is in the ledger",
    "credits.CreditHold": "what reservations hold of grants; what they take is in the ledger",
    "invoices.Export": "a file of what is stored elsewhere, for its maker, for some days",
    "invoices.DraftEdit": "says itself who changed what of a draft, from what to what; the draft's changes are told",
    "invoices.WhatIf": "a report on a price that nobody pays, which changes nothing",
    "invoices.WhatIfOutcome": "a row of such a report",
    "invoices.RevenueFigure": "computed from what is stored elsewhere, for a day at most",
    "invoices.BillingFailure": "what a job could not do, and tries again",
}


def trigger_arguments() -> dict[str, str]:
    """By table, as the database says: of those that have a trigger for each row and one for the whole table."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname, min(encode(tgargs, 'escape')) FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid "
            "WHERE tgenabled = 'O' AND (tgname = 'audit_truncate' OR "
            "      tgname IN ('audit_insert', 'audit_update', 'audit_delete') AND tgfoid = 'audit_note_row'::regproc) "
            "GROUP BY relname HAVING count(*) = 4"
        )
        return dict(cursor.fetchall())


def test_every_model_is_told_of_or_says_why_not() -> None:
    told = trigger_arguments()
    for model in apps.get_models(include_auto_created=True):
        if not model._meta.managed:
            continue
        label = model._meta.label
        assert (model._meta.db_table in told) != (label in UNTOLD), (
            f"{label}: put its table into the trail with a migration that calls audit.triggers.audited, "
            "or say in UNTOLD why nobody has to know"
        )


def test_no_column_that_is_secret_by_its_name_is_told() -> None:
    """By the triggers' own arguments, so that a column that is added later is asked about, too."""
    arguments = trigger_arguments()
    names = ("password", "digest", "secret", "token")
    for model in apps.get_models():
        table = model._meta.db_table
        for field in model._meta.concrete_fields:
            column = str(field.column)
            is_secret = any(name in column for name in names) and "until" not in column
            if table in arguments and is_secret:
                assert column in arguments[table], f"{table}.{column}"


@pytest.fixture
def company() -> Company:
    return create_company(name="Ours")


def entries(**which: Any) -> Iterator[Entry]:
    return Entry.objects.filter(**which).order_by("pk").iterator()


def test_raw_sql_is_told_of_with_before_and_after(company: Company) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE accounts_company SET grace_minutes = 5 WHERE id = %s", [company.pk])

    entry = list(entries(object_id=str(company.pk)))[-1]
    assert (entry.operation, entry.before, entry.after) == ("update", {"grace_minutes": 60}, {"grace_minutes": 5})
    assert (entry.actor_kind, entry.company) == ("database", company)
    assert entry.actor_name


def test_many_rows_in_one_statement_are_told_of_one_by_one() -> None:
    environment = EnvironmentFactory.create()
    made = Customer.objects.bulk_create(
        Customer(environment=environment, name=str(number), created_at=NOW) for number in range(3)
    )
    Customer.objects.filter(environment=environment).update(name=F("email"), email="all@example.com")

    told = Entry.objects.filter(environment=environment, relation="accounts_customer")
    assert told.filter(operation="insert").count() == 3
    assert {entry.object_id for entry in told.filter(operation="update")} == {str(row.pk) for row in made}
    assert all(entry.company_id == environment.company_id for entry in told)


def test_what_changes_nothing_is_not_told(company: Company) -> None:
    before = Entry.objects.count()
    Company.objects.filter(pk=company.pk).update(name="Ours")
    assert Entry.objects.count() == before


def test_a_key_that_is_changed_and_an_emptied_table_do_not_escape() -> None:
    environment = EnvironmentFactory.create()
    customer = Customer.objects.create(environment=environment, name="x", created_at=NOW)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE accounts_customer SET id = gen_random_uuid() WHERE id = %s", [customer.pk])
        cursor.execute("TRUNCATE invoices_payment CASCADE")

    assert [entry.operation for entry in entries(object_id=str(customer.pk))] == ["insert", "delete"]
    assert Entry.objects.filter(relation="invoices_payment", operation="truncate").exists()


def test_secrets_are_never_told(company: Company) -> None:
    key, secret = create_api_key(company=company, mode="test", scopes=["meter-report"])
    user = User.objects.create_user("someone", password="old-password-7")
    user.set_password("new-password-7")
    user.save()

    told = " ".join(f"{entry.before} {entry.after}" for entry in entries())
    assert ApiKey.digest_of(secret) not in told
    assert user.password not in told
    assert "pbkdf2" not in told
    changed = list(entries(object_id=str(user.pk)))[-1]
    assert changed.after == {"password": "(secret)"}
    assert Entry.objects.filter(object_id=str(key.pk), after__digest="(secret)").exists()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_entry SET actor_name = 'somebody else'",
        "DELETE FROM audit_entry",
        "TRUNCATE audit_entry",
    ],
)
def test_the_trail_is_append_only(company: Company, statement: str) -> None:
    before = Entry.objects.count()
    with pytest.raises(DatabaseError, match="never changed"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    assert Entry.objects.count() == before > 0


def test_who_acts_is_told_with_address_request_and_reason(company: Company) -> None:
    with acting(Actor(address="192.0.2.1", request_id="req_1")):
        identify(kind="person", id="42", name="fiona")
        with giving_reason("A customer asked."):
            Company.objects.filter(pk=company.pk).update(name="Theirs")
    Company.objects.filter(pk=company.pk).update(name="Nobody's")

    first, second = list(entries(object_id=str(company.pk)))[-2:]
    assert (first.actor_kind, first.actor_id, first.actor_name) == ("person", "42", "fiona")
    assert (first.address, first.request_id, first.reason) == ("192.0.2.1", "req_1", "A customer asked.")
    # Whoever comes after is not taken for the one before.
    assert (second.actor_kind, second.actor_id, second.reason) == ("database", "", "")


def test_a_rollback_to_a_savepoint_does_not_make_it_forget_who_acts(company: Company) -> None:
    with acting(Actor(kind="person", name="fiona")):
        with transaction.atomic():
            Company.objects.filter(pk=company.pk).update(name="A")
            transaction.set_rollback(True)
        Company.objects.filter(pk=company.pk).update(name="B")

    last = list(entries(object_id=str(company.pk)))[-1]
    assert (last.after, last.actor_name) == ({"name": "B"}, "fiona")


def test_statements_past_django_s_cursors_say_who_acts(company: Company) -> None:
    customer = create_customer(environment=company.environments.get(mode="test"), now=NOW)
    customer.name = "Renamed"
    with acting(Actor(kind="person", name="fiona")):
        update_rows([customer], ["name"])

    last = list(entries(object_id=str(customer.pk)))[-1]
    assert (last.after, last.actor_name) == ({"name": "Renamed"}, "fiona")


@pytest.mark.django_db(transaction=True)
def test_a_statement_by_itself_says_who_acts_and_no_other_thread_s() -> None:
    company = create_company(name="Ours")
    key, _ = create_api_key(company=company, mode="test", scopes=["meter-report"])

    def rename() -> None:
        Company.objects.filter(pk=company.pk).update(name="Theirs")
        connection.close()

    with acting(Actor(kind="person", name="fiona")):
        assert not connection.in_atomic_block
        revoke_api_key(key=key, now=NOW)
        other = threading.Thread(target=rename)
        other.start()
        other.join()

    assert list(entries(object_id=str(key.pk)))[-1].actor_name == "fiona"
    assert list(entries(object_id=str(company.pk)))[-1].actor_kind == "database"


def test_jobs_change_drafts_without_a_word_and_nothing_that_is_final() -> None:
    draft = draft_invoice()
    with acting(Actor(kind="job", name="invoices.tasks.run_billing")):
        Invoice.objects.filter(pk=draft.pk).update(total=5, subtotal=5, amount_due=5)
    assert [entry.operation for entry in entries(object_id=str(draft.pk))] == ["insert"]

    Invoice.objects.filter(pk=draft.pk).update(status="open", number="X-1", finalized_at=NOW)
    with acting(Actor(kind="job", name="invoices.tasks.run_billing")):
        Invoice.objects.filter(pk=draft.pk).update(status="uncollectible", uncollectible_at=NOW)
    last = list(entries(object_id=str(draft.pk)))[-1]
    assert (last.actor_kind, last.before["status"], last.after["status"]) == ("job", "open", "uncollectible")  # type: ignore[index]


def test_of_what_a_job_does_to_many_rows_only_what_is_not_left_to_it_is_told() -> None:
    going_on, paused = draft_invoice().subscription, draft_invoice().subscription
    assert going_on is not None
    assert paused is not None
    both = Subscription.objects.filter(pk__in=[going_on.pk, paused.pk])
    status = Case(When(pk=paused.pk, then=Value("paused")), default=F("status"))
    with acting(Actor(kind="job", name="invoices.tasks.run_billing")):
        both.update(wakes_at=None, status=status)

    [told] = entries(relation="subscriptions_subscription", actor_kind="job")
    assert (told.object_id, told.changes["status"]) == (str(paused.pk), ("active", "paused"))


def test_services_need_not_know_of_it(company: Company) -> None:
    customer = create_customer(environment=company.environments.get(mode="live"), now=NOW)
    update_customer(customer=customer, now=NOW, email="a@example.com")

    made, changed = entries(object_id=str(customer.pk))
    assert (made.operation, made.environment) == ("insert", customer.environment)
    assert changed.changes == {"email": ("", "a@example.com")}
