"""The audit trail as it is read: who meets what, how it is found, and that what the console and the API do is in it."""

import csv
from io import StringIO
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import ApiKey, Customer, Membership
from accounts.services import create_api_key
from audit.models import Entry
from billing_project.console.tests.conftest import Worlds
from billing_project.console.tests.visits import address, member, signed_in, superuser
from core.ids import spell

pytestmark = pytest.mark.django_db

LIST = "/admin/audit/entry/"
MOST_QUERIES = 14


@pytest.fixture
def auditor(worlds: Worlds) -> Client:
    return signed_in(member(worlds.ours.company, role="auditor", username="otto"))


def rename(worlds: Worlds) -> Entry:
    """What an administrator does to a customer from somewhere."""
    client = signed_in(member(worlds.ours.company, username="ada"))
    client.post(
        address(Customer, "change", worlds.ours.customer.pk),
        {"name": "Renamed", "email": worlds.ours.customer.email},
        REMOTE_ADDR="192.0.2.7",
    )
    return Entry.objects.filter(object_id=str(worlds.ours.customer.pk)).latest("pk")


def create_customer_with(secret: str) -> Any:
    return Client().post(
        "/v1/customers",
        "name=By+key",
        content_type="application/x-www-form-urlencoded",
        headers={"Authorization": f"Bearer {secret}"},
    )


def shown(client: Client, path: str) -> str:
    answer = client.get(path, follow=True)
    assert answer.status_code == 200
    return answer.content.decode()


def exported(client: Client, query: str = "") -> str:
    answer: Any = client.get(f"{LIST}export/{query}")
    assert answer.status_code == 200
    return b"".join(answer.streaming_content).decode()


def rows(client: Client, term: str) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(exported(client, f"?q={term}"))))


def test_what_a_person_does_is_told_with_name_address_and_request(worlds: Worlds, auditor: Client) -> None:
    entry = rename(worlds)

    assert entry.after is not None
    assert entry.after["name"] == "Renamed"
    assert (entry.actor_kind, entry.actor_name, entry.address) == ("person", "ada", "192.0.2.7")
    assert entry.request_id.startswith("req_")
    page = shown(auditor, LIST)
    assert "ada" in page
    assert "Renamed" in page
    assert "192.0.2.7" in shown(auditor, address(Entry, "change", entry.pk))


def test_what_a_key_does_is_told_by_its_prefix(worlds: Worlds) -> None:
    key, secret = create_api_key(company=worlds.ours.company, mode="test", scopes=["customers-write"])

    answer = create_customer_with(secret)

    assert answer.status_code == 200
    entry = Entry.objects.filter(relation="accounts_customer").latest("pk")
    assert (entry.actor_kind, entry.actor_id, entry.actor_name) == ("key", str(key.pk), str(key))
    assert entry.request_id == answer["Request-Id"]
    assert secret not in f"{entry.before} {entry.after} {entry.actor_name}"


def test_everything_ends_at_the_wall(worlds: Worlds, auditor: Client) -> None:
    theirs = Entry.objects.filter(company=worlds.theirs.company).latest("pk")
    nobody_s = Entry.objects.filter(company=None).latest("pk")

    assert "Theirs" not in shown(auditor, LIST)
    assert "Theirs" not in shown(auditor, f"{LIST}?environment__id__exact={worlds.theirs.environment.pk}")
    assert "Ours" in exported(auditor)
    assert "Theirs" not in exported(auditor)
    assert not rows(auditor, str(worlds.theirs.customer.pk))
    for entry in (theirs, nobody_s):
        for page in ("change", "history"):
            assert auditor.get(address(Entry, page, entry.pk)).status_code == 302
    # What belongs to no company, such as people, is for superusers.
    assert signed_in(superuser()).get(address(Entry, "change", nobody_s.pk)).status_code == 200


@pytest.mark.parametrize("role", Membership.Role.values)
def test_who_reads_the_trail(worlds: Worlds, role: str) -> None:
    client = signed_in(member(worlds.ours.company, role=role, username="someone"))
    may = role in {"administrator", "auditor"}

    assert client.get(LIST).status_code == (200 if may else 403)
    assert client.get(f"{LIST}export/").status_code == (200 if may else 403)
    entry = rename(worlds)
    # Whoever sees a row sees what became of it; from where it was done, those who read the trail.
    history = shown(client, address(Customer, "history", worlds.ours.customer.pk))
    assert "Renamed" in history
    assert ("192.0.2.7" in history) is may
    assert client.post(address(Entry, "change", entry.pk), {"actor_name": "x"}).status_code == 403


@pytest.mark.parametrize(
    "term",
    [
        lambda world, _entry: spell("cus", world.customer.pk),
        lambda world, _entry: str(world.customer.pk),
        lambda _world, entry: entry.request_id,
        lambda _world, entry: entry.actor_id,
        lambda _world, _entry: "ada",
    ],
    ids=["wire id", "uuid", "request", "person's id", "person's name"],
)
def test_it_is_searched(worlds: Worlds, auditor: Client, term: Any) -> None:
    entry = rename(worlds)

    found = rows(auditor, term(worlds.ours, entry))

    assert found[0]["after"] == '{"name": "Renamed"}'
    assert (found[0]["who"], found[0]["what"], found[0]["operation"]) == ("ada", "customer", "update")
    assert not rows(auditor, "nobody")


def test_a_secret_that_is_pasted_finds_what_its_key_did(worlds: Worlds, auditor: Client) -> None:
    _key, secret = create_api_key(company=worlds.ours.company, mode="test", scopes=["customers-write"])
    create_customer_with(secret)

    assert "By key" in rows(auditor, secret)[0]["after"]


def test_a_key_is_made_and_revoked_in_the_open_and_never_its_secret(worlds: Worlds, auditor: Client) -> None:
    ada = signed_in(member(worlds.ours.company, username="ada"))
    form = {"environment": str(worlds.ours.environment.pk), "name": "New", "scopes": ["meters-read"]}
    answer = ada.post(address(ApiKey, "add"), form)
    secret = answer.context["secret"]
    key = ApiKey.objects.get(name="New")
    ada.post(address(ApiKey, "command", key.pk, "revoke"))

    made, revoked = Entry.objects.filter(object_id=str(key.pk)).order_by("pk")
    assert (made.actor_name, made.operation, revoked.actor_name) == ("ada", "insert", "ada")
    assert list(revoked.changes) == ["revoked_at"]
    history = shown(auditor, address(ApiKey, "history", key.pk))
    assert secret not in history
    assert key.digest not in history
    assert "(secret)" in history


def test_a_page_asks_a_bounded_number_of_questions(worlds: Worlds, auditor: Client) -> None:
    rename(worlds)
    for path in (LIST, address(Customer, "history", worlds.ours.customer.pk)):
        with CaptureQueriesContext(connection) as queries:
            shown(auditor, path)
        assert len(queries) <= MOST_QUERIES, [query["sql"] for query in queries]
