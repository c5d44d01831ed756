"""Forgetting what was refused long ago."""

from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from accounts.models import Environment
from usage.models import EventRejection

_AT_ONCE = 10_000


def prune_rejections(*, now: datetime, retention: timedelta) -> int:
    """Delete rejections that were received longer ago than the retention, and that a report has taken up.

    :param retention: longer than a request may be sent again under its key, since a re-send is answered from the row
    :returns: how many were deleted
    """
    forgotten = 0
    for environment in Environment.objects.all():
        old = EventRejection.objects.filter(
            environment=environment, received_at__lt=now - retention, reported_at__isnull=False
        )
        while deleted := _delete_some(environment, old.order_by("received_at").values_list("pk", flat=True)):
            forgotten += deleted
    return forgotten


@transaction.atomic
def _delete_some(environment: Environment, old: QuerySet[EventRejection, UUID]) -> int:
    # In short transactions, since an open one holds the roll-up back.
    return EventRejection.objects.filter(environment=environment, pk__in=list(old[:_AT_ONCE])).delete()[0]
