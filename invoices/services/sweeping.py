"""Work through rows whose time has come, in chunks, beside other processes that do the same."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID

from django.db import models, transaction

from invoices.models import BillingFailure, Invoice
from subscriptions.models import Subscription, SubscriptionSchedule

logger = logging.getLogger(__name__)

# Rows to a transaction. Its statements are planned, and Django makes them, once for all of them; it holds their locks for
# a second or so.
CHUNK = 500

_FIRST_RETRY = timedelta(minutes=1)
_LONGEST_RETRY = timedelta(hours=1)

Row = TypeVar("Row", Subscription, Invoice, SubscriptionSchedule)


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep did: rows that were worked on, and rows that were parked with their reason."""

    done: int = 0
    failed: int = 0

    def __add__(self, other: "Swept") -> "Swept":
        return Swept(self.done + other.done, self.failed + other.failed)


def quietly(_: int) -> None:
    """For those who do not show how far they are."""


def sweep(
    *,
    due: "models.QuerySet[Row]",
    chunk: int,
    work: Callable[[list[Row]], None],
    park: Callable[[Row, Exception], None],
    on_progress: Callable[[int], object] = quietly,
) -> Swept:
    """Take the rows of ``due`` until none is left, one environment and one short transaction at a time.

    Rows that another process holds are left to it. If a chunk fails, its rows are tried one by one, so that only those
    that cannot be done are parked.

    :param due: ordered; a row must leave it once it was worked on or parked
    :param work: works on locked rows of one environment, within a transaction
    :param park: takes note of a row's failure, in a transaction of its own
    :param on_progress: called with the number of rows that were done or parked since the last call
    """
    environments = due.order_by().values_list("environment_id", flat=True).distinct()
    swept = Swept()
    for environment_id in list(environments):
        while (taken := _take_chunk(due.filter(environment_id=environment_id), chunk, work, park)) != Swept():
            on_progress(taken.done + taken.failed)
            swept += taken
    return swept


def _take_chunk(
    due: "models.QuerySet[Row]", chunk: int, work: Callable[[list[Row]], None], park: Callable[[Row, Exception], None]
) -> Swept:
    # no_key: rows that refer to these are written meanwhile, and need not wait.
    locked = due.select_for_update(skip_locked=True, of=("self",), no_key=True)
    taken: list[Row] = []
    try:
        with transaction.atomic():
            taken = list(locked[:chunk])
            if taken:
                work(taken)
        return Swept(len(taken), 0)
    except Exception:
        if not taken:
            raise
        logger.warning("billing %d rows at once failed; trying each by itself", len(taken), exc_info=True)
    done = failed = 0
    for row in taken:
        try:
            with transaction.atomic():
                again = list(locked.filter(pk=row.pk))
                if again:
                    work(again)
                    done += 1
        except Exception as error:
            # Whatever it is, it must not keep others from being billed. With the connection gone, parking raises, too.
            logger.exception("billing %s %s failed", type(row).__name__, row.pk)
            park(row, error)
            failed += 1
    return Swept(done, failed)


@transaction.atomic
def note_failure(
    *,
    environment_id: UUID,
    error: Exception,
    now: datetime,
    subscription: Subscription | None = None,
    invoice: Invoice | None = None,
    schedule: SubscriptionSchedule | None = None,
) -> BillingFailure:
    """Record why something could not be billed or begun, and when to try again: 1, 2, 4 … 60 minutes on."""
    reason = f"{type(error).__name__}: {error}"
    failure, created = BillingFailure.objects.select_for_update().get_or_create(
        environment_id=environment_id,
        subscription=subscription,
        invoice=invoice,
        schedule=schedule,
        defaults={"reason": reason, "failed_at": now, "retry_at": now + _FIRST_RETRY},
    )
    if not created:
        delay = min(_FIRST_RETRY * 2 ** min(failure.attempts, 10), _LONGEST_RETRY)
        failure.attempts += 1
        failure.reason, failure.failed_at, failure.retry_at = reason, now, now + delay
        failure.save(update_fields=["attempts", "reason", "failed_at", "retry_at"])
    return failure
