"""/v1/billing/credit_grants, credit_balance_summary and credit_balance_transactions, through the SDK."""

import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest
import stripe
from django.test import Client

from billing_project.api.stripe.kinds import CREDIT_GRANT
from billing_project.api.stripe.tests.builders import (
    new_customer,
    new_grant,
    new_meter,
    new_price,
    new_subscription,
    report,
)
from billing_project.api.stripe.tests.sdk import Account, is_a
from billing_project.api.stripe.tests.test_meters import refused
from credits.models import CreditGrant, LedgerEntry
from credits.services import expire_due_grants
from invoices.services import close_due_periods
from webhooks.models import Event

DAY = 86400
ALL = {"type": "applicability_scope", "applicability_scope": {"price_type": "metered"}}


@pytest.fixture
def customer(account: Account) -> Any:
    return new_customer(account)


def drafted(account: Account, customer: str, value: int = 1000, **price: Any) -> Any:
    """The draft of a month with so many units at a cent each."""
    meter = new_meter(account)
    metered = new_price(account, meter=meter.id, unit_amount=1, **price)
    now = int(time.time())
    subscription = new_subscription(
        account, customer, metered.id, backdate_start_date=now - DAY, billing_cycle_anchor=now + DAY
    )
    report(account, "calls", customer, str(value))
    close_due_periods(now=datetime.fromtimestamp(now + DAY, UTC))
    return account.v1.invoices.list({"subscription": subscription.id, "status": "draft"}).data[0]


def plain(objects: list[Any]) -> list[dict[str, Any]]:
    """The SDK has classes of their own for what looks the same."""
    return [one.to_dict() for one in objects]


def summary(account: Account, customer: str, filters: dict[str, Any] = ALL) -> dict[str, tuple[int, int]]:
    """Available and on the ledger, by currency."""
    told = account.v1.billing.credit_balance_summary.retrieve({"customer": customer, "filter": filters})
    assert is_a(told, stripe.billing.CreditBalanceSummary)
    assert (told.customer, told.livemode) == (customer, False)
    return {
        balance.ledger_balance.monetary.currency: (
            balance.available_balance.monetary.value,
            balance.ledger_balance.monetary.value,
        )
        for balance in told.balances
    }


def test_a_grant_has_all_its_fields_and_the_usual_defaults(account: Account, customer: Any) -> None:
    grant = new_grant(account, customer.id, 1000)

    assert is_a(grant, stripe.billing.CreditGrant)
    assert grant.id.startswith("credgr_")
    assert grant.to_dict() == {
        "id": grant.id,
        "object": "billing.credit_grant",
        "amount": {"monetary": {"currency": "usd", "value": 1000}, "type": "monetary"},
        "applicability_config": {"scope": {"price_type": "metered"}},
        "category": "paid",
        "created": grant.created,
        "customer": customer.id,
        "customer_account": None,
        "effective_at": grant.created,
        "expires_at": None,
        "livemode": False,
        "metadata": {},
        "name": None,
        "priority": 50,
        "test_clock": None,
        "updated": grant.created,
        "voided_at": None,
    }
    assert account.v1.billing.credit_grants.retrieve(grant.id) == grant


def test_a_grant_is_made_as_it_was_asked_for(account: Account, customer: Any) -> None:
    meter = new_meter(account)
    prices = [new_price(account, meter=meter.id) for _ in range(2)]
    soon = int(time.time()) + DAY
    grant = account.v1.billing.credit_grants.create(
        {
            "customer": customer.id,
            "amount": {"type": "monetary", "monetary": {"currency": "EUR", "value": 5}},
            "applicability_config": {"scope": {"prices": [{"id": price.id} for price in prices]}},
            "category": "promotional",
            "name": "Welcome",
            "priority": 0,
            "effective_at": soon,
            "expires_at": soon + DAY,
            "metadata": {"campaign": "x"},
            "expand": ["customer"],
        }
    )

    assert grant.applicability_config.scope.to_dict() == {"prices": [{"id": price.id} for price in prices]}
    assert (grant.category, grant.name, grant.priority) == ("promotional", "Welcome", 0)
    assert (grant.effective_at, grant.expires_at) == (soon, soon + DAY)
    assert grant.amount.monetary.currency == "eur"
    assert grant.customer.name == "Ada"
    assert grant.metadata.to_dict() == {"campaign": "x"}


