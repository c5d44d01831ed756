"""What customers have in the company's own currencies, and what they owe."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import connection
from django.db.models import Count, Exists, OuterRef, Sum

from accounts.models import Customer
from credits.models import BurnMark, CreditGrant, EventCharge
from meters.models import Meter
from usage.models import MeterEvent
from usage.totals import COUNTS

# Events that are so young that they have no charges yet. Their transactions may have ended or not.
_UNCHARGED = f"""
    SELECT currency.id, sum(greatest(round(event.value * power(10::numeric, currency.decimals)), 0))
      FROM usage_meterevent AS event
      JOIN meters_meter AS meter ON meter.id = event.meter_id
      JOIN meters_currency AS currency ON currency.id = meter.currency_id
     WHERE event.environment_id = %s AND event.customer_id = %s
       AND (%s::jsonb IS NULL OR event.payload @> %s::jsonb)
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


def balances(customer: Customer, at: datetime, *, meters: Collection[Meter] | None = None) -> dict[UUID, Balance]:
    """What the customer's usable grants gave and what of it can be burned, by currency. One indexed question.

    :param meters: only of grants that events of one of these burn
    """
    grants = CreditGrant.objects.filter(environment=customer.environment_id, customer=customer).burnable().usable(at)
    if meters is not None:
        grants = grants.burned_by(meters)
    rows = grants.with_held(at).order_by().values_list("own_currency")
    sums = rows.annotate(Sum("amount"), Sum("balance"), Sum("held"), Count("pk"))
    return {
        currency: Balance(int(amount), int(left) - int(held), count) for currency, amount, left, held, count in sums
    }


def pending(customer: Customer, *, said: Mapping[str, str] | None = None) -> dict[UUID, int]:
    """What events of the customer are still to be paid for, by currency; those of this moment among them.

    :param said: only of events whose payloads say this
    """
    charges = EventCharge.objects.filter(environment=customer.environment_id, customer=customer, pending__gt=0)
    if said is not None:
        # The timestamp leads to the event's partition.
        events = MeterEvent.objects.filter(pk=OuterRef("pk"), timestamp=OuterRef("event_timestamp"))
        charges = charges.filter(Exists(events.filter(payload__contains=dict(said))))
    found = {currency: int(amount) for currency, amount in charges.values_list("currency").annotate(Sum("pending"))}
    with connection.cursor() as cursor:
        payload = None if said is None else json.dumps(dict(said))
        cursor.execute(_UNCHARGED, [customer.environment_id, customer.pk, payload, payload])
        for currency, amount in cursor.fetchall():
            found[currency] = found.get(currency, 0) + int(amount)
    return {currency: amount for currency, amount in found.items() if amount}
