"""When something happens to a subscription by itself. No ORM, no clock: a row knows all its instants."""

from datetime import datetime, timedelta
from typing import Protocol

from subscriptions.statuses import OVER, Status

_TRIAL_WARNING = timedelta(days=3)


def trial_warning(trial_end_at: datetime, from_at: datetime) -> datetime:
    """When it is told that a trial ends soon: three days before, or at once where the trial is shorter.

    :param from_at: when the trial, or its end, was set
    """
    return max(trial_end_at - _TRIAL_WARNING, from_at)


class Sleeper(Protocol):
    """What there is to know of a subscription."""

    status: str
    expires_at: datetime | None
    cancel_at: datetime | None
    pause_resumes_at: datetime | None
    phase_ends_at: datetime | None
    trial_warns_at: datetime | None
    pending_invoice_at: datetime | None
    upcoming_at: datetime | None


def next_wake(subscription: Sleeper, period_end: datetime) -> datetime | None:
    """The next instant at which something happens by itself; None if nothing ever will.

    While it is incomplete only its expiry counts, and while it is paused only its end and its schedule's phases: neither
    is billed. A trial's end is the end of its period.

    :param period_end: where the current period of its items ends
    """
    status = Status(subscription.status)
    if status in OVER:
        return None
    instants = [subscription.cancel_at]
    if status == Status.INCOMPLETE:
        instants += [subscription.expires_at]
    elif status == Status.PAUSED:
        instants += [subscription.phase_ends_at]
    else:
        if status == Status.TRIALING:
            instants += [subscription.trial_warns_at]
        instants += [subscription.phase_ends_at, subscription.pause_resumes_at, period_end]
        instants += [subscription.pending_invoice_at, subscription.upcoming_at]
    return min((instant for instant in instants if instant is not None), default=None)
