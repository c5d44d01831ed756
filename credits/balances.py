"""What customers have in the company's own currencies, and what they owe."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import connection
from django.db.models import Count, Sum

from accounts.models import Customer
from credits.models import BurnMark, CreditGrant, EventCharge
from usage.totals import COUNTS

# Events that are so young that they have no charges yet. Their transactions may have ended or not.
_UNCHARGED = f"""
    SELECT currency.id, sum(greatest(round(event.value * power(10::numeric, currency.decimals)), 0))
      FROM usage_meterevent AS event
      JOIN meters_meter AS meter ON meter.id = event.meter_id
      JOIN meters_currency AS currency ON currency.id = meter.currency_id
     WHERE event.environment_id = %s AND event.customer_id = %s
       AND event.xid >= coalesce((SELECT xid FROM credits_burnmark WHERE id = {BurnMark.SINGLETON}), 0) AND {COUNTS}
     GROUP BY 1
"""  # noqa: S608 (conditions of ours)


@dataclass(frozen=True, slots=True)
class Balance:
    """Credit of one currency that can be burned at an instant.

    :ivar left: without what is reserved
    """

    amount: int
    left: int
    grant_count: int


def balances(customer: Customer, at: datetime) -> dict[UUID, Balance]:
    """What the customer's usable grants gave and what of it can be burned, by currency. One indexed question."""
    grants = CreditGrant.objects.filter(environment=customer.environment_id, customer=customer).burnable().usable(at)
    rows = grants.with_held(at).order_by().values_list("own_currency")
    sums = rows.annotate(Sum("amount"), Sum("balance"), Sum("held"), Count("pk"))
    return {
        currency: Balance(int(amount), int(left) - int(held), count) for currency, amount, left, held, count in sums
    }


def pending(customer: Customer) -> dict[UUID, int]:
    """What events of the customer are still to be paid for, by currency; those of this moment among them."""
    charges = EventCharge.objects.filter(environment=customer.environment_id, customer=customer, pending__gt=0)
    found = {currency: int(amount) for currency, amount in charges.values_list("currency").annotate(Sum("pending"))}
    with connection.cursor() as cursor:
        cursor.execute(_UNCHARGED, [customer.environment_id, customer.pk])
        for currency, amount in cursor.fetchall():
            found[currency] = found.get(currency, 0) + int(amount)
    return {currency: amount for currency, amount in found.items() if amount}