def test_a_grant_is_updated_expired_and_voided(account: Account, customer: Any) -> None:
    grants = account.v1.billing.credit_grants
    grant = new_grant(account, customer.id, metadata={"a": "1"})
    soon = int(time.time()) + DAY

    assert grants.update(grant.id, {"expires_at": soon, "metadata": {"a": "", "b": "2"}}).expires_at == soon
    assert grants.retrieve(grant.id).metadata.to_dict() == {"b": "2"}
    assert grants.update(grant.id, {"expires_at": ""}).expires_at is None
    assert grants.expire(grant.id).expires_at == pytest.approx(time.time(), abs=30)

    voided = grants.void_grant(new_grant(account, customer.id).id)
    assert voided.voided_at == pytest.approx(time.time(), abs=30)
    again = refused(lambda: grants.void_grant(voided.id))
    assert (again.http_status, again.param) == (400, "id")
    assert "voided" in str(again)
    assert "expired" in str(refused(lambda: grants.expire(grant.id)))
    assert refused(lambda: grants.update(grant.id, {"expires_at": soon})).param == "id"


def test_grants_are_listed_by_customer(account: Account, customer: Any) -> None:
    other = new_customer(account)
    mine = [new_grant(account, customer.id, value).id for value in (1, 2, 3)]
    theirs = new_grant(account, other.id).id
    listed = account.v1.billing.credit_grants.list

    assert [grant.id for grant in listed().data] == [theirs, *mine[::-1]]
    assert [grant.id for grant in listed({"customer": customer.id, "limit": 2}).auto_paging_iter()] == mine[::-1]


@pytest.mark.parametrize(
    ("params", "param", "code"),
    [
        ({"customer": None}, "customer", "parameter_missing"),
        ({"customer": "cus_nope"}, "customer", "resource_missing"),
        ({"amount": None}, "amount", "parameter_missing"),
        ({"amount": {"type": "tokens"}}, "amount[type]", None),
        ({"amount": {"type": "monetary"}}, "amount[monetary]", "parameter_missing"),
        (
            {"amount": {"type": "monetary", "monetary": {"currency": "usd", "value": 0}}},
            "amount[monetary][value]",
            "parameter_invalid_integer",
        ),
        (
            {"amount": {"type": "monetary", "monetary": {"currency": "usd", "value": "1.5"}}},
            "amount[monetary][value]",
            "parameter_invalid_integer",
        ),
        (
            {"amount": {"type": "monetary", "monetary": {"currency": "xyz", "value": 1}}},
            "amount[monetary][currency]",
            None,
        ),
        ({"applicability_config": None}, "applicability_config", "parameter_missing"),
        (
            {"applicability_config": {"scope": {"price_type": "licensed"}}},
            "applicability_config[scope][price_type]",
            None,
        ),
        (
            {"applicability_config": {"scope": {"prices": [{"id": "price_nope"}]}}},
            "applicability_config[scope][prices][0][id]",
            "resource_missing",
        ),
        (
            {"applicability_config": {"scope": {"price_type": "metered", "prices": [{"id": "price_1"}]}}},
            "applicability_config[scope][prices][0][id]",
            "resource_missing",
        ),
        ({"category": "gift"}, "category", None),
        ({"priority": 101}, "priority", "parameter_invalid_integer"),
        ({"priority": -1}, "priority", "parameter_invalid_integer"),
        ({"name": "x" * 101}, "name", None),
        ({"expires_at": 1}, "expires_at", None),
        ({"expires_at": "soon"}, "expires_at", "parameter_invalid_integer"),
        ({"color": "red"}, "color", "parameter_unknown"),
    ],
)
def test_what_makes_no_grant(
    account: Account, customer: Any, params: dict[str, Any], param: str, code: str | None
) -> None:
    good = {
        "customer": customer.id,
        "amount": {"type": "monetary", "monetary": {"currency": "usd", "value": 1}},
        "applicability_config": {"scope": {"price_type": "metered"}},
    }
    asked = {name: value for name, value in {**good, **params}.items() if value is not None}

    refusal = refused(lambda: account.v1.billing.credit_grants.create(asked))

    assert (refusal.http_status, refusal.param, refusal.code) == (400, param, code)
    assert not CreditGrant.objects.exists()


