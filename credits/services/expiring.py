"""What is left of grants whose end has come is written off."""

from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef

from accounts.models import TestClock
from credits.models import CreditAccount, CreditGrant, CreditGrantQuerySet, LedgerEntry
from credits.services.journal import Journal, lock_accounts

_CHUNK = 200


def expire_due_grants(*, now: datetime, chunk: int = _CHUNK) -> int:
    """Write off what is left of grants that have ended, until none is left. Of a customer's, the earliest comes first.

    Safe beside itself, and never in the way of money: whether a grant can be used, its dates say. What another process
    holds is left for the next time.

    :param now: the time by the wall; customers on a test clock are left to it
    :param chunk: how many customers at once
    :returns: grants written off
    """
    due = CreditGrant.objects.due(now)
    done = 0
    for environment_id in list(due.order_by().values_list("environment_id", flat=True).distinct()):
        while expired := _expire_chunk(due, environment_id, now, chunk):
            done += expired
    return done


@transaction.atomic
def expire_grants_on_clock(*, clock: TestClock, now: datetime) -> int:
    """The same for the customers on a test clock, who are few. The caller holds the clock.

    :param now: the time that the clock shows
    :returns: grants written off
    """
    due = CreditGrant.objects.due(now, clock)
    lock_accounts(clock.environment_id, due.values_list("customer_id", flat=True))
    return _write_off(due, now)


@transaction.atomic
def _expire_chunk(due: CreditGrantQuerySet, environment_id: UUID, now: datetime, chunk: int) -> int:
    accounts = CreditAccount.objects.filter(
        Exists(due.filter(customer=OuterRef("pk"))), environment_id=environment_id
    ).order_by("pk")
    held = accounts.select_for_update(skip_locked=True, no_key=True)[:chunk]
    # Asked once more behind the locks: some may have been used up, or prolonged, a moment ago.
    return _write_off(due.filter(environment_id=environment_id, customer__in=[account.pk for account in held]), now)


def _write_off(ended: CreditGrantQuerySet, now: datetime) -> int:
    journal = Journal()
    for grant in ended.select_related("environment").order_by("expires_at", "pk"):
        journal.enter(grant, LedgerEntry.Kind.EXPIRED, -grant.available, now=now, effective_at=grant.expires_at)
    return len(journal.write())
