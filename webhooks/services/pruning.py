"""Forgetting what happened long ago."""

from datetime import datetime, timedelta

from django.db import transaction

from core.ids import first_id
from webhooks.models import Event

EVENT_RETENTION = timedelta(days=30)
_BATCH = 2_000


def prune_events(*, now: datetime) -> int:
    """Delete the events recorded more than 30 days ago, in short transactions.

    By when they were recorded, which their ids say, and not by the time that a test clock showed.

    :param now: the wall's time
    :returns: how many there were
    """
    total = 0
    while True:
        old = Event.objects.filter(pk__lt=first_id(now - EVENT_RETENTION)).order_by("pk")
        batch = old.select_for_update(skip_locked=True).values_list("pk", flat=True)
        with transaction.atomic():
            deleted, _ = Event.objects.filter(pk__in=list(batch[:_BATCH])).delete()
        total += deleted
        if deleted < _BATCH:
            return total
