"""Search: the query language, its fields of each resource, and pages; against an oracle that knows no SQL."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import stripe
from django.db import connection
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import Customer
from accounts.tests.factories import CustomerFactory
from billing_project.api.stripe.customers import CustomerViewSet
from billing_project.api.stripe.kinds import CUSTOMER
from billing_project.api.stripe.search_language import Clause, Operator, Query, parse
from billing_project.api.stripe.searching import condition
from billing_project.api.stripe.tests.builders import new_customer, new_meter, new_price, new_subscription
from billing_project.api.stripe.tests.sdk import Account, new_account
from billing_project.api.stripe.wire import StripeError

UNPARSABLE = "We were unable to parse your search query."
START = datetime(2026, 3, 1, tzinfo=UTC)


def clause(field: str, operator: str, value: str | None, **more: Any) -> Clause:
    return Clause(field, Operator(operator), value, **more)


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ('email:"amy@rocketrides.io"', Query((clause("email", ":", "amy@rocketrides.io"),))),
        ("status:'active'", Query((clause("status", ":", "active"),))),
        ("  total>=1000 ", Query((clause("total", ">=", "1000"),))),
        ('total<"-5"', Query((clause("total", "<", "-5"),))),
        ("-url:NULL", Query((clause("url", ":", None, is_negated=True),))),
        ('url:"null"', Query((clause("url", ":", "null"),))),
        (r'name:"say \"hi\" \\ \'"', Query((clause("name", ":", r"""say "hi" \ '"""),))),
        ("""metadata['a"b']:'c'""", Query((clause("metadata", ":", "c", key='a"b'),))),
        (
            'name~"abc" email:"x"',
            Query((clause("name", "~", "abc"), clause("email", ":", "x"))),
        ),
        (
            'name:"a AND b" and -created>5 AND total:7',
            Query(
                (
                    clause("name", ":", "a AND b"),
                    clause("created", ">", "5", is_negated=True),
                    clause("total", ":", "7"),
                )
            ),
        ),
        (
            'android:"x" Or order:"y"',
            Query((clause("android", ":", "x"), clause("order", ":", "y")), is_any=True),
        ),
    ],
)
def test_queries_are_read(text: str, query: Query) -> None:
    assert parse(text) == query


@pytest.mark.parametrize(
    "text",
    [
        "",
        "asdf",
        'name:""a"',
        "name:bare",
        'name:"open',
        'name :"a"',
        'name: "a"',
        ':"a"',
        'name:"a"email:"b"',
        'name:"a" AND',
        'AND name:"a"',
        'name:"a" AND OR email:"b"',
        '(name:"a")',
        '--name:"a"',
        "total>1.5",
        'metadata:"a"',
        'metadata[a]:"b"',
        'metadata["a":"b"',
        'name["a"]:"b"',
        'name="a"',
        "name:" + "9" * 19,
    ],
)
def test_what_is_no_query_is_refused(text: str) -> None:
    with pytest.raises(StripeError, match=re.escape(UNPARSABLE)):
        parse(text)


def test_a_query_joins_by_one_word_and_ends() -> None:
    with pytest.raises(StripeError, match="AND and OR cannot be combined"):
        parse('a:"1" AND b:"2" OR c:"3"')
    with pytest.raises(StripeError, match="AND and OR cannot be combined"):
        parse('a:"1" b:"2" OR c:"3"')
    assert len(parse(" ".join(['a:"1"'] * 10)).clauses) == 10
    with pytest.raises(StripeError, match="at most 10 clauses"):
        parse(" ".join(['a:"1"'] * 11))


# --- The oracle ---------------------------------------------------------------------------------------------------

TEXTS = ["", "Ada", "ada lovelace", "Lovelace  Ada", "ADA@x.org", "a%b_c\\d", "a.b*c", "(x)", "Grace Ada Hopper"]
PARTS = ["ada", "Ada Lovelace", "lovelace ada", "@x.", "%b_", "c\\d", ".b*", "(x)", "hopper", "Ada Hopper", "'\""]
KEYS = ["k", "0", "a b", "$.k"]
SECONDS = [0, 1, 2, 60]


@dataclass(frozen=True)
class Asked:
    """A clause as text, and what it means of a customer."""

    text: str
    holds: Callable[[Customer], bool]


def quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def has_words(text: str, value: str) -> bool:
    have, want = text.lower().split(), value.lower().split()
    return any(have[place : place + len(want)] == want for place in range(len(have)))