def test_a_licensed_price_is_refused_by_its_place(account: Account, customer: Any) -> None:
    scope = {"prices": [{"id": new_price(account, meter=new_meter(account).id).id}, {"id": new_price(account).id}]}
    refusal = refused(lambda: new_grant(account, customer.id, applicability_config={"scope": scope}))
    assert refusal.param == "applicability_config[scope][prices][1][id]"
    both = {**scope, "price_type": "metered", "prices": scope["prices"][:1]}
    refusal = refused(lambda: new_grant(account, customer.id, applicability_config={"scope": both}))
    assert refusal.code == "parameters_exclusive"


def test_the_summary_tells_what_is_available_from_what_is_on_the_ledger(account: Account, customer: Any) -> None:
    assert summary(account, customer.id) == {}
    now = int(time.time())
    new_grant(account, customer.id, 100)
    later = new_grant(account, customer.id, 20, effective_at=now + DAY)
    ended = new_grant(account, customer.id, 3)
    # As the sweep has not come to it yet.
    CreditGrant.objects.filter(pk=CREDIT_GRANT.find(CreditGrant.objects.all(), ended.id).pk).update(  # type: ignore[union-attr]
        expires_at=datetime.fromtimestamp(now, UTC)
    )

    assert summary(account, customer.id) == {"usd": (100, 123)}
    assert summary(account, customer.id, {"type": "credit_grant", "credit_grant": later.id}) == {"usd": (0, 20)}
    expire_due_grants(now=datetime.fromtimestamp(now, UTC))
    assert summary(account, customer.id) == {"usd": (100, 120)}


def test_the_summary_is_asked_for_a_scope(account: Account, customer: Any) -> None:
    prices = [new_price(account, meter=new_meter(account, name).id).id for name in ("a", "b")]
    new_grant(account, customer.id, 100)
    new_grant(account, customer.id, 20, applicability_config={"scope": {"prices": [{"id": prices[0]}]}})

    def of(*named: str) -> dict[str, Any]:
        return {"type": "applicability_scope", "applicability_scope": {"prices": [{"id": name} for name in named]}}

    assert summary(account, customer.id) == {"usd": (100, 100)}
    assert summary(account, customer.id, of(prices[0])) == {"usd": (120, 120)}
    assert summary(account, customer.id, of(prices[1])) == {"usd": (100, 100)}


@pytest.mark.parametrize(
    ("filters", "param"),
    [
        ({}, "filter"),
        ({"type": "everything"}, "filter[type]"),
        ({"type": "credit_grant"}, "filter[credit_grant]"),
        ({"type": "applicability_scope"}, "filter[applicability_scope]"),
    ],
)
def test_a_summary_of_nothing_in_particular(
    account: Account, customer: Any, filters: dict[str, Any], param: str
) -> None:
    asked = {"customer": customer.id, "filter": filters}
    assert refused(lambda: account.v1.billing.credit_balance_summary.retrieve(asked)).param == param


def test_another_customers_grant_is_not_in_the_summary(account: Account, customer: Any) -> None:
    theirs = {"type": "credit_grant", "credit_grant": new_grant(account, new_customer(account).id).id}
    refusal = refused(lambda: summary(account, customer.id, theirs))
    assert (refusal.param, refusal.code) == ("filter[credit_grant]", "resource_missing")


