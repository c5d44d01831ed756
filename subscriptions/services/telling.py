"""What happens to subscriptions goes into the outbox, by whatever way it came about."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from subscriptions.models import Subscription
from subscriptions.statuses import Status
from webhooks.kinds import Kind
from webhooks.services import record, take_snapshots


@contextmanager
def told(subscriptions: Sequence[Subscription], *, now: datetime, in_hand: bool = False) -> Iterator[None]:
    """Record what becomes of subscriptions within: that they changed, ended, or paused and went on.

    What is not told of is what callers cannot see, and what was refused. The caller holds the rows' locks, changes
    these very objects, and stores them before it leaves.

    :param now: the customers' time
    :param in_hand: that they have their items, too, as they are stored now and at the end
    """
    before = take_snapshots(subscriptions, in_hand=in_hand)
    statuses = {subscription.pk: subscription.status for subscription in subscriptions}
    yield
    ended = [one for one in subscriptions if one.status == Status.CANCELED != statuses[one.pk]]
    going_on = [one for one in subscriptions if one not in ended]
    record(Kind.SUBSCRIPTION_UPDATED, rows=going_on, now=now, before=before, in_hand=in_hand)
    paused = [one for one in going_on if one.status == Status.PAUSED != statuses[one.pk]]
    resumed = [one for one in going_on if statuses[one.pk] == Status.PAUSED != one.status]
    record(Kind.SUBSCRIPTION_PAUSED, rows=paused, now=now, in_hand=in_hand)
    record(Kind.SUBSCRIPTION_RESUMED, rows=resumed, now=now, in_hand=in_hand)
    record(Kind.SUBSCRIPTION_DELETED, rows=ended, now=now, in_hand=in_hand)
