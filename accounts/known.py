"""What every request asks of the accounts, kept in memory for half a second (see :mod:`core.caches`)."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from django.db import connection

from accounts.models import ApiKey, License
from core.caches import BriefCache

# Environment and customer, each as a number: UUIDs hash and compare themselves in Python, which shows at thousands of
# events a second.
CustomerKey = tuple[int, int]


class KnownCustomer(msgspec.Struct, frozen=True):
    """A customer who is there, and the time of the test clock that they live at, if they do."""

    clock: datetime | None

    def now(self, wall: datetime) -> datetime:
        return self.clock or wall


def _read_keys(digests: Collection[str]) -> Mapping[str, ApiKey]:
    found = ApiKey.objects.filter(digest__in=digests).select_related("environment__company")
    return {key.digest: key for key in found}


def _read_keys_by_id(ids: Collection[UUID]) -> Mapping[UUID, ApiKey]:
    return ApiKey.objects.select_related("environment__company").in_bulk(ids)


def _read_licenses(companies: Collection[UUID]) -> Mapping[UUID, Sequence[License]]:
    found = defaultdict(list)
    for license_ in License.objects.filter(company__in=companies):
        found[license_.company_id].append(license_)
    return found


def customer_key(environment_id: UUID, customer_id: UUID) -> CustomerKey:
    """What :data:`customers` knows a customer by."""
    return environment_id.int, customer_id.int


def _read_customers(customers: Collection[CustomerKey]) -> Mapping[CustomerKey, KnownCustomer]:
    # By hand: for a batch of events, composing the statement would take longer than asking.
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT customer.environment_id, customer.id, clock.frozen_at
              FROM json_to_recordset(%s) AS wanted (environment_id uuid, id uuid)
              JOIN accounts_customer AS customer USING (environment_id, id)
              LEFT JOIN accounts_testclock AS clock ON clock.id = customer.test_clock_id
             WHERE customer.deleted_at IS NULL
            """,
            [_wanted(customers)],
        )
        return {
            customer_key(environment_id, pk): KnownCustomer(frozen_at)
            for environment_id, pk, frozen_at in cursor.fetchall()
        }


def _wanted(customers: Collection[CustomerKey]) -> str:
    rows = [{"environment_id": f"{environment:032x}", "id": f"{pk:032x}"} for environment, pk in customers]
    return msgspec.json.encode(rows).decode()


# By the secret's digest, revoked and expired ones among them. Whoever takes one out does not change it.
api_keys: BriefCache[str, ApiKey] = BriefCache(_read_keys, most=10_000)
# For sessions, which name their key by its id.
api_keys_by_id: BriefCache[UUID, ApiKey] = BriefCache(_read_keys_by_id, most=10_000)
# By company, whatever their dates.
licenses: BriefCache[UUID, Sequence[License]] = BriefCache(_read_licenses, most=10_000)
# The deleted are not there.
customers: BriefCache[CustomerKey, KnownCustomer] = BriefCache(_read_customers, most=100_000)
