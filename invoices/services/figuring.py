"""Revenue numbers for a page: of a small book computed as somebody looks, of a large one beforehand.

Adding up ten thousand subscriptions' usage takes seconds, too long to look at a page for. So it shows what was computed
last, with its time, and asks for it anew; a job does that. Unbilled usage is asked for by itself, of all books, for a
page that shows them together.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import Exists, F, OuterRef, Q, QuerySet

from accounts.models import Environment
from core.periods import DAY, floor_day
from invoices.exports import TABLES, Selection, Total, add_up
from invoices.models import Invoice, RevenueFigure
from subscriptions.models import Subscription

# What is older is computed anew when somebody looks.
FRESH = timedelta(minutes=5)
# Books up to these sizes are added up in well under a second.
LARGE_SUBSCRIPTIONS = 500
LARGE_INVOICES = 5_000

_UNBILLED = "unbilled"
_KEPT = timedelta(days=1)
# If whoever computes it has not ended by then, it never will.
_CLAIM = timedelta(minutes=10)

Sums = Mapping[tuple[str, ...], Total]


@dataclass(frozen=True, slots=True)
class Figure:
    """
    :ivar sums: by currency and then by what the number is told by; None until it was computed once
    :ivar computed_at: None for what was computed just now
    :ivar is_awaited: whether a newer one is on its way
    """

    sums: Sums | None
    computed_at: datetime | None = None
    is_awaited: bool = False


def revenue_figures(selection: Selection, names: Iterable[str], *, now: datetime) -> dict[str, Figure]:
    """What revenue numbers come to; of a large book what they came to some minutes ago.

    :param selection: with both its ends
    :raises KeyError: if there is no such number
    """
    if not _is_large(selection.environment):
        return {name: Figure(add_up(name, selection)) for name in names}
    asked = [RevenueFigure(name=name, asked_at=now, **_span(name, selection)) for name in names]
    rows = RevenueFigure.objects.filter(environment=selection.environment, until=selection.at)
    kept = {(row.name, row.since): row for row in rows}
    figures = {one.name: _told(kept.get((one.name, one.since)), now) for one in asked}
    _ask([one for one in asked if figures[one.name].is_awaited])
    return figures


def ask_for_unbilled_usage(*, now: datetime) -> None:
    """Have the unbilled usage of each environment that bills somebody computed anew."""
    end = _end_of_day(now)
    billing = Environment.objects.filter(bills_somebody())
    _ask(
        [
            RevenueFigure(name=_UNBILLED, asked_at=now, **_span(_UNBILLED, Selection(environment, until=end)))
            for environment in billing.order_by("pk")
        ]
    )


def unbilled_usage(environments: Iterable[UUID], *, now: datetime) -> dict[Environment, Figure]:
    """What unbilled usage came to when it was computed last, today or else yesterday; without those where it was not.

    :param environments: their ids
    """
    end = _end_of_day(now)
    rows = RevenueFigure.objects.filter(
        environment__in=list(environments), name=_UNBILLED, until__in=[end - DAY, end], computed_at__isnull=False
    )
    latest = rows.order_by("environment_id", "-until").distinct("environment_id")
    return {
        # Yesterday's may have been asked for today; it is of yesterday nevertheless.
        row.environment: replace(_told(row, now), computed_at=min(row.computed_at or end, row.until))
        for row in latest.select_related("environment")
    }


def compute_revenue_figures(*, now: datetime) -> int:
    """Compute the revenue numbers that were asked for, one after the other, and forget those that nobody asks for.

    It holds no transaction meanwhile, which would keep the roll-up waiting.

    :returns: how many
    """
    RevenueFigure.objects.filter(asked_at__lt=now - _KEPT).delete()
    done = 0
    while (figure := _claim(now)) is not None:
        selection = Selection(figure.environment, figure.since, figure.until, now=now)
        sums = add_up(figure.name, selection)
        figure.sums = [[list(key), one.rows, str(one.amount)] for key, one in sums.items()]
        figure.computed_at, figure.claimed_until = now, None
        figure.save(update_fields=["sums", "computed_at", "claimed_until"])
        done += 1
    return done


def bills_somebody() -> Q:
    """True of environments that have subscriptions or invoices."""
    mine = {"environment": OuterRef("pk")}
    return Q(Exists(Subscription.objects.filter(**mine))) | Q(Exists(Invoice.objects.filter(**mine)))


def _span(name: str, selection: Selection) -> dict[str, Any]:
    """Where a number is kept. What is as of an instant is the same whatever day somebody looks from."""
    sums = TABLES[name].sums
    since = selection.since if sums is not None and sums.is_of_days else None
    return {"environment": selection.environment, "since": since or selection.at, "until": selection.at}


def _end_of_day(now: datetime) -> datetime:
    # As the page of revenue numbers asks by its last day, so that both show the same.
    return floor_day(now) + DAY


def _ask(figures: Iterable[RevenueFigure]) -> None:
    RevenueFigure.objects.bulk_create(
        figures,
        update_conflicts=True,
        unique_fields=["environment", "name", "since", "until"],
        update_fields=["asked_at"],
    )


def _is_large(environment: Environment) -> bool:
    sizes = ((Subscription, LARGE_SUBSCRIPTIONS), (Invoice, LARGE_INVOICES))
    return any(model.objects.of(environment)[: most + 1].count() > most for model, most in sizes)


def _told(row: RevenueFigure | None, now: datetime) -> Figure:
    if row is None or row.computed_at is None:
        return Figure(None, is_awaited=True)
    sums = {tuple(key): Total(rows, Decimal(amount)) for key, rows, amount in row.sums}
    return Figure(sums, row.computed_at, is_awaited=row.computed_at < now - FRESH)


def _awaited(now: datetime) -> QuerySet[RevenueFigure]:
    # Whoever waits for one asks again and again.
    asked = Q(computed_at=None) | Q(computed_at__lt=F("asked_at") - FRESH)
    return RevenueFigure.objects.filter(asked, Q(claimed_until=None) | Q(claimed_until__lt=now))


def _claim(now: datetime) -> RevenueFigure | None:
    """Have the next one for this process alone."""
    # The last first: whoever waits asks again and again, while a job has asked once.
    for figure in _awaited(now).select_related("environment").order_by("-asked_at", "pk")[:10]:
        # Asked again by the statement itself: another process may be at it by now.
        if _awaited(now).filter(pk=figure.pk).update(claimed_until=now + _CLAIM):
            return figure
    return None
