"""Writes of the accounts: companies, API keys, customers, and the answers that a re-sent request gets again."""

import hashlib
import ipaddress
import secrets
import string
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypedDict, Unpack
from uuid import UUID
from zoneinfo import available_timezones

from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone

from accounts import known
from accounts.clocks import hold_clock, join_clock
from accounts.errors import (
    AddressNotAllowed,
    ApiKeyExpired,
    ApiKeyUnknown,
    CompanyNameInvalid,
    CompanyNameTaken,
    CompanyNotFound,
    CustomerDeleted,
    IdempotencyKeyInUse,
    IdempotencyKeyReused,
    LicenseRequired,
    OverdueDaysMissing,
    ScopesInvalid,
    TimeZoneUnknown,
)
from accounts.models import (
    ApiKey,
    ApiRequest,
    Company,
    Customer,
    CustomerNote,
    Environment,
    IdempotencyRecord,
    License,
    Mode,
    OverdueOutcome,
    Scope,
    TestClock,
)
from core.actors import identify
from core.db import Statement, refusing, run_together
from core.ids import first_id, new_id
from core.metadata import MetadataChange
from webhooks.kinds import Kind
from webhooks.services import record, take_snapshots

IDEMPOTENCY_RETENTION = timedelta(hours=24)

_SECRET_ALPHABET = string.ascii_letters + string.digits
# 62 ** 32 is a little over 2 ** 190.
_SECRET_LENGTH = 32
_SHOWN_OF_SECRET = 4
_LAST_USED_PRECISION = timedelta(minutes=1)
REQUEST_RETENTION = timedelta(days=30)
_PRUNE_BATCH = 5_000
_NAME_LENGTH = 200


def create_company(*, name: str, licenses: Iterable[str] = (), now: datetime | None = None) -> Company:
    """Make a company with its test and its live environment, and licenses that start at once and do not end.

    :param licenses: values of ``License.Product``
    :raises CompanyNameInvalid: if the name is blank or longer than 200 characters
    :raises CompanyNameTaken: if there is a company of that name
    """
    name = name.strip()
    if not 0 < len(name) <= _NAME_LENGTH:
        raise CompanyNameInvalid(name)
    with refusing({"accounts_company_name_key": CompanyNameTaken(name)}):
        company = Company.objects.create(name=name)
        Environment.objects.bulk_create(Environment(company=company, mode=mode) for mode in Mode)
        add_licenses(company=company, licenses=licenses, now=now)
    return company


class BillingRules(TypedDict, total=False):
    """How a company bills."""

    name: str
    billing_zone: str
    overdue_days: int | None
    overdue_outcome: str
    flat_fee_at_zero: bool
    postal_address: str
    reply_to: str
    mails_documents: bool
    grace_minutes: int
    recharges: bool
    upcoming_days: int
    due_soon_days: int
    paper: str
    approval_days: int


@transaction.atomic
def update_company(*, company: Company, **rules: Unpack[BillingRules]) -> Company:
    """Change what is given, leave the rest. Subscriptions that have begun keep their time zone.

    :raises TimeZoneUnknown: if there is no zone of the name ``billing_zone``
    :raises OverdueDaysMissing: if something shall follow when an invoice stays open, but not after how many days
    """
    company = Company.objects.select_for_update(no_key=True).get(pk=company.pk)
    for name, value in rules.items():
        setattr(company, name, value)
    if company.billing_zone and company.billing_zone not in available_timezones():
        raise TimeZoneUnknown(company.billing_zone)
    if company.overdue_outcome != OverdueOutcome.PAST_DUE and company.overdue_days is None:
        raise OverdueDaysMissing
    company.save(update_fields=[*rules])
    return company


@transaction.atomic
def add_licenses(*, company: Company, licenses: Iterable[str], now: datetime | None = None) -> list[License]:
    """Give a company the licenses that it does not have in force; they start at once and do not end.

    :param licenses: values of ``License.Product``
    :returns: what was added
    """
    now = now or timezone.now()
    # Two at once would both find a license missing; the row's lock makes the second one look again.
    Company.objects.select_for_update(no_key=True).get(pk=company.pk)
    held = set(License.objects.filter(company=company).in_force(now).values_list("product", flat=True))
    missing = [License.Product(product) for product in dict.fromkeys(licenses) if product not in held]
    return [License.objects.create(company=company, product=product, starts_at=now) for product in missing]


def require_license(*, environment: Environment, product: License.Product, now: datetime | None = None) -> None:
    """Hold a company to its licenses. A change of them counts within a second.

    :param now: the wall's time, also for what happens by a test clock; absent: this instant
    :raises LicenseRequired: if none of that product is in force, grace included
    """
    now = now or timezone.now()
    held = known.licenses.get(environment.company_id) or ()
    if not any(license_.product == product and license_.is_in_force(now) for license_ in held):
        raise LicenseRequired(product)


