"""Forgetting the idempotency keys of old requests."""

from datetime import datetime, timedelta

from accounts.models import Environment
from usage.models import EventClaim

# As long as a client may send a request again and must get the first answer.
RETRY_KEY_LIFE = timedelta(hours=24)


def prune_retry_keys(*, now: datetime) -> int:
    """Forget the idempotency keys of events reported more than a day ago. Identifiers stay claimed.

    :returns: how many were forgotten
    """
    forgotten = 0
    for environment in Environment.objects.all():
        old = EventClaim.objects.filter(
            environment=environment,
            namespace=EventClaim.Namespace.RETRY_KEY,
            claimed_at__lt=now - RETRY_KEY_LIFE,
        )
        forgotten += old.delete()[0]
    return forgotten
