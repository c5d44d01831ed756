"""Exports of many rows take no more memory than those of few: what is read goes out before more is read."""

import gc
import io
from collections.abc import Callable
from typing import TypeAlias

import psutil
import pytest
from django.db import connection

from accounts.models import Environment
from core.spreadsheets import Table, csv_chunks, write_xlsx
from invoices.exports import Selection, table_of
from invoices.models import Invoice
from invoices.tests.factories import open_invoice

pytestmark = pytest.mark.django_db

# All of the long one's rows at once would be several times as much.
MOST_GROWTH = 6 << 20

Way: TypeAlias = Callable[[Table, Callable[[], None]], None]

_COPIES = """
INSERT INTO invoices_invoice
SELECT (jsonb_populate_record(invoice, jsonb_build_object(
            'id', gen_random_uuid(), 'number', 'COPY-' || copy, 'subscription_id', NULL))).*
  FROM invoices_invoice AS invoice, generate_series(1, %s) AS copy
 WHERE invoice.id = %s
"""
_LINES = """
INSERT INTO invoices_invoiceline
SELECT (jsonb_populate_record(line, jsonb_build_object('id', gen_random_uuid(), 'invoice_id', invoice.id))).*
  FROM invoices_invoiceline AS line, invoices_invoice AS invoice
 WHERE line.invoice_id = %s AND invoice.environment_id = line.environment_id AND invoice.number LIKE 'COPY-%%'
"""


def book_of(invoices: int) -> Environment:
    """An environment with so many open invoices of 10.00 USD, each with a line."""
    invoice = open_invoice()
    tables = [Invoice._meta.db_table, "invoices_invoiceline"]
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        # Final invoices take no lines.
        for table in tables:
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        cursor.execute(_COPIES, [invoices - 1, invoice.pk])
        cursor.execute(_LINES, [invoice.pk])
        for table in tables:
            cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
            cursor.execute(f"ANALYZE {table}")
    return invoice.environment


def as_csv(table: Table, look: Callable[[], None]) -> None:
    for _ in csv_chunks(table):
        look()


def as_xlsx(table: Table, look: Callable[[], None]) -> None:
    file = io.BytesIO()
    write_xlsx(table, file)
    look()


def grown(name: str, environment: Environment, write: Way) -> int:
    """By how many bytes the process has grown at most since it began to write a table."""
    process = psutil.Process()
    gc.collect()
    # What the tests before have left need not be looked through at each look.
    gc.freeze()
    before, most = process.memory_info().rss, [0]

    def look() -> None:
        # Documents and their lines know each other, and so wait for the collector, which comes when it likes.
        gc.collect()
        most[0] = max(most[0], process.memory_info().rss - before)

    try:
        write(table_of(name, Selection(environment)), look)
    finally:
        gc.unfreeze()
    return most[0]


@pytest.mark.parametrize(
    ("name", "ways", "short", "long"),
    [("lines", [as_csv, as_xlsx], 2_100, 8_000), ("journal", [as_csv], 500, 2_000)],
)
def test_a_long_export_takes_no_more_memory_than_a_short_one(name: str, ways: list[Way], short: int, long: int) -> None:
    few, many = book_of(short), book_of(long)
    for way in ways:
        # What is loaded and kept once, and the buffers of one round, are no growth.
        grown(name, few, way)
        assert grown(name, many, way) < MOST_GROWTH