def find_company(*, name_or_id: str) -> Company:
    """The company of that name, or else of that id.

    :raises CompanyNotFound: if there is none
    """
    named = Q(name=name_or_id)
    with suppress(ValueError):  # What is no id can only be a name.
        named |= Q(pk=UUID(name_or_id))
    matches = sorted(Company.objects.filter(named), key=lambda company: company.name != name_or_id)
    if not matches:
        raise CompanyNotFound(name_or_id)
    return matches[0]


def create_api_key(
    *, company: Company, mode: str, scopes: Collection[str], name: str = "", expires_at: datetime | None = None
) -> tuple[ApiKey, str]:
    """Make a key of one of the company's environments.

    :param mode: a value of ``Mode``
    :param scopes: values of ``Scope``
    :returns: the key and its secret, which cannot be read again
    :raises ScopesInvalid: if there is no scope, or one that is unknown
    """
    unknown = [scope for scope in scopes if scope not in Scope.values]
    if unknown or not scopes:
        raise ScopesInvalid(unknown)
    environment = Environment.objects.get(company=company, mode=Mode(mode))
    kind = f"sk_{environment.mode}_"
    secret = kind + "".join(secrets.choice(_SECRET_ALPHABET) for _ in range(_SECRET_LENGTH))
    key = ApiKey.objects.create(
        environment=environment,
        name=name,
        prefix=secret[: len(kind) + _SHOWN_OF_SECRET],
        digest=ApiKey.digest_of(secret),
        scopes=[scope for scope in Scope.values if scope in scopes],
        expires_at=expires_at,
    )
    return key, secret


@transaction.atomic
def roll_api_key(*, key: ApiKey, overlap: timedelta, now: datetime) -> tuple[ApiKey, str]:
    """Put a new key in the place of one, which still opens for a while, so that programs can change over.

    :param overlap: how long; zero, and the old one opens nothing from now on. An earlier end of its own stands
    :returns: the new key, with the same name, scopes, addresses and end, and its secret, which cannot be read again
    :raises ApiKeyUnknown: if the key was revoked, by another person at the same moment, perhaps
    :raises ApiKeyExpired: if its time is over
    """
    key = ApiKey.objects.select_for_update(of=("self",)).select_related("environment__company").get(pk=key.pk)
    if key.revoked_at is not None:
        raise ApiKeyUnknown(key.prefix)
    if not key.is_usable(now):
        raise ApiKeyExpired(key.prefix)
    environment = key.environment
    successor, secret = create_api_key(
        company=environment.company, mode=environment.mode, scopes=key.scopes, name=key.name, expires_at=key.expires_at
    )
    successor.allowed_ips = key.allowed_ips
    successor.save(update_fields=["allowed_ips"])
    if not overlap:
        revoke_api_key(key=key, now=now)
    else:
        ApiKey.objects.filter(pk=key.pk).update(expires_at=min(filter(None, (key.expires_at, now + overlap))))
        _forget_on_commit(key)
    return successor, secret


def revoke_api_key(*, key: ApiKey, now: datetime) -> None:
    """Have a key open nothing from now on. Twice is as good as once: the first instant stands."""
    ApiKey.objects.filter(pk=key.pk, revoked_at__isnull=True).update(revoked_at=now)
    _forget_on_commit(key)


def _forget_on_commit(key: ApiKey) -> None:
    """Have what this process remembers of a key looked up anew; other processes do so within a second."""

    def forget() -> None:
        known.api_keys.forget(key.digest)
        known.api_keys_by_id.forget(key.pk)

    transaction.on_commit(forget)


def open_with_key(*, secret: str, address: str, now: datetime) -> ApiKey:
    """Find the key that a caller shows, and note that it was used (to the minute).

    :param address: the caller's network address; empty if it is not known
    :returns: the key, with its environment and company loaded; a change of it counts within a second
    :raises ApiKeyUnknown: if the secret opens nothing or its key was revoked
    :raises ApiKeyExpired: if its time is over
    :raises AddressNotAllowed: if the key is bound to other addresses
    """
    # A secret is ASCII; what is not cannot match, and may not even be encodable.
    key = known.api_keys.get(ApiKey.digest_of(secret)) if secret.isascii() else None
    if key is None or key.revoked_at is not None:
        raise ApiKeyUnknown(secret)
    check_usable(key=key, secret=secret, address=address, now=now)
    identify(kind="key", id=key.pk, name=str(key))
    stale = now - _LAST_USED_PRECISION
    if key.last_used_at is None or key.last_used_at < stale:
        # This process has others look at the same object; the database is asked again for those of other processes. So
        # a burst of requests writes once.
        key.last_used_at = now
        unnoted = Q(last_used_at__isnull=True) | Q(last_used_at__lt=stale)
        ApiKey.objects.filter(unnoted, pk=key.pk).update(last_used_at=now)
    return key


