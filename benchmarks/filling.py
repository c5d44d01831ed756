"""Rows under the console's lists: as many as asked for in each table that a company's years fill.

Each is a copy of a row that the demo has, or that is made here, under an id, a time and a state of its own: in the order
of its time, and a fifth of them in the live environment. The tables' triggers sleep meanwhile, so nothing tells what is made up here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from django.db import connection, models, transaction
from django.utils import timezone

from accounts.models import ApiKey, ApiRequest, Customer, Environment, IdempotencyRecord, Mode
from audit.models import Entry
from billing_project.demo.load import COMPANY
from core.ids import new_id
from credits.models import CreditGrant, EventCharge, LedgerEntry
from invoices.models import Invoice, InvoiceItem, InvoiceLine, InvoiceMail, InvoiceVerification, Payment
from meters.models import Currency
from meters.services import create_paid_meter
from subscriptions.models import Subscription, SubscriptionItem
from usage.models import EventRejection
from webhooks.models import Delivery, Event, WebhookEndpoint

YEARS = 3
# So many kinds of rows are copied in turns.
_TEMPLATES = 16
# The third of them has next to no deliveries.
_ENDPOINTS = 10

# What is made of the number of a row: when, where and who it is.
_FUNCTIONS = """
CREATE SCHEMA IF NOT EXISTS bench;
CREATE OR REPLACE FUNCTION bench.at(n bigint) RETURNS timestamptz LANGUAGE sql STABLE AS
    $$ SELECT timestamptz '{start}' + n * interval '{step} s' $$;
