"""Licenses run out at exact instants, and each is told of once."""

import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from accounts.licenses import check_licenses, notices_due
from accounts.models import Company, License, LicenseNotice
from accounts.tests.factories import CompanyFactory

Kind = LicenseNotice.Kind
START = datetime(2026, 1, 1, tzinfo=UTC)
END = datetime(2026, 7, 1, tzinfo=UTC)
GRACE = timedelta(days=7)
TICK = timedelta(microseconds=1)


def license_of(company: Company | None = None, **fields: object) -> License:
    values = {"product": License.Product.SUBSCRIPTION, "starts_at": START, "ends_at": END, "grace": GRACE, **fields}
    return License.objects.create(company=company or CompanyFactory.create(licenses=[]), **values)


def kinds_of(license_: License) -> list[str]:
    return list(license_.notices.order_by("created_at", "pk").values_list("kind", flat=True))


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (END - timedelta(days=30) - TICK, []),
        (END - timedelta(days=30), [Kind.ENDS_IN_30_DAYS]),
        (END - timedelta(days=7) - TICK, [Kind.ENDS_IN_30_DAYS]),
        (END - timedelta(days=7), [Kind.ENDS_IN_7_DAYS]),
        (END - timedelta(days=1) - TICK, [Kind.ENDS_IN_7_DAYS]),
        (END - timedelta(days=1), [Kind.ENDS_IN_1_DAY]),
        (END - TICK, [Kind.ENDS_IN_1_DAY]),
        (END, [Kind.IN_GRACE]),
        (END + GRACE - TICK, [Kind.IN_GRACE]),
        (END + GRACE, [Kind.IN_GRACE, Kind.ENDED]),
        (END + timedelta(days=400), [Kind.IN_GRACE, Kind.ENDED]),
    ],
)
def test_what_is_due_changes_at_exact_instants(at: datetime, expected: list[str]) -> None:
    assert notices_due(ends_at=END, grace=GRACE, at=at) == expected


def test_without_grace_the_end_is_the_end() -> None:
    assert notices_due(ends_at=END, grace=timedelta(0), at=END - TICK) == [Kind.ENDS_IN_1_DAY]
    assert notices_due(ends_at=END, grace=timedelta(0), at=END) == [Kind.ENDED]


@pytest.mark.django_db
def test_notices_agree_with_the_state_that_access_asks_for() -> None:
    license_ = license_of()

    for at, state, in_force in (
        (END - TICK, License.State.ACTIVE, True),
        (END, License.State.IN_GRACE, True),
        (END + GRACE - TICK, License.State.IN_GRACE, True),
        (END + GRACE, License.State.ENDED, False),
    ):
        assert license_.state(at) == state
        assert License.objects.in_force(at).exists() is in_force
        assert (Kind.ENDED in notices_due(ends_at=END, grace=GRACE, at=at)) is not in_force


@pytest.mark.django_db
def test_a_license_that_is_watched_all_along_is_told_of_five_times() -> None:
    license_ = license_of()

    day = END - timedelta(days=40)
    while day < END + timedelta(days=20):
        check_licenses(now=day)
        check_licenses(now=day)
        day += timedelta(hours=6)

    assert kinds_of(license_) == [
        Kind.ENDS_IN_30_DAYS,
        Kind.ENDS_IN_7_DAYS,
        Kind.ENDS_IN_1_DAY,
        Kind.IN_GRACE,
        Kind.ENDED,
    ]
    first = license_.notices.get(kind=Kind.ENDS_IN_30_DAYS)
    assert (first.created_at, first.ends_at) == (END - timedelta(days=30), END)


@pytest.mark.django_db
def test_after_a_pause_only_the_nearest_warning_is_given_but_every_transition() -> None:
    license_ = license_of()

    assert [notice.kind for notice in check_licenses(now=END - timedelta(hours=3))] == [Kind.ENDS_IN_1_DAY]
    assert [notice.kind for notice in check_licenses(now=END + timedelta(days=90))] == [Kind.IN_GRACE, Kind.ENDED]
    assert check_licenses(now=END + timedelta(days=91)) == []
    assert kinds_of(license_) == [Kind.ENDS_IN_1_DAY, Kind.IN_GRACE, Kind.ENDED]


@pytest.mark.django_db
def test_a_renewal_starts_anew() -> None:
    license_ = license_of()
    check_licenses(now=END - timedelta(days=1))
    check_licenses(now=END)

    License.objects.filter(pk=license_.pk).update(ends_at=END + timedelta(days=365))
    assert check_licenses(now=END + GRACE) == []
    renewed = check_licenses(now=END + timedelta(days=335))

    assert [(notice.kind, notice.ends_at) for notice in renewed] == [
        (Kind.ENDS_IN_30_DAYS, END + timedelta(days=365)),
    ]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("starts_at", "product", "is_silent"),
    [
        (END, License.Product.SUBSCRIPTION, True),
        (END - timedelta(days=10), License.Product.SUBSCRIPTION, True),
        (END + TICK, License.Product.SUBSCRIPTION, False),
        (END, License.Product.METERED_PRODUCTS, False),
    ],
)
def test_another_license_that_goes_on_without_a_gap_silences_the_alarm(
    starts_at: datetime, product: str, *, is_silent: bool
) -> None:
    license_ = license_of()
    license_of(license_.company, product=product, starts_at=starts_at, ends_at=None)

    assert (check_licenses(now=END - timedelta(days=1)) == []) is is_silent


@pytest.mark.django_db
def test_another_companys_license_silences_nothing() -> None:
    license_of()
    license_of(ends_at=None)

    assert [notice.kind for notice in check_licenses(now=END)] == [Kind.IN_GRACE]


@pytest.mark.django_db
def test_what_has_not_started_or_does_not_end_is_not_spoken_of() -> None:
    license_of(starts_at=END - timedelta(days=2))
    license_of(ends_at=None)

    assert check_licenses(now=END - timedelta(days=2) - TICK) == []
    assert [notice.kind for notice in check_licenses(now=END - timedelta(days=2))] == [Kind.ENDS_IN_7_DAYS]


@pytest.mark.django_db(transaction=True)
def test_many_runs_at_once_record_each_notice_once() -> None:
    licenses = [license_of() for _ in range(5)]
    recorded: list[LicenseNotice] = []
    start = threading.Barrier(6)

    def run() -> None:
        start.wait()
        try:
            recorded.extend(check_licenses(now=END + GRACE))
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(recorded) == LicenseNotice.objects.count() == 2 * len(licenses)
