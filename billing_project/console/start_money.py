"""Money at a glance: a row for each currency, live before test, and for each number where its rows are."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.db.models import Count, F, Sum
from django.urls import reverse

from accounts.models import Environment
from core.money import exponent, format_amount
from core.periods import boundary, floor_day
from invoices.models import Invoice, Payment
from invoices.reviewing import past_due
from invoices.services import Figure, unbilled_usage


@dataclass(frozen=True, slots=True)
class Money:
    """A sum in one currency and mode.

    :ivar count: of its invoices, payments or prices over periods
    :ivar minor_units: what ``amount`` says in words
    """

    amount: str
    count: int
    link: str
    minor_units: int = 0


@dataclass(slots=True)
class MoneyRow:
    """One currency in one mode; None where there is nothing.

    :ivar paid_before: by the same time of the month before
    """

    mode: str
    currency: str
    draft: Money | None = None
    open: Money | None = None
    past_due: Money | None = None
    paid: Money | None = None
    paid_before: Money | None = None
    unbilled: Money | None = None


@dataclass(frozen=True, slots=True)
class MoneyPanel:
    """
    :ivar computed_at: the oldest of what unbilled usage was worked out from; None where it was not yet
    """

    rows: Sequence[MoneyRow]
    computed_at: datetime | None


def money_panel(environments: Sequence[UUID], now: datetime, *, shows_payments: bool) -> MoneyPanel:
    """What is drafted, owed, late, paid and not yet billed.

    :param environments: whose invoices the person may see
    """
    rows: dict[tuple[str, str], MoneyRow] = {}

    def row(found: Mapping[str, Any]) -> MoneyRow:
        key = (found["environment__mode"], found["currency"])
        return rows.setdefault(key, MoneyRow(*key))

    for found in _invoices(environments):
        if found["status"] == Invoice.Status.DRAFT:
            row(found).draft = _of_invoices(found, found["total"], tab="draft")
        else:
            row(found).open = _of_invoices(found, found["remaining"], tab="open")
    for found in _past_due(environments, now):
        row(found).past_due = _of_invoices(found, found["remaining"], tab="past_due")
    if shows_payments:
        this_month = floor_day(now).replace(day=1)
        last_month = boundary(this_month, "month", 1, -1)
        for name, start, end in (
            ("paid", this_month, now),
            ("paid_before", last_month, min(last_month + (now - this_month), this_month)),
        ):
            for found in _payments(environments, start, end):
                span = {
                    "currency__exact": found["currency"],
                    "environment__mode__exact": found["environment__mode"],
                    "received_at__gte": start.isoformat(),
                    "received_at__lt": end.isoformat(),
                }
                money = _money(found["amount"], found["count"], found["currency"], "invoices_payment", span)
                setattr(row(found), name, money)
    unbilled = unbilled_usage(environments, now=now)
    for (mode, currency), (count, minor_units) in _in_all(unbilled).items():
        row({"environment__mode": mode, "currency": currency}).unbilled = Money(
            format_amount(minor_units, currency), count, reverse("admin:invoices_invoice_revenue"), minor_units
        )
    computed = [figure.computed_at for figure in unbilled.values() if figure.computed_at is not None]
    return MoneyPanel([rows[key] for key in sorted(rows)], min(computed, default=None))


def _in_all(figures: Mapping[Environment, Figure]) -> dict[tuple[str, str], tuple[int, int]]:
    """What a number comes to by mode and currency: how many rows, and minor units."""
    found: dict[tuple[str, str], tuple[int, int]] = {}
    for environment, figure in figures.items():
        for (written, *_by), total in (figure.sums or {}).items():
            key = (environment.mode, written.lower())
            count, minor_units = found.get(key, (0, 0))
            found[key] = count + total.rows, minor_units + int(total.amount.scaleb(exponent(written.lower())))
    return found


_REMAINING = F("amount_due") - F("amount_paid") - F("pre_payment_credited")


def _invoices(environments: Sequence[UUID]) -> Iterable[Mapping[str, Any]]:
    return (
        Invoice.objects.filter(environment__in=environments, status__in=[Invoice.Status.DRAFT, Invoice.Status.OPEN])
        .values("environment__mode", "status", "currency")
        .annotate(count=Count("pk"), total=Sum("total"), remaining=Sum(_REMAINING))
        .order_by()
    )


def _past_due(environments: Sequence[UUID], now: datetime) -> Iterable[Mapping[str, Any]]:
    """By itself, as the desk tells it: by their customers' clocks, which no other sum asks for."""
    late = past_due(Invoice.objects.filter(environment__in=environments), now)
    return (
        late.values("environment__mode", "currency").annotate(count=Count("pk"), remaining=Sum(_REMAINING)).order_by()
    )


def _payments(environments: Sequence[UUID], start: datetime, end: datetime) -> Iterable[Mapping[str, Any]]:
    # Recorded at the earliest when it was received, so an index by that bounds what is read.
    return (
        Payment.objects.filter(
            environment__in=environments, created_at__gte=start, received_at__gte=start, received_at__lt=end
        )
        .values("environment__mode", "currency")
        .annotate(count=Count("pk"), amount=Sum("amount"))
        .order_by()
    )


def _of_invoices(found: Mapping[str, Any], minor_units: Any, *, tab: str) -> Money:
    """:param tab: of the desk, which lists them"""
    query = {
        "tab": tab,
        "environment__mode__exact": found["environment__mode"],
        "currency__exact": found["currency"],
    }
    return _money(minor_units, found["count"], found["currency"], "invoices_invoice", query)


def _money(minor_units: Any, count: int, currency: str, model: str, query: dict[str, str]) -> Money:
    # PostgreSQL sums bigints to a numeric.
    amount = int(minor_units)
    link = f"{reverse(f'admin:{model}_changelist')}?{urlencode(query)}"
    return Money(format_amount(amount, currency), count, link, amount)
