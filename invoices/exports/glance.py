"""Numbers that take long to work out, kept for pages that must come at once.

It writes, and is here and not among the services since what it keeps is what these tables add up to.
"""

from collections import Counter
from datetime import datetime

from django.db import transaction

from accounts.models import Environment
from core.money import exponent
from invoices.exports.tables import Selection, add_up
from invoices.models import UnbilledTotal


def keep_unbilled_totals(*, now: datetime) -> None:
    """Work out the unbilled usage of every environment anew. Two at once do the same work twice, and no harm."""
    for environment in Environment.objects.order_by("pk"):
        minor_units: Counter[str] = Counter()
        for (currency, *_state), total in add_up("unbilled", Selection(environment, now=now)).items():
            minor_units[currency.lower()] += int(total.amount.scaleb(exponent(currency.lower())))
        rows = [
            UnbilledTotal(environment=environment, currency=currency, amount=amount, computed_at=now)
            for currency, amount in sorted(minor_units.items())
        ]
        with transaction.atomic():
            UnbilledTotal.objects.bulk_create(
                rows,
                update_conflicts=True,
                unique_fields=["environment", "currency"],
                update_fields=["amount", "computed_at"],
            )
            UnbilledTotal.objects.filter(environment=environment, computed_at__lt=now).delete()