def asks_text(field: str, value: str) -> Asked:
    if field == "name":
        return Asked(f"name:{quoted(value)}", lambda row: has_words(row.name, value))
    return Asked(f"{field}:{quoted(value)}", lambda row: getattr(row, field).lower() == value.lower())


def asks_part(field: str, value: str) -> Asked:
    return Asked(f"{field}~{quoted(value)}", lambda row: value.lower() in getattr(row, field).lower())


def asks_presence(field: str) -> Asked:
    return Asked(f"{field}:null", lambda row: getattr(row, field) == "")


def asks_metadata(key: str, value: str | None) -> Asked:
    field = f"metadata[{quoted(key)}]"
    if value is None:
        return Asked(f"{field}:null", lambda row: key not in row.metadata)
    return Asked(f"{field}:{quoted(value)}", lambda row: row.metadata.get(key, "").lower() == value.lower())


def asks_created(operator: str, second: int) -> Asked:
    number = int(START.timestamp()) + second
    compare: dict[str, Callable[[int], bool]] = {
        ":": lambda mine: mine == number,
        ">": lambda mine: mine > number,
        ">=": lambda mine: mine >= number,
        "<": lambda mine: mine < number,
        "<=": lambda mine: mine <= number,
    }
    return Asked(f"created{operator}{number}", lambda row: compare[operator](int(row.created_at.timestamp())))


def negated(asked: Asked) -> Asked:
    return Asked(f"-{asked.text}", lambda row: not asked.holds(row))


FIELDS = st.sampled_from(["name", "email", "phone"])
WHOLE = st.sampled_from([text for text in [*TEXTS, *PARTS] if text])
POSITIVE = st.one_of(
    st.builds(asks_text, FIELDS, WHOLE),
    st.builds(asks_part, FIELDS, st.sampled_from([part for part in PARTS if len(part) >= 3])),
    st.builds(asks_presence, FIELDS),
    st.builds(asks_metadata, st.sampled_from(KEYS), st.one_of(st.none(), WHOLE)),
    st.builds(asks_created, st.sampled_from([":", ">", ">=", "<", "<="]), st.sampled_from(SECONDS)),
)
CLAUSES = st.lists(st.one_of(POSITIVE, POSITIVE.map(negated)), min_size=1, max_size=4)


@pytest.fixture
def crowd(account: Account) -> list[Customer]:
    """Customers whose fields go through all texts, out of step with one another."""
    count = len(TEXTS)
    rows = [
        CustomerFactory.create(
            environment=account.environment,
            name=TEXTS[number % count],
            email=TEXTS[number * 2 % count],
            phone=TEXTS[number * 4 % count],
            metadata={
                key: TEXTS[1 + (number + place) % (count - 1)] for place, key in enumerate(KEYS) if number >> place & 1
            },
            created_at=START + timedelta(seconds=SECONDS[number % 4], milliseconds=number % 3 * 499),
        )
        for number in range(36)
    ]
    CustomerFactory.create(environment=new_account("Globex").environment, name="Ada", created_at=START)
    return rows


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(clauses=CLAUSES, word=st.sampled_from([" ", " AND ", " OR "]), limit=st.integers(7, 40))
def test_any_query_finds_what_the_oracle_finds(
    account: Account, crowd: list[Customer], clauses: list[Asked], word: str, limit: int
) -> None:
    join = any if word == " OR " else all
    expected = [row for row in crowd if join(asked.holds(row) for asked in clauses)]
    expected.sort(key=lambda row: (row.created_at, row.pk), reverse=True)

    query = word.join(asked.text for asked in clauses)
    found = account.v1.customers.search({"query": query, "limit": limit, "expand": ["total_count"]})

    assert found.total_count == len(expected)
    assert [customer.id for customer in found.auto_paging_iter()] == [CUSTOMER.id_of(row) for row in expected]


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    query=st.one_of(
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=80),
        st.lists(
            st.sampled_from(
                [*"-:~<>='\"()[] \\", "AND", "OR", "null", "metadata", "name", "created", "email", "9" * 18, "%", "a"]
            ),
            max_size=14,
        ).map("".join),
    ),
    page=st.one_of(st.none(), st.text("abcXYZ019-_=", max_size=60)),
)
def test_nonsense_is_answered_or_refused(account: Account, crowd: list[Customer], query: str, page: str | None) -> None:
    client = Client(headers={"Authorization": f"Bearer {account.secret}"}, raise_request_exception=False)
    params = {"query": query} | ({"page": page} if page else {})

    response = client.get("/v1/customers/search", params)

    assert response.status_code in {200, 400}, response.content
    if response.status_code == 400:
        assert json.loads(response.content)["error"]["param"] in {"query", "page"}