def check_usable(*, key: ApiKey, secret: str, address: str, now: datetime) -> None:
    """Hold a key that was not revoked against the time and the caller's address.

    :param secret: what the caller showed
    :raises ApiKeyExpired: :raises AddressNotAllowed:
    """
    if not key.is_usable(now):
        raise ApiKeyExpired(secret)
    if key.allowed_ips and _canonical(address) not in {_canonical(allowed) for allowed in key.allowed_ips}:
        raise AddressNotAllowed(address)


def _canonical(address: str) -> str:
    """One spelling per address; an IPv4 address seen through an IPv6 socket counts as itself."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return ""
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return str(mapped or parsed)


class CustomerFields(TypedDict, total=False):
    """What a company knows of a customer; an empty text means "not known"."""

    name: str
    email: str
    phone: str
    description: str
    did: str
    grace_minutes: int | None
    address: dict[str, Any] | None


@transaction.atomic
def create_customer(
    *,
    environment: Environment,
    now: datetime,
    metadata: MetadataChange | None = None,
    test_clock: TestClock | None = None,
    **fields: Unpack[CustomerFields],
) -> Customer:
    """Make a customer.

    :param now: the wall's time; a customer on a test clock begins at the clock's
    :raises TooManyMetadataKeys: if the metadata has more than 50 keys
    :raises NotFound: if the test clock is not the environment's, or was deleted
    :raises ClockAdvancing: :raises TooManyCustomers: if the test clock takes in nobody
    """
    if test_clock is not None:
        now = join_clock(test_clock, environment)
    customer = Customer.objects.create(
        environment=environment,
        metadata=(metadata or MetadataChange()).applied_to({}),
        test_clock=test_clock,
        created_at=now,
        **fields,
    )
    record(Kind.CUSTOMER_CREATED, rows=[customer], now=now)
    return customer


@transaction.atomic
def update_customer(
    *, customer: Customer, now: datetime, metadata: MetadataChange | None = None, **fields: Unpack[CustomerFields]
) -> Customer:
    """Change what is given, leave the rest.

    :raises CustomerDeleted: if the customer was deleted
    :raises ClockAdvancing: if the customer's test clock is on the move
    :raises TooManyMetadataKeys: if the metadata would have more than 50 keys
    """
    hold_clock(customer, now=now)
    # Locked, since metadata is merged into what stands there: two merges at once must both be seen.
    customer = Customer.objects.select_for_update(no_key=True).get(pk=customer.pk)
    if customer.deleted_at is not None:
        raise CustomerDeleted(customer.pk)
    before = take_snapshots([customer])
    for name, value in fields.items():
        setattr(customer, name, value)
    if metadata is not None:
        customer.metadata = metadata.applied_to(customer.metadata)
    customer.save(update_fields=[*fields, "metadata"])
    record(Kind.CUSTOMER_UPDATED, rows=[customer], now=now, before=before)
    return customer


@transaction.atomic
def delete_customer(*, customer: Customer, now: datetime) -> Customer:
    """Close a customer for good. The row stays, since usage and invoices go on pointing at it.

    Whoever calls this has ended the customer's subscriptions in the same transaction.

    :raises CustomerDeleted: if that was done before
    """
    # The full lock keeps out whoever is about to make a row that refers to the customer.
    customer = Customer.objects.select_for_update().get(pk=customer.pk)
    if customer.deleted_at is not None:
        raise CustomerDeleted(customer.pk)
    record(Kind.CUSTOMER_DELETED, rows=[customer], now=now)
    customer.deleted_at = now
    customer.save(update_fields=["deleted_at"])
    closed = known.customer_key(customer.environment_id, customer.pk)
    transaction.on_commit(lambda: known.customers.forget(closed))
    return customer


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request was answered: enough to say it again, word for word."""

    status: int
    body: str
    request_id: str


