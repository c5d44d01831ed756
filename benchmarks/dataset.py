"""History for the reads: events written straight into the event tables, rolled up by the stack's own roll-up.

They come in the order of their time, as in real life, with claims under random identifiers, so that tables and indexes
are as large and as scattered as if the events had come through the door.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from psycopg import sql
from tqdm import tqdm

from benchmarks.instance import CUSTOMERS, HISTORY, Instance
from core.ids import unspell
from core.periods import Period

DAYS = 30
CHUNK = 100_000

_CUSTOMERS = """
CREATE SCHEMA IF NOT EXISTS bench;
CREATE TABLE IF NOT EXISTS bench.customer (number integer PRIMARY KEY, id uuid NOT NULL, spelled text NOT NULL)
"""

_EVENTS = """
WITH drawn AS MATERIALIZED (
    SELECT %(start)s + number * %(step)s AS at, %(first_customer)s + floor(random() * %(customers)s)::int AS customer,
           1 + floor(random() * 1000)::int AS amount, uuidv7() AS id, gen_random_uuid()::text AS identifier
      FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS number
),
claimed AS (
    INSERT INTO usage_eventclaim (environment_id, namespace, identifier, event_id, event_timestamp, claimed_at)
    SELECT %(environment)s, 1, identifier, id, at, at FROM drawn
)
INSERT INTO usage_meterevent (environment_id, id, "timestamp", meter_id, customer_id, received_at, xid, value, identifier,
                              source, dimensions, payload)
SELECT %(environment)s, drawn.id, at, %(meter)s, customer.id, at, pg_current_xact_id()::text::bigint, amount, identifier,
       'api', '{}', jsonb_build_object('stripe_customer_id', spelled, 'value', amount::text)
  FROM drawn JOIN bench.customer ON customer.number = drawn.customer
"""

# What autovacuum would do a little later; a benchmark must not depend on when.
_TABLES = ("usage_meterevent", "usage_eventclaim", "usage_usagesummary", "usage_dailysummary")


def month() -> Period:
    """The last 30 whole UTC days."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return Period(today - timedelta(days=DAYS), today)


def prepare(instance: Instance) -> None:
    """Let statements draw customers by number, and let the month have its tables."""
    instance.run_inside("make_partitions")
    with instance.connect() as connection:
        connection.execute(_CUSTOMERS)
    number_customers(instance, instance.customers, first=0)


def load_history(instance: Instance, *, events: int) -> None:
    """Spread events evenly over :func:`month`, over all customers at random, and wait until they are rolled up."""
    span = month()
    load_events(instance, meter=HISTORY, start=span.start, step=(span.end - span.start) / events, events=events)
    settle_tables(instance)


def settle_tables(instance: Instance) -> None:
    """Wait until all is rolled up, and do what autovacuum would do a little later."""
    instance.wait_until_rolled_up()
    analyze(instance, *_TABLES)


def analyze(instance: Instance, *tables: str) -> None:
    """Do for tables that were filled at once what autovacuum would do a little later."""
    with instance.connect() as connection:
        for table in tables:
            connection.execute(sql.SQL("VACUUM (ANALYZE) {}").format(sql.Identifier(table)))


def number_customers(instance: Instance, customers: Iterable[str], *, first: int) -> None:
    """Let events be drawn for customers by number, from ``first`` on.

    :param customers: as the API spells them
    """
    rows = [(number, unspell("cus", customer), customer) for number, customer in enumerate(customers, first)]
    with instance.connect() as connection, connection.cursor() as cursor:
        cursor.executemany("INSERT INTO bench.customer VALUES (%s, %s, %s) ON CONFLICT DO NOTHING", rows)


def load_events(
    instance: Instance,
    *,
    meter: str,
    start: datetime,
    step: timedelta,
    events: int,
    customers: range = range(CUSTOMERS),
    quiet: bool = False,
) -> None:
    """Write an event at each ``start + number * step``, a transaction for each 100,000.

    :param customers: the numbers that customers are drawn from
    """
    parameters = {
        "environment": instance.environment_id,
        "meter": instance.meter_id(meter),
        "first_customer": customers.start,
        "customers": len(customers),
        "start": start,
        "step": step,
    }
    with instance.connect() as connection, tqdm(total=events, unit=" events", disable=quiet or None) as bar:
        for first in range(0, events, CHUNK):
            end = min(first + CHUNK, events)
            connection.execute(_EVENTS, parameters | {"first": first, "last": end - 1})
            bar.update(end - first)


def sizes(instance: Instance) -> dict[str, dict[str, int]]:
    """Rows, bytes of table and bytes of indexes of what grows with events."""
    found = {}
    with instance.connect() as connection:
        for table in _TABLES:
            row = connection.execute(
                """
                SELECT sum(greatest(reltuples, 0))::bigint, sum(pg_table_size(oid))::bigint,
                       sum(pg_indexes_size(oid))::bigint
                  FROM pg_class
                 WHERE relkind = 'r' AND (oid = %(table)s::regclass
                    OR oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = %(table)s::regclass))
                """,
                {"table": table},
            ).fetchone()
            if row is not None:
                found[table] = {"rows": int(row[0]), "table_bytes": int(row[1]), "index_bytes": int(row[2])}
    return found
