"""How long the console's pages take in the process that answers them, and what they ask the database."""

import statistics
import time
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlencode

from django.contrib import admin
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import Company, Customer, Membership, User
from billing_project.demo.load import COMPANY
from core.ids import spell
from invoices.models import Invoice
from invoices.reviewing import TABS
from usage.models import EventRejection, MeterEvent
from webhooks.kinds import Kind
from webhooks.models import Delivery, WebhookEndpoint

_REPEATS = 3


def time_start_page() -> dict[str, object]:
    """The page that the console opens with."""
    return _time([reverse("admin:index")])


def time_pages() -> dict[str, object]:
    """All of :func:`addresses`."""
    return _time(list(addresses()))


def _time(paths: Sequence[str]) -> dict[str, object]:
    """Each as a superuser sees it, and as an administrator of the demo's company."""
    superuser, _made = User.objects.get_or_create(
        username="bench-superuser", defaults={"is_superuser": True, "is_staff": True}
    )
    member, made = User.objects.get_or_create(username="bench-member", defaults={"is_staff": True})
    if made:
        company = Company.objects.get(name=COMPANY)
        Membership.objects.create(user=member, company=company, role=Membership.Role.ADMINISTRATOR)
    timed = (_timed(user, path) for user in (superuser, member) for path in paths)
    return {"pages": [page for page in timed if page is not None]}


def _timed(user: User, path: str) -> dict[str, object] | None:
    """What one page takes; None where it is not for this person."""
    client = Client(headers={"host": "127.0.0.1"})
    client.force_login(user)
    seconds = []
    with CaptureQueriesContext(connection) as queries:
        answer = client.get(path, follow=True)
        # Django forgets them when the next request comes.
        asked = list(queries)
    if answer.status_code == HTTPStatus.FORBIDDEN:
        return None
    if answer.status_code != HTTPStatus.OK:
        raise RuntimeError(f"{path}: {answer.status_code}")
    used = _processor_seconds()
    for _ in range(_REPEATS):
        began = time.perf_counter()
        client.get(path, follow=True)
        seconds.append(time.perf_counter() - began)
    used = _processor_seconds() - used
    slowest = max(asked, key=lambda query: float(query["time"]))
    return {
        "path": path,
        "user": user.username,
        "milliseconds": 1000 * statistics.median(seconds),
        # What it would take at most with the machine to itself.
        "processor_ms": 1000 * used / _REPEATS,
        "queries": len(asked),
        "slowest_query_ms": 1000 * float(slowest["time"]),
        "slowest_query": slowest["sql"],
    }