CREATE OR REPLACE FUNCTION bench.environment(n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS
    $$ SELECT CASE WHEN n % 5 = 0 THEN '{live}'::uuid ELSE '{test}'::uuid END $$;
CREATE OR REPLACE FUNCTION bench.id(kind text, n bigint) RETURNS uuid LANGUAGE sql STABLE AS
    $$ SELECT (lpad(to_hex((extract(epoch FROM bench.at(n)) * 1000)::bigint), 12, '0') || '7' || substr(md5(kind || n), 1, 3)
               || '8' || substr(md5(kind || n), 4, 15))::uuid $$;
"""

_COPIES = """
WITH template AS MATERIALIZED (
    SELECT *, row_number() OVER () - 1 AS place FROM (SELECT * FROM {table} WHERE {of} LIMIT {templates}) AS found
)
INSERT INTO {table} ({columns})
SELECT {values} FROM generate_series(1, {rows}) AS n JOIN template AS r ON r.place = n % (SELECT count(*) FROM template)
"""

# The states of invoices, by number: one in a thousand waits for somebody, one in a hundred is still open.
_STATUS = """CASE WHEN n % 1000 = 1 OR n > {rows} - 500 THEN 'draft' WHEN n % 100 = 2 THEN 'open' WHEN n % 200 = 3 THEN 'void'
             WHEN n % 1000 = 4 THEN 'uncollectible' ELSE 'paid' END"""


@dataclass(frozen=True, slots=True)
class _Copies:
    """
    :ivar others: SQL of the columns that differ from the copied row, which is ``r``, by the number ``n``
    :ivar of: which rows are copied
    :ivar most: so many are made, whatever was asked for
    """

    model: type[models.Model]
    others: Mapping[str, str]
    of: str = "true"
    most: int | None = None


def _id(kind: str) -> str:
    return f"bench.id('{kind}', n)"


_ENVIRONMENT = "bench.environment(n)"
_AT = "bench.at(n)"
_ENDPOINT = f"(CASE WHEN n % {_ENDPOINTS} = 3 AND n % 10000 <> 3 THEN 4 ELSE (n - 1) % {_ENDPOINTS} + 1 END)"

_TABLES = (
    _Copies(
        Customer,
        {
            "id": _id("customer"),
            "name": "'Customer ' || n",
            "email": "'c' || n || '@example.com'",
            "test_clock_id": "NULL",
        },
    ),
    _Copies(Subscription, {"id": _id("subscription"), "customer_id": _id("customer"), "schedule_id": "NULL"}),
    _Copies(SubscriptionItem, {"id": _id("item"), "subscription_id": _id("subscription")}),
    _Copies(
        Invoice,
        {
            "id": _id("invoice"),
            "customer_id": _id("customer"),
            "subscription_id": _id("subscription"),
            "revises_id": "NULL",
            "status": _STATUS,
            "number": f"CASE WHEN {_STATUS} = 'draft' THEN '' ELSE 'LIST-' || lpad(n::text, 7, '0') END",
            "period_start": f"{_AT} - interval '30 days'",
            "period_end": _AT,
            "amount_paid": f"CASE WHEN {_STATUS} = 'paid' THEN r.amount_due ELSE 0 END",
            "finalizes_at": f"CASE WHEN {_STATUS} = 'draft' AND n % 3 > 0 THEN {_AT} + interval '1 hour' END",
            "finalized_at": f"CASE WHEN {_STATUS} <> 'draft' THEN {_AT} END",
            "paid_at": f"CASE WHEN {_STATUS} = 'paid' THEN {_AT} END",
            "voided_at": f"CASE WHEN {_STATUS} = 'void' THEN {_AT} END",
            "uncollectible_at": f"CASE WHEN {_STATUS} = 'uncollectible' THEN {_AT} END",
            "due_at": f"{_AT} + interval '14 days'",
            "escalates_at": "NULL",
            "reminds_at": "NULL",
        },
        of="status = 'paid' AND credit_applied = 0 AND pre_payment_credited = 0 AND post_payment_credited = 0",
    ),
    _Copies(
        InvoiceLine,
        {
            "id": _id("line"),
            "invoice_id": _id("invoice"),
            "subscription_item_id": _id("item"),
            "trues_up_id": "NULL",
            "invoice_item_id": "NULL",
            "position": "0",
        },
    ),
    _Copies(
        InvoiceItem,
        {
            "id": _id("charge"),
            "customer_id": _id("customer"),
            "description": "'Fee ' || n",
            "invoice_id": _id("invoice"),
        },
    ),
    _Copies(
        Payment,
        {
            "id": _id("payment"),
            "customer_id": _id("customer"),
            "invoice_id": _id("invoice"),
            "reference": "'SEPA ' || n",
            "received_at": _AT,
            "reverses_id": "NULL",
        },
        of="reverses_id IS NULL",
    ),
    _Copies(
        InvoiceMail,
        {
            "id": _id("mail"),
            "invoice_id": _id("invoice"),
            "recipient": "'c' || n || '@example.com'",
            "state": "CASE WHEN n % 2000 = 2 THEN 'failed' ELSE 'sent' END",
            "sent_at": f"CASE WHEN n % 2000 <> 2 THEN {_AT} END",
            "requested_at": _AT,
        },
    ),
    _Copies(
        InvoiceVerification,
        {
            "id": _id("verification"),
            "invoice_id": _id("invoice"),
            "is_equal": "n % 5000 <> 0",
            "verified_at": _AT,
        },
    ),
    _Copies(CreditGrant, {"id": _id("grant"), "customer_id": _id("customer"), "updated_at": _AT}),
    _Copies(
        LedgerEntry,
        {
            "id": _id("entry"),
            "customer_id": _id("customer"),
            "grant_id": _id("grant"),
            "number": "2",
            "effective_at": _AT,
            "invoice_id": _id("invoice"),
            "invoice_line_id": _id("line"),
        },
        of="kind = 'applied'",
    ),
    _Copies(EventCharge, {"id": _id("burned"), "customer_id": _id("customer"), "event_timestamp": _AT}),
    _Copies(
        WebhookEndpoint,
        {"id": _id("endpoint"), "url": "'https://hooks.example.invalid/' || n"},
        most=_ENDPOINTS,
    ),
    _Copies(Event, {"id": _id("event"), "subject_id": _id("invoice"), "request_id": "'req_' || n"}),
    _Copies(
        Delivery,
        {
            "id": _id("delivery"),
            "event_id": _id("event"),
            "endpoint_id": f"bench.id('endpoint', {_ENDPOINT})",
            "state": "CASE WHEN n % 100 = 7 THEN 'failed' WHEN n > {rows} - 300 THEN 'pending' ELSE 'succeeded' END",
            "due_at": _AT,
            "gives_up_at": f"{_AT} + interval '3 days'",
            "attempted_at": _AT,
        },
    ),
    _Copies(
        Entry,
        {
            "id": "nextval(pg_get_serial_sequence('audit_entry', 'id'))",
            "occurred_at": _AT,
            "object_id": f"{_id('invoice')}::text",
            "actor_name": "'person' || n % 500 || '@example.com'",
            "actor_id": "(n % 500)::text",
            "request_id": "'req_' || n",
        },
        of="environment_id IS NOT NULL",
    ),
    _Copies(
        ApiRequest,
        {
            "id": _id("request"),
            "at": _AT,
            "customer_id": _id("customer"),
            "path": "'/v1/customers/' || n",
            "status": "CASE WHEN n % 100 = 5 THEN 404 WHEN n % 5000 = 9 THEN 500 ELSE 200 END",
            "error_code": "CASE WHEN n % 100 = 5 THEN 'resource_missing' ELSE '' END",
        },
    ),
    _Copies(IdempotencyRecord, {"id": _id("answer"), "key": "'key-' || n", "request_id": "'req_' || n"}),
    _Copies(
        EventRejection,
        {
            "id": _id("rejection"),
            "identifier": "'refused-' || n",
            "timestamp": _AT,
            "received_at": _AT,
            "reported_at": _AT,
        },
    ),
)


def fill(rows: str) -> dict[str, object]:
    """Fill the demo's tables, a transaction for each."""
    count = int(rows)
    here = {one.mode: one for one in Environment.objects.filter(company__name=COMPANY)}
    _make_templates(here[Mode.TEST])
    step = timedelta(days=365 * YEARS) / count
    functions = _FUNCTIONS.format(
        start=(timezone.now() - count * step).isoformat(),
        step=step.total_seconds(),
        live=here[Mode.LIVE].pk,
        test=here[Mode.TEST].pk,
    )
    with connection.cursor() as cursor:
        cursor.execute(functions)
        for copies in _TABLES:
            _copy(copies, count)
        for copies in _TABLES:
            cursor.execute(f"VACUUM (ANALYZE) {copies.model._meta.db_table}")  # noqa: SLF001 (Django's own name for it)
    return {"tables": [copies.model._meta.label for copies in _TABLES], "rows": count}  # noqa: SLF001


def _copy(copies: _Copies, rows: int) -> None:
    meta = copies.model._meta  # noqa: SLF001 (Django's own name for it)
    of_every_row = {"environment_id": _ENVIRONMENT, "created_at": _AT}
    others = of_every_row | dict(copies.others)
    columns = [str(field.column) for field in meta.concrete_fields]
    unknown = set(copies.others) - set(columns)
    if unknown:
        raise RuntimeError(f"{meta.label} has no {', '.join(sorted(unknown))}")
    statement = _COPIES.format(
        table=meta.db_table,
        of=copies.of,
        templates=_TEMPLATES,
        columns=", ".join(columns),
        values=", ".join(others.get(column, f"r.{column}").replace("{rows}", str(rows)) for column in columns),
        rows=copies.most or rows,
    )
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(statement)
        if not cursor.rowcount:
            raise RuntimeError(f"there is no {meta.verbose_name} to copy")


def _make_templates(environment: Environment) -> None:
    """Rows of kinds that the demo has none of."""
    now = timezone.now()
    invoice = Invoice.objects.filter(environment=environment, status=Invoice.Status.PAID)[0]
    of_customer = {"environment": environment, "customer": invoice.customer}
    InvoiceItem.objects.create(
        **of_customer, currency="usd", description="Fee", quantity=1, exact_amount=Decimal(700), amount=700,
        period_start=now, period_end=now, created_at=now,
    )  # fmt: skip
    mail = {"environment": environment, "invoice": invoice, "recipient": "a@example.com"}
    InvoiceMail.objects.create(**mail, state="sent", sent_at=now, requested_at=now, next_attempt_at=now)
    InvoiceVerification.objects.get_or_create(
        invoice=invoice, defaults={"environment": environment, "is_equal": True, "line_count": 2, "verified_at": now}
    )
    paid = create_paid_meter(
        environment=environment, display_name="Tokens", event_name="tokens", unit="tokens", now=now
    )
    EventCharge.objects.create(
        **of_customer, id=new_id(), currency=Currency.objects.get(meters=paid), meter=paid, event_timestamp=now, amount=5,
        pending=5, created_at=now,
    )  # fmt: skip
    ApiRequest.objects.create(
        environment=environment, id=new_id(), key=ApiKey.objects.filter(environment=environment)[0], at=now, method="GET",
        path="/v1/customers", status=200, duration_ms=7,
    )  # fmt: skip
    IdempotencyRecord.objects.create(
        environment=environment, key="key", fingerprint="f", request_id="req_1", status=200, body="{}", created_at=now
    )
