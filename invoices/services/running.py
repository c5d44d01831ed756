"""The billing run as a whole: what the beat jobs do every few seconds, for whoever wants it done, or foretold, at once."""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias, TypeVar
from uuid import UUID

from django.db import models, transaction

from core.actors import as_job
from invoices.models import Invoice
from invoices.services.stepping import (
    close_due_periods,
    due_drafts,
    due_subscriptions,
    escalate_due_invoices,
    finalize,
    finalize_due_drafts,
    remind_of_due_invoices,
    start_due_schedules,
    step,
)
from invoices.services.sweeping import CHUNK, Swept, quietly
from subscriptions.models import Subscription

Row = TypeVar("Row", Subscription, Invoice)
Forecasts: TypeAlias = "dict[UUID, Forecast]"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BillingRun:
    """What a run did. A subscription that was behind takes several steps.

    :ivar started: schedules whose subscriptions began
    :ivar steps: of subscriptions: periods that were closed, and whatever else was due
    :ivar finalized: drafts that became final
    :ivar reminded: invoices of which it was told that they are due, or will be
    :ivar escalated: subscriptions with invoices that were open for too long
    """

    started: Swept = field(default_factory=Swept)
    steps: Swept = field(default_factory=Swept)
    finalized: Swept = field(default_factory=Swept)
    reminded: Swept = field(default_factory=Swept)
    escalated: Swept = field(default_factory=Swept)

    def __add__(self, other: "BillingRun") -> "BillingRun":
        return BillingRun(
            self.started + other.started,
            self.steps + other.steps,
            self.finalized + other.finalized,
            self.reminded + other.reminded,
            self.escalated + other.escalated,
        )

    @property
    def failed(self) -> int:
        swept = (self.started, self.steps, self.finalized, self.reminded, self.escalated)
        return sum(one.failed for one in swept)


@as_job("billing run")
def run_billing(
    *, now: datetime, until: datetime | None = None, chunk: int = CHUNK, on_progress: Callable[[int], object] = quietly
) -> BillingRun:
    """Do what is due: begin what was scheduled, close periods, finalize drafts whose grace is over, move on what stays open too long.

    Safe beside itself and beside the beat jobs. Killed at any point it leaves each subscription and invoice done or not
    begun, and the next run goes on from there.

    :param now: the time by the wall
    :param until: leaves what was not due yet at that instant, which does not lie ahead
    :param chunk: subscriptions, or drafts, to a transaction
    """
    return BillingRun(
        start_due_schedules(now=now, until=until, chunk=chunk),
        close_due_periods(now=now, until=until, chunk=chunk, on_progress=on_progress),
        finalize_due_drafts(now=now, until=until, chunk=chunk, on_progress=on_progress),
        remind_of_due_invoices(now=now, chunk=chunk),
        escalate_due_invoices(now=now, chunk=chunk),
    )


def count_due(*, now: datetime, until: datetime | None = None) -> int:
    """How many subscriptions and drafts wait for a run."""
    return due_subscriptions(until or now).count() + due_drafts(until or now).count()


@dataclass(slots=True)
class Sum:
    """Of some invoices in one currency, in minor units."""

    invoices: int = 0
    total: int = 0

    def add(self, amount: int, invoices: int = 1) -> None:
        self.invoices += invoices
        self.total += amount


@dataclass(frozen=True, slots=True)
class Failure:
    """What could not be billed, and why.

    :ivar noun: of which model it is
    """

    noun: str
    pk: UUID
    reason: str


