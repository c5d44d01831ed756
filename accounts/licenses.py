"""Licenses run out: who is warned when, and the notes that are made of it.

Access asks the dates alone; nothing here opens or closes a door.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, OuterRef, Q

from accounts.models import License, LicenseNotice

Kind = LicenseNotice.Kind

# The latest warning first.
WARNINGS: Sequence[tuple[timedelta, Kind]] = (
    (timedelta(days=1), Kind.ENDS_IN_1_DAY),
    (timedelta(days=7), Kind.ENDS_IN_7_DAYS),
    (timedelta(days=30), Kind.ENDS_IN_30_DAYS),
)


def notices_due(*, ends_at: datetime, grace: timedelta, at: datetime) -> list[Kind]:
    """What there is to say at an instant of a license that has started and ends at ``ends_at``.

    A warning is due in ``[ends_at - its days, ends_at)``, and a nearer one takes its place: after a pause nobody is told
    of 30 days when one is left. Transitions are history and all told, in order: in grace from ``ends_at``, ended from
    ``ends_at + grace``. Without grace a license goes straight to ended.
    """
    if at < ends_at:
        return next(([kind] for days, kind in WARNINGS if at >= ends_at - days), [])
    transitions = [Kind.IN_GRACE] if grace else []
    return [*transitions, Kind.ENDED] if at >= ends_at + grace else transitions


@transaction.atomic
def check_licenses(*, now: datetime) -> list[LicenseNotice]:
    """Record every warning and transition that is due and was not recorded for the license's present end.

    Running it again, or twice at once, records nothing twice. A renewal, be it a later ``ends_at`` or another license
    of the same product that goes on, starts anew or silences what would be a false alarm.

    :returns: the notices recorded by this call
    """
    said_all = LicenseNotice.objects.filter(license=OuterRef("pk"), kind=Kind.ENDED, ends_at=OuterRef("ends_at"))
    goes_on = License.objects.filter(
        Q(ends_at__isnull=True) | Q(ends_at__gt=OuterRef("ends_at")),
        company=OuterRef("company"),
        product=OuterRef("product"),
        starts_at__lte=OuterRef("ends_at"),
    )
    licenses = (
        License.objects.filter(starts_at__lte=now, ends_at__lte=now + WARNINGS[-1][0])
        .exclude(Exists(said_all))
        .exclude(Exists(goes_on))
        # A renewal waits until its old end has been judged; a second run of this job waits and then finds it all said.
        .select_for_update(of=("self",))
        .order_by("pk")
    )
    recorded = []
    for license_ in licenses:
        assert license_.ends_at is not None  # noqa: S101 (the query asked for it)
        for kind in notices_due(ends_at=license_.ends_at, grace=license_.grace, at=now):
            notice, is_new = LicenseNotice.objects.get_or_create(
                license=license_, kind=kind, ends_at=license_.ends_at, defaults={"created_at": now}
            )
            if is_new:
                recorded.append(notice)
    return recorded