def test_an_invoice_and_its_ledger_name_each_other(account: Account, customer: Any) -> None:
    first = new_grant(account, customer.id, 300, category="promotional")
    second = new_grant(account, customer.id, 5000)
    draft = drafted(account, customer.id)
    assert (draft.total, draft.total_pretax_credit_amounts) == (1000, [])

    invoice = account.v1.invoices.finalize_invoice(draft.id)

    assert (invoice.subtotal, invoice.total, invoice.amount_due, invoice.status) == (1000, 0, 0, "paid")
    (line,) = invoice.lines.data
    assert line.amount == 1000
    assert plain(line.pretax_credit_amounts) == plain(invoice.total_pretax_credit_amounts)
    assert [paid.amount for paid in invoice.total_pretax_credit_amounts] == [300, 700]
    assert {paid.type for paid in invoice.total_pretax_credit_amounts} == {"credit_balance_transaction"}
    transactions = account.v1.billing.credit_balance_transactions
    entries = [transactions.retrieve(paid.credit_balance_transaction) for paid in invoice.total_pretax_credit_amounts]
    assert [entry.credit_grant for entry in entries] == [first.id, second.id]
    assert entries[1].to_dict() == {
        "id": entries[1].id,
        "object": "billing.credit_balance_transaction",
        "created": entries[1].created,
        "credit": None,
        "credit_grant": second.id,
        "debit": {
            "amount": {"monetary": {"currency": "usd", "value": 700}, "type": "monetary"},
            "credits_applied": {"invoice": invoice.id, "invoice_line_item": line.id},
            "type": "credits_applied",
        },
        "effective_at": entries[1].created,
        "livemode": False,
        "test_clock": None,
        "type": "debit",
    }
    assert is_a(entries[1], stripe.billing.CreditBalanceTransaction)
    assert summary(account, customer.id) == {"usd": (4300, 4300)}
    assert account.v1.invoices.list({"limit": 1}).data[0] == invoice
    assert account.v1.invoices.line_items.list(invoice.id).data == [line]


def test_what_refers_to_each_other_expands(account: Account, customer: Any) -> None:
    new_grant(account, customer.id, 300, name="Welcome")
    invoice = account.v1.invoices.finalize_invoice(drafted(account, customer.id).id)
    path = "total_pretax_credit_amounts.credit_balance_transaction"

    expanded = account.v1.invoices.retrieve(invoice.id, {"expand": [f"{path}.credit_grant"]})
    entry = expanded.total_pretax_credit_amounts[0].credit_balance_transaction
    assert entry.credit_grant.name == "Welcome"

    listed = account.v1.billing.credit_balance_transactions.list(
        {"customer": customer.id, "expand": ["data.debit.credits_applied.invoice", "data.credit_grant"]}
    ).data
    assert listed[0].debit.credits_applied.invoice.number == invoice.number
    assert listed[1].credit_grant.name == "Welcome"
    assert (
        refused(lambda: account.v1.invoices.retrieve(invoice.id, {"expand": [path.partition(".")[0]]})).param
        == "expand"
    )


def test_a_preview_tells_what_credit_would_pay(account: Account, customer: Any) -> None:
    new_grant(account, customer.id, 300)
    now = int(time.time())
    meter = new_meter(account)
    new_subscription(
        account, customer.id, new_price(account, meter=meter.id, unit_amount=1).id,
        backdate_start_date=now - DAY, billing_cycle_anchor=now + DAY,
    )  # fmt: skip
    report(account, "calls", customer.id, "1000")

    preview = account.v1.invoices.create_preview({"customer": customer.id})

    assert (preview.subtotal, preview.total, preview.amount_due) == (1000, 700, 700)
    (paid,) = preview.total_pretax_credit_amounts
    assert (paid.amount, paid.credit_balance_transaction) == (300, None)
    assert plain(preview.lines.data[0].pretax_credit_amounts) == plain(preview.total_pretax_credit_amounts)
    assert summary(account, customer.id) == {"usd": (300, 300)}