def _processor_seconds() -> float:
    """Of this process and of its database session, which is one for all that it asks."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    # In nanoseconds, where other counts are in hundredths of a second.
    session = int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])
    return time.process_time() + session / 1e9


def addresses() -> Iterator[str]:
    """The start page, every list, its last page, and searches and filters that people use."""
    yield reverse("admin:index")
    for model in admin.site._registry:  # noqa: SLF001 (Django has no public way to it)
        yield _list(model._meta.label_lower)  # noqa: SLF001
    for label, query in _questions():
        yield _list(label, **query)
    yield reverse("admin:accounts_customer_overview", args=[_customer().pk])
    completion = {"app_label": "credits", "model_name": "creditgrant", "field_name": "customer"}
    for term in ("", "Customer 4242", "c4242@example.com"):
        yield f"{reverse('admin:autocomplete')}?{urlencode(completion | {'term': term})}"


def _list(label: str, **query: str) -> str:
    path = reverse(f"admin:{label.replace('.', '_')}_changelist")
    return f"{path}?{urlencode(query)}" if query else path


def _customer() -> Customer:
    return Customer.objects.get(name="Customer 4242")


def _questions() -> Iterator[tuple[str, dict[str, str]]]:
    """Lists, and what they are asked."""
    customer = _customer()
    invoice = Invoice.objects.filter(customer=customer)[0]
    here = {"environment__id__exact": str(customer.environment_id)}
    for label in ("invoices.invoice", "webhooks.delivery", "webhooks.event", "audit.entry", "accounts.apirequest"):
        yield label, {"p": "200"}
        yield label, here
    yield from _of_money(customer, invoice)
    yield from _of_webhooks(invoice, here)
    yield from _of_oversight(customer, invoice)
    yield from _of_usage(here)


def _of_money(customer: Customer, invoice: Invoice) -> Iterator[tuple[str, dict[str, str]]]:
    for tab in TABS:
        yield "invoices.invoice", {"tab": tab}
    for label in ("invoices.invoice", "invoices.payment", "invoices.invoiceitem", "credits.creditgrant"):
        for term in ("Customer 4242", "Customer", "Nobody of that name"):
            yield label, {"q": term}
    yield "invoices.invoice", {"q": invoice.number}
    yield "invoices.invoice", {"q": spell("cus", customer.pk)}
    yield "invoices.invoice", {"customer__id__exact": str(customer.pk)}
    yield "invoices.payment", {"q": "SEPA 4242"}
    yield "invoices.payment", {"currency__exact": "usd", "environment__mode__exact": "test"}
    yield "invoices.invoiceline", {"q": spell("in", invoice.pk)}
    yield "invoices.invoicemail", {"state__exact": "failed"}
    yield "invoices.invoicemail", {"q": "c4242@example.com"}
    yield "invoices.invoiceverification", {"is_equal__exact": "0", "resolved_at__isempty": "1"}
    yield "credits.ledgerentry", {"q": spell("cus", customer.pk)}
    yield "credits.ledgerentry", {"q": spell("in", invoice.pk)}
    yield "credits.ledgerentry", {"kind__exact": "granted"}
    yield "credits.eventcharge", {"q": spell("cus", customer.pk)}
    yield "subscriptions.subscription", {"q": "Customer 4242"}
    yield "subscriptions.subscription", {"q": spell("cus", customer.pk)}
    for term in ("Customer 4242", "c4242@example.com", "Customer", spell("cus", customer.pk)):
        yield "accounts.customer", {"q": term}


def _of_webhooks(invoice: Invoice, here: dict[str, str]) -> Iterator[tuple[str, dict[str, str]]]:
    for state in Delivery.State.values:
        yield "webhooks.delivery", {"state__exact": state}
        yield "webhooks.delivery", {"state__exact": state, **here}
    for endpoint in WebhookEndpoint.objects.filter(environment=invoice.environment_id).order_by("pk")[:4]:
        filtered = {"endpoint__id__exact": str(endpoint.pk)}
        yield "webhooks.delivery", filtered
        yield "webhooks.delivery", {**filtered, "state__exact": "failed"}
        yield "webhooks.delivery", {"q": spell("we", endpoint.pk)}
    yield "webhooks.event", {"q": spell("in", invoice.pk)}
    for kind in (Kind.INVOICE_PAID, Kind.METER_CREATED):
        yield "webhooks.event", {"kind": kind}


def _of_oversight(customer: Customer, invoice: Invoice) -> Iterator[tuple[str, dict[str, str]]]:
    for term in ("person42@example.com", "nobody@example.com", spell("in", invoice.pk), "req_4242"):
        yield "audit.entry", {"q": term}
    yield "audit.entry", {"operation__exact": "delete"}
    yield "audit.entry", {"actor_kind__exact": "key"}
    yield "audit.entry", {"relation": "invoices_invoice"}
    for term in ("/v1/customers/4242", "/v1/nothing", "resource_missing", spell("cus", customer.pk)):
        yield "accounts.apirequest", {"q": term}
    for outcome in ("done", "refused", "failed"):
        yield "accounts.apirequest", {"outcome": outcome}
    yield "accounts.apirequest", {"method": "GET"}
    yield "accounts.idempotencyrecord", {"q": "key-4242"}


def _of_usage(here: dict[str, str]) -> Iterator[tuple[str, dict[str, str]]]:
    event = MeterEvent.objects.order_by("-id")[0]
    for label in ("usage.meterevent", "usage.usagesummary"):
        yield label, {"environment__id__exact": str(event.environment_id), "p": "200"}
        yield label, {"q": spell("cus", event.customer_id)}
        yield label, {"q": spell("mtr", event.meter_id)}
    yield "usage.meterevent", {"q": event.identifier}
    yield "usage.eventrejection", {"q": "refused-4242"}
    yield "usage.eventrejection", {"code__exact": EventRejection.Code.METER_CLOSED, **here}
