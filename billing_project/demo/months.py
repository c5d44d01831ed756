"""Three months of three made-up customers, so that every page of the console has something to show.

They live on a test clock that ends at the wall's time: two periods are billed, the third has just closed. What they use
is made up by arithmetic, the same at every load.
"""

import calendar
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise

from accounts.models import Customer, Environment, TestClock
from accounts.services import create_customer
from billing_project.demo.clock import KEPT_UNTIL, advance
from core.errors import BillingError
from core.ids import spell
from core.periods import floor_hour
from credits.models import CreditGrant
from credits.services import create_grant
from invoices.models import CreditNote, Invoice
from invoices.services import (
    finalize_invoice,
    issue_credit_note,
    record_payment,
    reissue_invoice,
    start_subscription,
)
from meters.models import Formula, Meter
from meters.services import create_meter
from subscriptions.models import Price, TaxRate
from subscriptions.services import (
    NewDiscount,
    NewItem,
    NewTier,
    create_coupon,
    create_price,
    create_product,
    create_tax_rate,
    set_discounts,
)
from usage.events import EventDraft
from usage.models import Source
from usage.services import accept_events, take_in_stream
from webhooks.services import create_endpoint

EVENT_NAME = "api_calls"
PERIODS = 3
# The last period has closed so long ago that its invoices are drafts, and so recently that they still are.
_SINCE_THE_CLOSE = timedelta(minutes=20)
_EVERY = timedelta(hours=6)


@dataclass(frozen=True, slots=True)
class _Buyer:
    """
    :ivar calls: about so many with each event
    :ivar growth: by so many more with each day
    """

    name: str
    email: str
    seats: int
    calls: int
    growth: int


_AURORA = _Buyer("Aurora Analytics", "ap@aurora-analytics.example", 12, 900, 4)
_BIRCHWOOD = _Buyer("Birchwood Robotics", "finance@birchwood.example", 5, 2_400, -9)
_COBALT = _Buyer("Cobalt Labs", "billing@cobalt-labs.example", 3, 350, 11)
# A test clock takes no more of them.
BUYERS = (_AURORA, _BIRCHWOOD, _COBALT)


def bill_three_months(environment: Environment, *, wall: datetime) -> None:
    """Make the customers, what they buy and use, and what became of their invoices.

    :param wall: the wall's time, which the last period's end is near to
    """
    until = wall - _SINCE_THE_CLOSE
    ends = _period_ends(until)
    start = ends[0]
    clock = TestClock.objects.create(
        environment=environment, name="The last months", frozen_at=start, created_at=start, deletes_at=KEPT_UNTIL
    )
    seat, calls = _catalog(environment, start)
    vat = create_tax_rate(
        environment=environment, percentage=Decimal(19), inclusive=False, now=start, display_name="VAT"
    )
    buyers = {buyer: _subscribe(environment, clock, buyer, [seat, calls], vat) for buyer in BUYERS}
    create_grant(
        environment=environment, customer=buyers[_AURORA], currency="usd", amount=5_000, now=start,
        category=CreditGrant.Category.PROMOTIONAL, name="Welcome",
    )  # fmt: skip
    coupon = create_coupon(
        environment=environment, now=start, name="First year", percent_off=Decimal(10), duration="forever"
    )
    set_discounts(customer=buyers[_COBALT], given=[NewDiscount(coupon=coupon)], now=start)
    for number, (begin, end) in enumerate(pairwise(ends), start=1):
        advance(clock, end - timedelta(seconds=1))
        if number > 1:
            _settle(buyers, number - 1, end - timedelta(seconds=1))
        if number == PERIODS:
            # The last days' news are told to an address that nobody has, so that there is something to look into.
            create_endpoint(
                environment=environment, url="https://hooks.example.invalid/tollbook", enabled_events=["*"], now=end,
                description="An address that does not answer",
            )  # fmt: skip
        _use(environment, buyers, begin, end, wall)
        advance(clock, end)
    _refuse(environment, buyers[_AURORA], wall)
    if ends[-1] < until:
        advance(clock, until)


