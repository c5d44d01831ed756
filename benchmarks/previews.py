"""Previews of next invoices through the API, one caller, over the book that the billing run has billed.

Each subscription has three metered items, is in mid-period, and has a billed period behind it, which is looked at for late
usage as ever.
"""

import statistics
import time
from uuid import UUID

from benchmarks.client import Client, succeed
from benchmarks.instance import Instance
from benchmarks.report import Report
from core.ids import spell

# Of so many subscriptions, each once.
PREVIEWS = 500
_WARM = 20

_SUBSCRIPTIONS = """
SELECT id FROM subscriptions_subscription WHERE environment_id = %s AND ended_at IS NULL ORDER BY random() LIMIT %s
"""


def measure(instance: Instance, report: Report) -> None:
    """Ask for one preview after the other, and time each from before its request to its answer."""
    with instance.connect() as connection:
        rows = connection.execute(_SUBSCRIPTIONS, [instance.environment_id, _WARM + PREVIEWS]).fetchall()
    with instance.client() as client:
        took = [_preview(client, subscription) for (subscription,) in rows][_WARM:]
    hundredths = statistics.quantiles(took, n=100, method="inclusive")
    report.add("preview of an invoice: p50", "ms", [hundredths[49]])
    report.add("preview of an invoice: p99", "ms", [hundredths[98]], below=100)


def _preview(client: Client, subscription: UUID) -> float:
    """Milliseconds."""
    began = time.perf_counter()
    succeed(client.post("/v1/invoices/create_preview", {"subscription": spell("sub", subscription)}))
    return 1000 * (time.perf_counter() - began)
