"""What taking back or bringing in events would do to bills, told before it is done."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import Any, TypeVar
from uuid import UUID

from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import Customer, Environment
from core.console import cells
from core.errors import BillingError
from core.money import format_amount
from core.periods import Period, ceil_day, floor_day
from invoices.services import Rehearsal, Touched, recount_drafts, rehearse
from meters.models import Meter
from usage.models import MeterEvent
from usage.services import cancel_event

# Of more events at once the effect is not worked out.
_MOST_EVENTS = 50
_INSTANT = timedelta(microseconds=1)

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Effect:
    """A bill, or a sum of usage, before and after.

    :ivar link: of the draft, or of the customer
    """

    name: str
    customer: Customer
    before: str
    after: str
    difference: str
    link: str


@dataclass(frozen=True, slots=True)
class Effects:
    bills: Sequence[Effect]
    usage: Sequence[Effect]
    has_more: bool

    @property
    def sentence(self) -> str:
        """Of the bills, for a confirmation."""
        if not self.bills:
            return _("No draft and no next invoice changes by it.")
        told = " ".join(
            _("{bill} of {customer}: {before} becomes {after}.").format(
                bill=one.name, customer=one.customer, before=one.before, after=one.after
            )
            for one in self.bills
        )
        return told + (" " + _("There are more that were not looked at.") if self.has_more else "")


def told(rehearsal: Rehearsal[Any]) -> Effects:
    """A rehearsal in words: only what changes."""
    bills = []
    for bill, before, after in rehearsal.bills:
        if (before.total, before.refusal) == (after.total, after.refusal):
            continue
        difference = (
            ""
            if before.total is None or after.total is None
            else format_amount(after.total - before.total, after.currency)
        )
        name = (
            _("the next invoice")
            if bill.draft is None
            else _("the draft over {period}").format(
                period=f"{bill.draft.period_start:%Y-%m-%d} – {bill.draft.period_end:%Y-%m-%d}"  # noqa: RUF001
            )
        )
        link = (
            reverse("admin:accounts_customer_overview", args=[bill.customer.pk])
            if bill.draft is None
            else reverse("admin:invoices_invoice_change", args=[bill.draft.pk])
        )
        bills.append(Effect(name, bill.customer, _amount(before), _amount(after), difference, link))
    usage = [
        Effect(
            touched.meter.display_name,
            touched.customer,
            cells.plain(before),
            cells.plain(after),
            cells.plain(after - before),
            reverse("admin:accounts_customer_overview", args=[touched.customer.pk]),
        )
        for touched, before, after in rehearsal.usage
        if before != after
    ]
    return Effects(bills, usage, rehearsal.has_more)


def _amount(amount: Any) -> str:
    return amount.refusal if amount.total is None else format_amount(amount.total, amount.currency)


def touched_by(uses: Iterable[tuple[UUID, UUID, datetime]]) -> list[Touched]:
    """Each meter and customer once, with the UTC days of their events.

    :param uses: meter, customer and time of each event; of one environment
    """
    days: dict[tuple[UUID, UUID], tuple[datetime, datetime]] = {}
    for meter_id, customer_id, at in uses:
        first, last = days.get((meter_id, customer_id), (at, at))
        days[meter_id, customer_id] = min(first, at), max(last, at)
    meters = Meter.objects.in_bulk({meter for meter, _ in days})
    customers = Customer.objects.select_related("environment__company", "test_clock").in_bulk(
        {customer for _, customer in days}
    )
    return [
        # An event at midnight is the next day's.
        Touched(meters[meter], customers[customer], Period(floor_day(first), ceil_day(last + _INSTANT)))
        for (meter, customer), (first, last) in sorted(days.items())
        # A file may name anybody: those of another environment are nobody here.
        if meter in meters
        and customer in customers
        and customers[customer].environment_id == meters[meter].environment_id
    ]


def rehearsed(
    environment: Environment, uses: Iterable[tuple[UUID, UUID, datetime]], change: Callable[[], Result]
) -> tuple[Result, Effects]:
    """What a change of usage answers, and what it would do. Nothing of it stays.

    :raises BillingError: whatever the change raises
    """
    found = rehearse(environment=environment, touched=touched_by(uses), change=change, now=timezone.now())
    return found.result, told(found)


def follow_up(environment: Environment, uses: Iterable[tuple[UUID, UUID, datetime]]) -> None:
    """Let drafts follow a change of usage that was made.

    :raises AmountTooLarge: if one grows beyond what an invoice can hold
    """
    recount_drafts(environment=environment, touched=touched_by(uses), now=timezone.now())


def of_canceling(events: Sequence[MeterEvent]) -> str:
    """What canceling events would do to bills, in sentences."""
    if len(events) > _MOST_EVENTS:
        return _("For so many events at once, what it does to drafts and next invoices is not worked out.")
    by_environment = attrgetter("environment_id")
    said = []
    for _environment, some in groupby(sorted(events, key=by_environment), key=by_environment):
        mine = list(some)
        try:
            _canceled, effects = rehearsed(
                mine[0].environment,
                [(event.meter_id, event.customer_id, event.timestamp) for event in mine],
                partial(_cancel, mine),
            )
        except BillingError as refusal:
            said.append(str(refusal))
        else:
            said.append(effects.sentence)
    return " ".join(said)


def _cancel(events: Sequence[MeterEvent]) -> None:
    # Whatever the person is going to say: without any reason only fresh events could be canceled.
    reason = _("looked at beforehand")
    for event in events:
        cancel_event(environment=event.environment, identifier=event.identifier, now=timezone.now(), reason=reason)