def _period_ends(at: datetime) -> list[datetime]:
    """The starts of the periods, and the end of the last, all on the same day of a month, the last not after ``at``."""
    day = min(at.day, 28)
    months = [at.year * 12 + at.month - 1 - back for back in range(PERIODS, -1, -1)]
    return [at.replace(year=month // 12, month=month % 12 + 1, day=day) for month in months]


def _catalog(environment: Environment, at: datetime) -> tuple[Price, Price]:
    product = create_product(environment=environment, now=at, name="Data platform", unit_label="seat", slug="platform")
    meter = create_meter(
        environment=environment, now=at, display_name="API calls", event_name=EVENT_NAME, formula=Formula.SUM
    )
    seat = create_price(
        environment=environment, product=product, currency="usd", now=at, unit_amount=Decimal(2_900), interval="month",
        lookup_key="platform_seat", nickname="Seat",
    )  # fmt: skip
    calls = create_price(
        environment=environment, product=product, currency="usd", now=at, usage_type="metered", meter=meter,
        interval="month", lookup_key="platform_calls", nickname="API calls", tiers_mode="graduated",
        tiers=[
            NewTier(Decimal(50_000), unit_amount=Decimal(0)),
            NewTier(Decimal(200_000), unit_amount=Decimal("0.08")),
            NewTier(None, unit_amount=Decimal("0.05")),
        ],
    )  # fmt: skip
    return seat, calls


def _subscribe(
    environment: Environment, clock: TestClock, buyer: _Buyer, prices: Sequence[Price], vat: TaxRate
) -> Customer:
    at = clock.frozen_at
    customer = create_customer(environment=environment, now=at, test_clock=clock, name=buyer.name, email=buyer.email)
    seat, calls = prices
    start_subscription(
        environment=environment, customer=customer, items=[NewItem(seat, quantity=buyer.seats), NewItem(calls)], now=at,
        collection_method="send_invoice", days_until_due=14, tax_rates=[vat] if buyer is _BIRCHWOOD else [],
    )  # fmt: skip
    return customer


def _use(
    environment: Environment, buyers: dict[_Buyer, Customer], begin: datetime, end: datetime, wall: datetime
) -> None:
    meter = Meter.objects.of(environment).named(EVENT_NAME).get()
    drafts = [
        EventDraft(
            EVENT_NAME,
            {meter.customer_key: spell("cus", customer.pk), meter.value_key: str(calls)},
            f"{buyer.email.partition('@')[0]}-{buyer.name.split()[0].lower()}-{at:%Y%m%d%H}",
            at,
        )
        for buyer, customer in buyers.items()
        for at, calls in _calls(buyer, begin, end)
    ]
    outcomes = accept_events(environment=environment, drafts=drafts, source=Source.API, now=wall, any_age=True)
    refused = next((outcome for outcome in outcomes if isinstance(outcome, BillingError)), None)
    if refused is not None:
        raise RuntimeError("a made-up event was refused") from refused


def _calls(buyer: _Buyer, begin: datetime, end: datetime) -> Iterator[tuple[datetime, int]]:
    at = floor_hour(begin) + _EVERY
    while at < end:
        day = at.toordinal()
        week = 40 if at.weekday() >= calendar.SATURDAY else 100
        # Up and down by the hour and the day, without a dice.
        yield (
            at,
            max(1, (buyer.calls + buyer.growth * (day % 365) // 10 + (day * 37 + at.hour * 101) % 300) * week // 100),
        )
        at += _EVERY


def _settle(buyers: dict[_Buyer, Customer], period: int, at: datetime) -> None:
    """What became of the invoices that are open since the last period closed."""
    for buyer, customer in buyers.items():
        for invoice in Invoice.objects.filter(customer=customer, status=Invoice.Status.OPEN).order_by(
            "created_at", "pk"
        ):
            _settle_one(buyer, invoice, period, at)


def _settle_one(buyer: _Buyer, invoice: Invoice, period: int, at: datetime) -> None:
    reference = f"SEPA {invoice.number}"
    if buyer is _BIRCHWOOD and period > 1:
        # A half is paid, and the rest past due.
        record_payment(invoice=invoice, amount=invoice.amount_remaining // 2, now=at, reference=reference)
    elif buyer is _COBALT and period > 1:
        draft = reissue_invoice(invoice=invoice, now=at)
        finalize_invoice(invoice=draft, now=at)
    else:
        record_payment(invoice=invoice, amount=invoice.amount_remaining, now=at, reference=reference)
        if buyer is _AURORA and not CreditNote.objects.filter(customer=invoice.customer).exists():
            issue_credit_note(
                invoice=invoice, now=at, total=2_900, balance_amount=2_900, reason="order_change",
                memo="One seat less than was billed.",
            )  # fmt: skip


def _refuse(environment: Environment, customer: Customer, wall: datetime) -> None:
    """Events that cannot be counted, each for a reason of its own."""
    name = spell("cus", customer.pk)
    payloads = [
        ("api_call", {"stripe_customer_id": name, "value": "1"}),
        (EVENT_NAME, {"stripe_customer_id": "cus_unknown", "value": "1"}),
        (EVENT_NAME, {"stripe_customer_id": name, "value": "many"}),
    ]
    drafts = [
        EventDraft(event_name, payload, f"refused-{number}", wall - timedelta(hours=number))
        for number, (event_name, payload) in enumerate(payloads, start=1)
    ]
    take_in_stream(environment=environment, drafts=drafts, source=Source.STREAM, now=wall)
