"""Which time is billed: month ends, leap years, anchors, trials, local midnights, the first and the last second."""

from typing import Any

from tests.worked.book import Billed, Case, Item, Lived, at

ANCHOR = "Stripe, 'Set the subscription billing renewal date': "
TRIAL = "Stripe, 'Use trial periods on subscriptions': "
USAGE = "Stripe, 'Record usage for billing': "
TEN = {"unit_amount": 1000}


def every(interval: str, count: int = 1) -> dict[str, Any]:
    return {**TEN, "recurring": {"interval": interval, "interval_count": count}}


def period(start: str, end: str) -> Any:
    """Expects the subscription to stand in that period."""

    def sees(lived: Lived) -> None:
        spans = {(item.current_period_start, item.current_period_end) for item in lived.items}
        assert spans == {(at(start), at(end))}

    return sees


CASES = [
    Case(
        "a month that begins on the 31st",
        f"{ANCHOR}a month that has no such day is billed on its last one",
        "31 January -> 28 February -> 31 March, counted from the anchor and not from the 28th",
        [Item(TEN)],
        [Billed("2027-01-31", 1000, [1000]), Billed("2027-02-28", 1000, [1000])],
        start="2027-01-31",
        until="2027-03-01",
        sees=period("2027-02-28", "2027-03-31"),
    ),
    Case(
        "the same in a leap year",
        f"{ANCHOR}a month that has no such day is billed on its last one",
        "31 January -> 29 February -> 31 March",
        [Item(TEN)],
        [Billed("2028-01-31", 1000, [1000]), Billed("2028-02-29", 1000, [1000])],
        start="2028-01-31",
        until="2028-03-01",
        sees=period("2028-02-29", "2028-03-31"),
    ),
    Case(
        "a year that begins on 29 February",
        f"{ANCHOR}a month that has no such day is billed on its last one",
        "29 February 2028 -> 28 February 2029 -> 28 February 2030",
        [Item(every("year"))],
        [Billed("2028-02-29", 1000, [1000]), Billed("2029-02-28", 1000, [1000])],
        start="2028-02-29",
        until="2029-03-01",
        sees=period("2029-02-28", "2030-02-28"),
    ),
    Case(
        "quarters from 30 November",
        f"{ANCHOR}intervals of several months are counted from the anchor as well",
        "30 November -> 28 February -> 30 May",
        [Item(every("month", 3))],
        [Billed("2026-11-30", 1000, [1000]), Billed("2027-02-28", 1000, [1000])],
        start="2026-11-30",
        until="2027-03-01",
        sees=period("2027-02-28", "2027-05-30"),
    ),
    Case(
        "weeks",
        "Stripe, 'Prices' (recurring): by the day, week, month or year",
        "1 June + 7 days = 8 June",
        [Item(every("week"))],
        [Billed("2027-06-01T12:30:15", 1000, [1000]), Billed("2027-06-08T12:30:15", 1000, [1000])],
        start="2027-06-01T12:30:15",
        until="2027-06-08T14:00",
        sees=period("2027-06-08T12:30:15", "2027-06-15T12:30:15"),
    ),
    Case(
        "until the first of the month, by the second",
        f"{ANCHOR}the time up to the anchor is charged as a part of a period",
        "15 of June's 30 days: 3000 x 15 / 30 = 1500; then 3000",
        [Item({"unit_amount": 3000})],
        [Billed("2027-06-16", 1500, [1500]), Billed("2027-07-01", 3000, [3000])],
        start="2027-06-16",
        terms={"billing_cycle_anchor": at("2027-07-01")},
    ),
    Case(
        "the 31st of a February",
        f"{ANCHOR}a day of the month that a month does not have is its last one",
        "the period is 31 January to 28 February, 28 days, and 13 are left: 2800 x 13 / 28 = 1300; then 2800",
        [Item({"unit_amount": 2800})],
        [Billed("2027-02-15", 1300, [1300]), Billed("2027-02-28", 2800, [2800])],
        start="2027-02-15",
        until="2027-03-01",
        terms={"billing_cycle_anchor_config": {"day_of_month": 31}},
        sees=period("2027-02-28", "2027-03-31"),
    ),
    Case(
        "fourteen days for nothing",
        f"{TRIAL}an invoice of nothing at its start; at its end the first period begins",
        "1 June + 14 days = 15 June: 0, then 1000 from 15 June to 15 July",
        [Item(TEN)],
        [Billed("2027-06-01", 0, [0]), Billed("2027-06-15", 1000, [1000])],
        terms={"trial_period_days": 14},
        sees=period("2027-06-15", "2027-07-15"),
    ),
    Case(
        "usage in a trial",
        f"{TRIAL}usage of a trial is not billed; with nothing but usage there is no first invoice",
        "100 in the trial x 0; 40 after it x 10 = 400",
        [Item({"unit_amount": 10}, uses=[("2027-06-03", "100"), ("2027-06-10", "40")])],
        [Billed("2027-07-08", 400, [400])],
        until="2027-07-08T01:00",
        terms={"trial_period_days": 7},
    ),
    Case(
        "the last second of a period and the first of the next",
        f"{USAGE}usage counts from a period's start to its end, the end not included",
        "3 x 100 = 300 in June; 4 x 100 = 400 in July",
        [Item({"unit_amount": 100}, uses=[("2027-06-30T23:59:59", "3"), ("2027-07-01", "4")])],
        [Billed("2027-07-01", 300, [300]), Billed("2027-08-01", 400, [400])],
        until="2027-08-01T01:00",
    ),
    Case(
        "usage up to the second of the end",
        "Stripe, 'Cancel subscriptions' (invoice_now): outstanding usage is billed at once",
        "5 before the end x 100 = 500; the 9 of that very second are not billed",
        [Item({"unit_amount": 100}, uses=[("2027-06-15T23:59:59", "5"), ("2027-06-16", "9")])],
        [Billed("2027-06-16", 500, [500])],
        changes={"2027-06-16": lambda v1, one: v1.subscriptions.cancel(one, {"invoice_now": True})},
    ),
    Case(
        "local midnight when clocks go forward",
        "Stripe, 'Set the subscription billing renewal date': in UTC. Ours: a company may bill by its own midnights",
        "1 March 00:00 in New York is 05:00 UTC, 1 April 00:00 is 04:00 UTC: 7 x 100 = 700 before it",
        [Item({"unit_amount": 100}, uses=[("2027-03-31T23:59:59-04:00", "7"), ("2027-04-01T00:00:00-04:00", "8")])],
        [Billed("2027-04-01T04:00", 700, [700])],
        start="2027-03-01T00:00-05:00",
        until="2027-04-01T06:00",
        zone="America/New_York",
        sees=period("2027-04-01T04:00", "2027-05-01T04:00"),
    ),
    Case(
        "the same in UTC, where clocks never change",
        f"{ANCHOR}periods are counted in UTC",
        "1 March 05:00 -> 1 April 05:00: (7 + 8) x 100 = 1500",
        [Item({"unit_amount": 100}, uses=[("2027-03-31T23:59:59-04:00", "7"), ("2027-04-01T00:00:00-04:00", "8")])],
        [Billed("2027-04-01T05:00", 1500, [1500])],
        start="2027-03-01T00:00-05:00",
        until="2027-04-01T06:00",
        sees=period("2027-04-01T05:00", "2027-05-01T05:00"),
    ),
]