@dataclass(slots=True)
class Forecast:
    """What a run would do in one environment.

    :ivar subscriptions: that something is due for
    :ivar drafts: whose time has come
    :ivar drafted: the drafts that would be made, by currency
    :ivar charged: what would become due of drafts, by currency
    :ivar failures: subscriptions and invoices that could not be billed, and why
    """

    subscriptions: int = 0
    drafts: int = 0
    drafted: defaultdict[str, Sum] = field(default_factory=lambda: defaultdict(Sum))
    charged: defaultdict[str, Sum] = field(default_factory=lambda: defaultdict(Sum))
    failures: list[Failure] = field(default_factory=list)

    def take_in(self, other: "Forecast") -> None:
        """Add what another process has found in the same environment."""
        self.subscriptions += other.subscriptions
        self.drafts += other.drafts
        for mine, theirs in ((self.drafted, other.drafted), (self.charged, other.charged)):
            for currency, found in theirs.items():
                mine[currency].add(found.total, found.invoices)
        self.failures += other.failures


@as_job("billing run")
def forecast_billing(
    *,
    now: datetime,
    until: datetime | None = None,
    part: tuple[int, int] = (0, 1),
    on_progress: Callable[[int], object] = quietly,
) -> Forecasts:
    """What :func:`run_billing` would do, by environment: all of it is done, chunk by chunk, and taken back.

    A subscription that is behind is foretold up to its first step, as its next ones depend on what is stored, and what a
    schedule begins not at all.

    :param part: which part of it is foretold, and of how many; the others are left to others
    """
    found: Forecasts = {}

    def close(chunk: list[Subscription]) -> Iterator[tuple[str, int]]:
        known = set(Invoice.objects.filter(subscription__in=chunk).values_list("pk", flat=True))
        step(chunk, now=now)
        made = Invoice.objects.filter(subscription__in=chunk).exclude(pk__in=known)
        yield from made.values_list("currency", "total")

    def charge(chunk: list[Invoice]) -> Iterator[tuple[str, int]]:
        finalize(chunk, now=now)
        yield from ((invoice.currency, invoice.amount_due) for invoice in chunk)

    subscriptions, drafts = due_subscriptions(until or now), due_drafts(until or now)
    for environment_id, pks in _chunks(subscriptions, part):
        forecast = found.setdefault(environment_id, Forecast())
        forecast.subscriptions += len(pks)
        _foretell(subscriptions, pks, close, forecast.drafted, forecast.failures)
        on_progress(len(pks))
    for environment_id, pks in _chunks(drafts, part):
        forecast = found.setdefault(environment_id, Forecast())
        forecast.drafts += len(pks)
        _foretell(drafts, pks, charge, forecast.charged, forecast.failures)
        on_progress(len(pks))
    return found


def _chunks(due: "models.QuerySet[Row]", part: tuple[int, int]) -> Iterator[tuple[UUID, list[UUID]]]:
    """Which rows there are, some of one environment at a time: one of the parts that all chunks fall into."""
    number, parts = part
    for environment_id in list(due.order_by().values_list("environment_id", flat=True).distinct()):
        pks = list(due.filter(environment_id=environment_id).values_list("pk", flat=True))
        for first in range(number * CHUNK, len(pks), parts * CHUNK):
            yield environment_id, pks[first : first + CHUNK]


def _foretell(
    due: "models.QuerySet[Row]",
    pks: list[UUID],
    work: Callable[[list[Row]], Iterable[tuple[str, int]]],
    sums: defaultdict[str, Sum],
    failures: list[Failure],
) -> None:
    """Do the work and take it back; where all of it fails, row by row."""
    rows: list[Row] = []
    try:
        with transaction.atomic():
            # What is held is being billed at this moment.
            locked = due.filter(pk__in=pks).select_for_update(skip_locked=True, of=("self",), no_key=True)
            rows = list(locked)
            amounts = list(work(rows)) if rows else []
            transaction.set_rollback(True)
    except Exception as error:
        if not rows:
            raise
        if len(pks) == 1:
            logger.info("billing %s %s would fail", type(rows[0]).__name__, pks[0], exc_info=True)
            failures.append(Failure(type(rows[0]).__name__, pks[0], f"{type(error).__name__}: {error}"))
        else:
            for pk in pks:
                _foretell(due, [pk], work, sums, failures)
    else:
        for currency, amount in amounts:
            sums[currency].add(amount)