def test_a_void_invoice_gives_back_and_the_ledger_says_so(account: Account, customer: Any) -> None:
    grant = new_grant(account, customer.id, 300)
    invoice = account.v1.invoices.finalize_invoice(drafted(account, customer.id).id)

    void = account.v1.invoices.void_invoice(invoice.id)

    assert (void.status, void.total) == ("void", 700)
    assert void.total_pretax_credit_amounts == invoice.total_pretax_credit_amounts
    entries = account.v1.billing.credit_balance_transactions.list({"credit_grant": grant.id}).data
    assert [(entry.type, (entry.credit or entry.debit).type) for entry in entries] == [
        ("credit", "credits_application_invoice_voided"),
        ("debit", "credits_applied"),
        ("credit", "credits_granted"),
    ]
    assert entries[0].credit.credits_application_invoice_voided.to_dict() == {
        "invoice": invoice.id,
        "invoice_line_item": invoice.lines.data[0].id,
    }
    assert entries[0].credit.amount.monetary.value == 300
    assert entries[2].credit.credits_application_invoice_voided is None
    assert summary(account, customer.id) == {"usd": (300, 300)}


def test_entries_come_in_pages(account: Account, customer: Any) -> None:
    grants = [new_grant(account, customer.id, value) for value in (1, 2, 3)]
    account.v1.billing.credit_grants.void_grant(grants[0].id)
    entries = account.v1.billing.credit_balance_transactions

    every = list(entries.list({"customer": customer.id, "limit": 1}).auto_paging_iter())

    assert [entry.credit_grant for entry in every] == [grant.id for grant in (grants[0], *grants[::-1])]
    assert [entry.id for entry in entries.list({"credit_grant": grants[0].id}).data] == [every[0].id, every[3].id]
    assert entries.list().url == "/v1/billing/credit_balance_transactions"


def test_what_happens_to_credit_is_told(account: Account, customer: Any) -> None:
    grant = new_grant(account, customer.id, 300)
    account.v1.invoices.finalize_invoice(drafted(account, customer.id).id)
    account.v1.billing.credit_grants.expire(grant.id)

    told = [event.type for event in account.v1.events.list({"types": ["billing.credit*"]}).data]

    assert told[::-1] == [
        "billing.credit_grant.created",
        "billing.credit_balance_transaction.created",
        "billing.credit_balance_transaction.created",
        "billing.credit_grant.updated",
    ]
    updated = json.loads(Event.objects.get(type="billing.credit_grant.updated").previous)
    # Within a second after it was made, that is all that differs.
    assert updated.pop("updated", grant.created) == grant.created
    assert updated == {"expires_at": None}


@pytest.mark.parametrize(
    ("scope", "reads", "writes"),
    [("credits-read", 200, 403), ("credits-write", 403, 200), ("invoices-write", 403, 403)],
)
def test_credit_has_scopes_of_its_own(account: Account, customer: Any, scope: str, reads: int, writes: int) -> None:
    grant = new_grant(account, customer.id)
    narrow = account.with_scopes(scope)
    client = Client(headers={"Authorization": f"Bearer {narrow._requestor.api_key}"})

    for path in (
        f"credit_grants/{grant.id}",
        "credit_grants",
        "credit_balance_transactions",
        f"credit_balance_summary?customer={customer.id}&filter[type]=credit_grant&filter[credit_grant]={grant.id}",
    ):
        assert client.get(f"/v1/billing/{path}").status_code == reads
    entries = LedgerEntry.objects.count()
    path, form = f"/v1/billing/credit_grants/{grant.id}/void", "application/x-www-form-urlencoded"
    assert client.post(path, "", content_type=form).status_code == writes
    assert LedgerEntry.objects.count() == entries + (writes == 200)
