"""``make billing-growth``: what an invoice costs as a book grows, from 10,000 subscriptions to 50,000.

Each book is billed on top of those before it, whose invoices stay where they are; each of its subscriptions has as many
events as those of the others. ``BILLING_GROWTH_SUBSCRIPTIONS=1000,2000`` measures other books.
"""

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from benchmarks import dataset
from benchmarks.billing import bill_book
from benchmarks.instance import CUSTOMERS, running_instance
from benchmarks.report import machine

EVENTS_EACH = 100


def main() -> None:
    books = [int(text) for text in os.environ.get("BILLING_GROWTH_SUBSCRIPTIONS", "10000,25000,50000").split(",")]
    output = Path(os.environ.get("BILLING_GROWTH_OUTPUT", "billing-growth.json"))
    with running_instance() as instance:
        described = machine(instance)
        dataset.prepare(instance)
        rows = []
        first_customer = CUSTOMERS
        for subscriptions in books:
            billed = bill_book(
                instance,
                subscriptions=subscriptions,
                events=subscriptions * EVENTS_EACH,
                first_customer=first_customer,
            )
            first_customer += subscriptions
            rows.append({"subscriptions": subscriptions, **asdict(billed)})
            sys.stdout.write(f"{json.dumps(rows[-1])}\n")
            sys.stdout.flush()
    output.write_text(json.dumps({"machine": described, "books": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
