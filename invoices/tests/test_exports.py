"""What is exported: every row of one environment and no other's, with amounts that add up."""

import csv
import io
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Customer
from accounts.tests.factories import NOW, CustomerFactory
from core.spreadsheets import csv_chunks
from credits.tests.factories import grant_credit
from invoices import services
from invoices.exports import TABLES, Selection, table_of
from invoices.models import Invoice
from invoices.tests.factories import SECOND_END, THIRD_END, draft_invoice, open_invoice, subscribe, use
from invoices.tests.test_documents import rich_invoice
from subscriptions.tests.factories import MeteredPriceFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def customer() -> Customer:
    return CustomerFactory.create(name="=cmd()")


def rows(name: str, selection: Selection) -> list[dict[str, str]]:
    return read(csv_chunks(table_of(name, selection)))


def read(chunks: Iterator[bytes]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(b"".join(chunks).decode(), newline="")))


def of(customer: Customer) -> Selection:
    return Selection(customer.environment)


def test_every_table_says_as_many_cells_as_columns(customer: Customer) -> None:
    rich_invoice(customer)
    grant_credit(customer, 100)
    metered = MeteredPriceFactory.create(environment=customer.environment, lookup_key="calls")
    subscribe(customer, metered, now=SECOND_END)
    use(metered, customer, 3, SECOND_END)
    for name in TABLES:
        table = table_of(name, Selection(customer.environment, now=THIRD_END))
        assert {len(row) for row in table.rows} == {len(table.columns)}, name


def test_invoices_and_their_lines_add_up(customer: Customer) -> None:
    invoice = rich_invoice(customer)
    found = {row["number"]: row for row in rows("invoices", of(customer))}
    mine = found[invoice.number]
    lines = [row for row in rows("lines", of(customer)) if row["invoice"] == invoice.number]

    assert len(found) == Invoice.objects.exclude(status="draft").count()
    assert (mine["total"], mine["currency"], mine["customer_name"]) == ("58.74", "USD", "'=cmd()")
    assert mine["finalized_at"].endswith("Z")
    assert sum(Decimal(line["amount"]) for line in lines) == Decimal(mine["subtotal"])
    total = sum(Decimal(line["amount"]) - Decimal(line["discount"]) for line in lines)
    total += Decimal(mine["exclusive_tax"]) - Decimal(mine["credit_applied"])
    assert total == Decimal(mine["total"])


def test_drafts_and_others_rows_are_in_no_table(customer: Customer) -> None:
    theirs = open_invoice()
    draft_invoice(customer)
    mine = open_invoice(customer)

    assert [row["number"] for row in rows("invoices", of(customer))] == [mine.number]
    assert {row["invoice"] for row in rows("lines", of(customer))} == {mine.number}
    assert [row["number"] for row in rows("invoices", Selection(theirs.environment))] == [theirs.number]


def test_a_span_is_half_open_and_a_status_narrows_it(customer: Customer) -> None:
    first = open_invoice(customer)
    second = open_invoice(customer)
    services.void_invoice(invoice=second, now=NOW)
    later = timedelta(microseconds=1)
    environment = customer.environment

    assert len(rows("invoices", Selection(environment, since=NOW, until=NOW + later))) == 2
    assert rows("invoices", Selection(environment, since=NOW + later)) == []
    assert rows("invoices", Selection(environment, until=NOW)) == []
    assert [row["number"] for row in rows("invoices", Selection(environment, status="open"))] == [first.number]
    assert rows("lines", Selection(environment, status="paid")) == []


def test_the_ledger_of_credit_is_told_entry_by_entry(customer: Customer) -> None:
    invoice = rich_invoice(customer)
    entries = rows("credit_ledger", of(customer))

    assert (entries[0]["kind"], entries[0]["amount"], entries[0]["balance"]) == ("granted", "4.00", "4.00")
    applied = [row for row in entries if row["kind"] == "applied"]
    assert sum(Decimal(row["amount"]) for row in applied) == -4
    assert {row["invoice"] for row in applied} == {invoice.number}


def test_taxes_are_summed_and_credit_notes_give_theirs_back(customer: Customer) -> None:
    invoice = rich_invoice(customer)
    before = {(row["document"], row["tax"]): row for row in rows("taxes", of(customer))}
    services.issue_credit_note(invoice=invoice, total=1000, now=NOW + timedelta(days=60))
    after = rows("taxes", of(customer))

    assert Decimal(before["invoices", "VAT"]["tax_amount"]) >= Decimal("9.18")
    given = [row for row in after if row["document"] == "credit notes"]
    assert given
    assert all(Decimal(row["tax_amount"]) < 0 for row in given)


def test_rows_come_by_a_cursor_on_the_server(customer: Customer) -> None:
    open_invoice(customer)
    with CaptureQueriesContext(connection) as few:
        rows("lines", of(customer))
    for _ in range(3):
        open_invoice(customer)
    with CaptureQueriesContext(connection) as more:
        rows("lines", of(customer))

    assert len(few) == len(more)


def test_the_command_writes_files(customer: Customer, tmp_path: Path) -> None:
    open_invoice(customer)
    company = customer.environment.company.name
    for form, begins in (("csv", b"number,id"), ("xlsx", b"PK")):
        file = tmp_path / f"invoices.{form}"
        call_command("export_billing", "invoices", company, "--mode", "test", "--format", form, "--output", str(file))
        assert file.read_bytes().startswith(begins)
    file = tmp_path / "none.csv"
    call_command(
        "export_billing", "invoices", company, "--mode", "test", "--since", "2030-01-01", "--output", str(file)
    )
    assert len(file.read_text().splitlines()) == 1
