"""What customers have in the company's own currencies, and what they owe."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Count, Exists, OuterRef, Sum
from django.db.models.functions import TruncDay

from accounts.models import Customer
from core.columns import Columns
from credits.models import (
    BurnMark,
    CreditGrant,
    CreditGrantQuerySet,
    CreditHold,
    CreditReservation,
    EventCharge,
    GrantedPrice,
    LedgerEntry,
)
from meters.models import Currency, Meter
from subscriptions.models import Price
from usage.models import MeterEvent
from usage.totals import COUNTS

# What usage takes, and what comes back of it.
CONSUMPTION = (LedgerEntry.Kind.BURNED, LedgerEntry.Kind.COMMITTED, LedgerEntry.Kind.GIVEN_BACK)

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


# Most grants have nothing reserved, and are not asked further. A reservation whose time is over holds nothing.
_UNIT = Columns(Currency)
_STANDINGS = f"""
    SELECT given.currency, sum(given.balance), sum(given.held),
           coalesce(sum(given.balance - given.held) FILTER (
               WHERE given.effective_at <= %(at)s AND (given.expires_at IS NULL OR given.expires_at > %(at)s)), 0),
           {_UNIT.of("unit")}
      FROM (SELECT *, CASE WHEN reserved = 0 THEN 0 ELSE (
                          SELECT coalesce(sum(hold.amount), 0)
                            FROM {CreditHold._meta.db_table} AS hold
                            JOIN {CreditReservation._meta.db_table} AS kept ON kept.id = hold.reservation_id
                           WHERE hold.grant_id = one.id AND hold.amount > 0 AND kept.expires_at > %(at)s) END AS held
              FROM {CreditGrant._meta.db_table} AS one
             WHERE environment_id = %(environment)s AND customer_id = %(customer)s AND {{chosen}}) AS given
      LEFT JOIN {Currency._meta.db_table} AS unit ON unit.id = given.own_currency_id
     GROUP BY given.currency, unit.id
     ORDER BY unit.created_at, given.currency
"""  # noqa: S608, SLF001 (names of ours)
_CHOSEN = {
    "grant": "one.id = %(grant)s",
    "metered": "one.scope = 'metered'",
    "prices": f"""
        (one.scope = 'metered' OR EXISTS (SELECT FROM {GrantedPrice._meta.db_table} AS named
                                           WHERE named.grant_id = one.id AND named.price_id = ANY(%(prices)s)))
    """,  # noqa: SLF001 (a name of ours)
}


@dataclass(frozen=True, slots=True)
class Standing:
    """A customer's credit of one currency at an instant.

    :ivar currency: of money; empty for one of the company's own
    :ivar left: all that was not used up, written off or void
    :ivar held: what of it is reserved
    :ivar available: what can be used for anything: usable at the instant, and not reserved
    """

    currency: str
    own_currency: Currency | None
    left: int
    held: int
    available: int


def standings(
    customer: Customer, at: datetime, *, grant: CreditGrant | None = None, prices: Collection[Price] | None = None
) -> list[Standing]:
    """A customer's credit in each currency that they were ever given any in. One indexed question.

    It counts what pays for all metered prices.

    :param at: the customer's time
    :param grant: count this one only, whatever it pays for
    :param prices: count also what pays for at least one of these
    """
    chosen = "grant" if grant else "metered" if prices is None else "prices"
    values: dict[str, Any] = {
        "at": at,
        "environment": customer.environment_id,
        "customer": customer.pk,
        "grant": grant.pk if grant else None,
        "prices": [price.pk for price in prices or ()],
    }
    with connection.cursor() as cursor:
        cursor.execute(_STANDINGS.format(chosen=_CHOSEN[chosen]), values)
        return [
            Standing(currency, None if currency else _UNIT.read(unit), int(left), int(held), int(available))
            for currency, left, held, available, *unit in cursor.fetchall()
        ]


@dataclass(frozen=True, slots=True)
class Balance:
    """Credit of one currency that can be burned at an instant.

    :ivar left: without what is reserved
    """

    amount: int
    left: int
    grant_count: int


@dataclass(frozen=True, slots=True)
class Given:
    """What grants gave.

    :ivar left: all that was not used up, written off or void
    :ivar consumed: by usage
    """

    count: int = 0
    amount: int = 0
    left: int = 0
    consumed: int = 0

    def __add__(self, other: "Given") -> "Given":
        return Given(
            self.count + other.count, self.amount + other.amount, self.left + other.left, self.consumed + other.consumed
        )


def given_by_day(grants: CreditGrantQuerySet, zone: tzinfo) -> dict[date, Given]:
    """What grants of one environment gave and what became of it, by the days of a zone on which they were made.

    :param grants: of one currency
    """
    rows = grants.order_by().annotate(day=TruncDay("created_at", tzinfo=zone)).values_list("day")
    entries = LedgerEntry.objects.filter(grant__in=grants.values("pk"), kind__in=CONSUMPTION).order_by()
    taken = entries.annotate(day=TruncDay("grant__created_at", tzinfo=zone)).values_list("day")
    consumed = {day: -int(amount) for day, amount in taken.annotate(Sum("amount"))}
    return {
        day.date(): Given(count, int(amount), int(left), consumed.get(day, 0))
        for day, count, amount, left in rows.annotate(Count("pk"), Sum("amount"), Sum("balance"))
    }


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