# --- Every resource -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shop:
    """One of everything that can be searched, in a world where there is more."""

    account: Account
    ids: dict[str, str]


@pytest.fixture(scope="module")
def _made_shop(lasting_db: None) -> Shop:
    account = new_account("Shop")
    new_customer(account, name="Grace")
    product = account.v1.products.create(
        {"name": "Gold plan", "description": "All that\nglitters", "metadata": {"a": "B"}}
    )
    account.v1.products.create({"name": "Silver", "active": False})
    meter = new_meter(account)
    price = new_price(account, product=product.id, lookup_key="Gold_monthly")
    metered = new_price(account, meter=meter.id, currency="eur", metadata={"tier": "2"})
    once = account.v1.prices.create({"product": product.id, "currency": "jpy", "unit_amount": 5})
    customer = new_customer(account, name="Ada", email="ada@example.com", phone="+49 30 123")
    subscription = new_subscription(account, customer.id, price.id, metadata={"order_id": "6735"})
    ended = new_subscription(account, customer.id, metered.id)
    account.v1.subscriptions.cancel(ended.id)
    manual = account.v1.invoices.create({"customer": customer.id, "currency": "usd", "metadata": {"by": "hand"}})
    ids = {
        "product": product.id,
        "price": price.id,
        "metered": metered.id,
        "once": once.id,
        "customer": customer.id,
        "subscription": subscription.id,
        "ended": ended.id,
        "invoice": subscription.latest_invoice,
        "manual": manual.id,
        "number": account.v1.invoices.retrieve(subscription.latest_invoice).number,
    }
    return Shop(account, ids)


@pytest.fixture
def shop(_made_shop: Shop, db: None) -> Shop:
    return _made_shop


@pytest.mark.parametrize(
    ("resource", "query", "found"),
    [
        ("products", 'active:"true" name:"gold"', ["product"]),
        ("products", 'description:"that glitters"', ["product"]),
        ("products", 'metadata["a"]:"b" AND shippable:null url:null', ["product"]),
        ("products", 'shippable:"true"', []),
        ("products", 'active:"perhaps"', []),
        ("prices", 'product:"{product}" type:"recurring"', ["price"]),
        ("prices", 'type:"one_time" OR lookup_key~"GOLD"', ["price", "once"]),
        ("prices", 'currency:"EUR"', ["metered"]),
        ("prices", 'metadata["tier"]:2', ["metered"]),
        ("prices", 'product:"prod_nope"', []),
        ("prices", '-product:"prod_nope" -lookup_key:null active:"true"', ["price"]),
        ("customers", 'email:"ADA@example.com"', ["customer"]),
        ("customers", 'phone~"30 1" name:"ada"', ["customer"]),
        ("subscriptions", """status:'active' AND metadata['order_id']:'6735'""", ["subscription"]),
        ("subscriptions", 'status:"canceled"', ["ended"]),
        ("subscriptions", "canceled_at>0", ["ended"]),
        ("subscriptions", "-canceled_at>0", ["subscription"]),
        ("subscriptions", "canceled_at:null created>=0", ["subscription"]),
        ("invoices", 'total>=1000 status:"open" customer:"{customer}"', ["invoice"]),
        ("invoices", 'subscription:"{subscription}"', ["invoice"]),
        ("invoices", '-subscription:"{subscription}" created<99999999999999', ["manual"]),
        ("invoices", "subscription:null", ["manual"]),
        ("invoices", 'number:"{number}"', ["invoice"]),
        ("invoices", 'number:null currency:"usd" receipt_number:null', ["manual"]),
        ("invoices", 'total:0 OR total<-999999999999999999 OR metadata["by"]:"hand"', ["manual"]),
    ],
)
def test_each_resource_is_found_by_its_fields(shop: Shop, resource: str, query: str, found: Sequence[str]) -> None:
    for name, value in shop.ids.items():
        query = query.replace(f"{{{name}}}", value)
    answer = getattr(shop.account.v1, resource).search({"query": query})
    assert {row.id for row in answer.data} == {shop.ids[name] for name in found}