def answer_once(
    *,
    environment: Environment,
    key: str,
    fingerprint: str,
    now: datetime,
    work: Callable[[], Answer],
) -> tuple[Answer, bool]:
    """Do a request's work unless a request with the same idempotency key was answered in the last 24 hours.

    Work and answer are committed together: a process that dies in between leaves neither, and one that committed both
    is never repeated. If ``work`` raises, nothing is stored and the key stays free.

    :param fingerprint: hash of everything that makes the request what it is; at most 64 characters
    :returns: the answer, and whether it is a replay of the first one
    :raises IdempotencyKeyInUse: if the first request is still being worked on
    :raises IdempotencyKeyReused: if the key was used for a request with another fingerprint
    """
    with transaction.atomic():
        first = _claim(environment, key)
        if first is not None and first.created_at > now - IDEMPOTENCY_RETENTION:
            if first.fingerprint != fingerprint:
                raise IdempotencyKeyReused(key)
            return first.answer, True
        answer = work()
        with connection.cursor() as cursor:
            # Whoever holds the claim is alone here, so an old answer under the key is simply replaced.
            kept: list[Any] = [new_id(), environment.pk, key, fingerprint]
            cursor.execute(_KEEP, [*kept, answer.request_id, answer.status, answer.body, now])
        return answer, False


class _FirstAnswer(NamedTuple):
    fingerprint: str
    created_at: datetime
    answer: Answer


# Plain statements, since they stand around every write: composing them takes longer than running them.
_RECORDS = IdempotencyRecord._meta.db_table  # noqa: SLF001 (Django documents it)
_ANSWER = f"""
    SELECT fingerprint, created_at, status, body, request_id FROM {_RECORDS} WHERE environment_id = %s AND key = %s
"""  # noqa: S608 (a name of ours)
_KEEP = f"""
    INSERT INTO {_RECORDS} (id, environment_id, key, fingerprint, request_id, status, body, created_at)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
    ON CONFLICT (environment_id, key) DO UPDATE
       SET fingerprint = excluded.fingerprint, request_id = excluded.request_id, status = excluded.status,
           body = excluded.body, created_at = excluded.created_at
"""  # noqa: S608 (a name of ours)


def _claim(environment: Environment, key: str) -> _FirstAnswer | None:
    """Make this transaction the only one at work on the key, until it ends, however it ends.

    :returns: what is kept under the key
    :raises IdempotencyKeyInUse: if another one is at work on it
    """
    # A lock and not a row that says "in flight": it goes with the connection, so that a crash never blocks a key.
    name = f"idempotency:{environment.pk}:{key}".encode()
    number = int.from_bytes(hashlib.sha256(name).digest()[:8], signed=True)
    # Two statements, since the second must see what was committed before the lock came free.
    [(claimed,)], kept = run_together(
        [Statement("SELECT pg_try_advisory_xact_lock(%s)", [number]), Statement(_ANSWER, [environment.pk, key])]
    )
    if not claimed:
        raise IdempotencyKeyInUse(key)
    for fingerprint, created_at, status, body, request_id in kept:
        return _FirstAnswer(fingerprint, created_at, Answer(status, body, request_id))
    return None


def add_customer_note(*, customer: Customer, text: str, written_by: str, now: datetime) -> CustomerNote:
    """Keep what a person wants to have remembered of a customer. It stays as it is.

    :param text: of 1 to 2,000 characters
    """
    return CustomerNote.objects.create(
        environment_id=customer.environment_id, customer=customer, text=text, written_by=written_by, written_at=now
    )


def keep_requests(requests: Sequence[ApiRequest]) -> None:
    """Write down how requests were answered. One that is known by its id already stays as it is."""
    ApiRequest.objects.bulk_create(requests, ignore_conflicts=True)


def prune_requests(*, now: datetime) -> int:
    """Delete the requests of long ago, in short transactions.

    :returns: how many there were
    """
    total = 0
    # Ids tell the time, and the primary key is their order.
    old = ApiRequest.objects.filter(pk__lt=first_id(now - REQUEST_RETENTION)).order_by("pk")
    while True:
        deleted, _ = ApiRequest.objects.filter(pk__in=list(old.values_list("pk", flat=True)[:_PRUNE_BATCH])).delete()
        total += deleted
        if deleted < _PRUNE_BATCH:
            return total


def prune_idempotency_records(*, now: datetime) -> int:
    """Delete the answers that nobody may ask for again, in short transactions.

    :returns: how many there were
    """
    total = 0
    while True:
        old = IdempotencyRecord.objects.filter(created_at__lte=now - IDEMPOTENCY_RETENTION)
        # Rows that a request is replacing right now are locked, and no longer old: leave them.
        batch = old.order_by("created_at").select_for_update(skip_locked=True).values_list("pk", flat=True)
        with transaction.atomic():
            deleted, _ = IdempotencyRecord.objects.filter(pk__in=list(batch[:_PRUNE_BATCH])).delete()
        total += deleted
        if deleted < _PRUNE_BATCH:
            return total