def test_an_answer_is_a_search_result_that_expands(shop: Shop) -> None:
    answer = shop.account.v1.invoices.search({"query": "total>0", "expand": ["data.customer"]})
    assert answer.object == "search_result"
    assert answer.url == "/v1/invoices/search"
    assert (answer.has_more, answer.next_page) == (False, None)
    assert "total_count" not in answer
    assert answer.data[0].customer.email == "ada@example.com"
    with pytest.raises(stripe.InvalidRequestError, match="cannot be expanded"):
        shop.account.v1.invoices.search({"query": "total>0", "expand": ["customer"]})
    with pytest.raises(stripe.InvalidRequestError, match="cannot be expanded"):
        shop.account.v1.invoices.search({"query": "total>0", "expand": ["total_count.a"]})


@pytest.mark.parametrize(
    ("resource", "query", "message"),
    [
        ("customers", 'foo:"a"', "Field `foo` is an unsupported search field for resource `customers`."),
        ("products", 'email:"a"', "Field `email` is an unsupported search field for resource `products`."),
        ("customers", 'email>"a"', "The operator `>` is not supported for field `email`"),
        ("customers", "created~123", "The operator `~` is not supported for field `created`"),
        ("customers", 'metadata["a"]~"abc"', "The operator `~` is not supported for field `metadata`"),
        ("customers", "created>null", "The operator `>` is not supported for field `created`"),
        ("customers", 'created:"soon"', "Invalid integer in the search query: soon"),
        ("customers", 'name~"ab"', "at least 3 characters"),
        ("prices", 'status:"a"', "Supported fields are: active, currency, lookup_key, metadata, product, type."),
    ],
)
def test_what_cannot_be_asked_is_refused(account: Account, resource: str, query: str, message: str) -> None:
    with pytest.raises(stripe.InvalidRequestError, match=re.escape(message)) as refusal:
        getattr(account.v1, resource).search({"query": query})
    assert (refusal.value.http_status, refusal.value.param) == (400, "query")


def test_a_search_stays_within_its_walls(shop: Shop) -> None:
    other = new_account("Globex")
    for resource in ("customers", "products", "prices", "subscriptions", "invoices"):
        everything = f'-metadata["nobody"]:"{resource}"'
        search = getattr(other.v1, resource).search
        assert search({"query": everything, "expand": ["total_count"]}).total_count == 0
        assert getattr(shop.account.v1, resource).search({"query": everything}).data
    # A foreign id among the values is no id at all.
    assert other.v1.prices.search({"query": f'product:"{shop.ids["product"]}"'}).data == []


def test_a_page_goes_with_its_query_and_its_owner(shop: Shop) -> None:
    v1 = shop.account.v1
    first = v1.prices.search({"query": 'active:"true"', "limit": 1})
    assert first.has_more
    second = v1.prices.search({"query": 'active:"true"', "limit": 1, "page": first.next_page})
    assert second.data[0].id != first.data[0].id
    for search, query in ((v1.prices, 'active:"false"'), (v1.products, 'active:"true"'), (new_account("Globex").v1.prices, 'active:"true"')):  # fmt: skip
        with pytest.raises(stripe.InvalidRequestError, match="Not a page of this search") as refusal:
            search.search({"query": query, "page": first.next_page})
        assert refusal.value.param == "page"


def test_the_deleted_are_not_found_and_the_ended_are(shop: Shop) -> None:
    v1 = shop.account.v1
    v1.customers.delete(shop.ids["customer"])
    assert v1.customers.search({"query": 'name:"Ada"'}).data == []
    ended = v1.subscriptions.search({"query": 'metadata["order_id"]:"6735"'}).data
    assert [(row.id, row.status) for row in ended] == [(shop.ids["subscription"], "canceled")]


def test_customers_on_a_test_clock_are_found(account: Account) -> None:
    """No search names a clock, so that whoever looks for an object by its metadata finds it all the same."""
    clock = account.v1.test_helpers.test_clocks.create({"frozen_time": 1735689600})
    customer = new_customer(account, test_clock=clock.id, metadata={"ref": "7"})
    assert [row.id for row in account.v1.customers.search({"query": 'metadata["ref"]:"7"'}).data] == [customer.id]


def test_an_email_is_looked_up_in_an_index(account: Account) -> None:
    asked = condition(
        'email:"Ada@example.com"', CustomerViewSet.searchable, resource="customers", environment=account.environment
    )
    # So many, and the planner told of them, that no other way is near, whatever it believed of the table before.
    Customer.objects.bulk_create(
        Customer(environment=account.environment, email=f"{number}@example.com", created_at=START)
        for number in range(2000)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE accounts_customer")
    assert "customer_by_email_any_case" in CUSTOMER.rows(account.environment).filter(asked).explain()
