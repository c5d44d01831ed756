"""Companies, keys and customers."""

from datetime import UTC, datetime, timedelta

import pytest

from accounts import services
from accounts.errors import (
    AddressNotAllowed,
    ApiKeyExpired,
    ApiKeyUnknown,
    CompanyNameInvalid,
    CompanyNameTaken,
    CompanyNotFound,
    CustomerDeleted,
    LicenseRequired,
    ScopesInvalid,
)
from accounts.models import ApiKey, Company, Customer, Environment, License, Scope
from accounts.tests.factories import CompanyFactory, CustomerFactory, EnvironmentFactory, create_key
from core.metadata import MetadataChange, TooManyMetadataKeys

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)

pytestmark = pytest.mark.django_db


def test_a_company_has_both_environments_and_its_licenses() -> None:
    company = services.create_company(name=" Acme ", licenses=["subscription"], now=NOW)

    assert company.name == "Acme"
    assert {environment.mode for environment in company.environments.all()} == {"test", "live"}
    assert [(held.product, held.starts_at, held.ends_at) for held in company.licenses.all()] == [
        ("subscription", NOW, None)
    ]


@pytest.mark.parametrize(
    ("at", "opens"),
    [
        (NOW - timedelta(microseconds=1), False),
        (NOW, True),
        (NOW + timedelta(days=30), True),
        (NOW + timedelta(days=37) - timedelta(microseconds=1), True),
        (NOW + timedelta(days=37), False),
    ],
)
def test_a_license_opens_its_product_for_its_company_from_its_start_until_its_grace_is_over(
    *, at: datetime, opens: bool
) -> None:
    environment, other = (EnvironmentFactory.create(company=CompanyFactory.create(licenses=[])) for _ in range(2))
    metered = License.Product.METERED_PRODUCTS
    license_ = License.objects.create(
        company=environment.company, product=metered, starts_at=NOW, ends_at=NOW + timedelta(days=30)
    )

    def is_open(environment: Environment, product: License.Product) -> bool:
        try:
            services.require_license(environment=environment, product=product, now=at)
        except LicenseRequired:
            return False
        return True

    assert is_open(environment, metered) is opens is license_.is_in_force(at)
    assert License.objects.in_force(at).exists() is opens
    assert not is_open(environment, License.Product.SUBSCRIPTION)
    assert not is_open(other, metered)


def test_a_second_company_of_the_name_is_refused_and_leaves_nothing() -> None:
    services.create_company(name="Acme")

    with pytest.raises(CompanyNameTaken):
        services.create_company(name="Acme", licenses=["subscription"])

    assert Company.objects.count() == 1
    assert Environment.objects.count() == 2
    assert License.objects.count() == 0


@pytest.mark.parametrize("name", ["", "   ", "x" * 201])
def test_a_company_needs_a_name_that_fits(name: str) -> None:
    with pytest.raises(CompanyNameInvalid):
        services.create_company(name=name)
    assert Company.objects.count() == 0


def test_a_company_gains_only_the_licenses_that_it_lacks_now() -> None:
    company = services.create_company(name="Acme", licenses=["subscription"], now=NOW)
    License.objects.filter(company=company).update(ends_at=NOW + timedelta(days=1), grace=timedelta(days=1))

    assert services.add_licenses(company=company, licenses=["subscription"], now=NOW + timedelta(hours=47)) == []
    added = services.add_licenses(
        company=company, licenses=["metered_products", "subscription"], now=NOW + timedelta(hours=48)
    )

    assert [held.product for held in added] == ["metered_products", "subscription"]


def test_a_company_is_found_by_its_name_before_its_id() -> None:
    company = CompanyFactory.create()
    impostor = CompanyFactory.create(name=str(company.pk))

    assert services.find_company(name_or_id=company.name) == company
    assert services.find_company(name_or_id=str(company.pk)) == impostor
    assert services.find_company(name_or_id=str(impostor.pk)) == impostor
    with pytest.raises(CompanyNotFound):
        services.find_company(name_or_id="nobody")


def test_a_key_keeps_only_the_digest_of_its_secret() -> None:
    environment = EnvironmentFactory.create(mode="live")

    key, secret = services.create_api_key(
        company=environment.company, mode="live", scopes=[Scope.INVOICES_READ, Scope.METER_REPORT]
    )

    assert secret.startswith("sk_live_")
    assert len(secret) == 8 + 32
    assert secret[8:].isalnum()
    assert secret.isascii()
    key.refresh_from_db()
    assert key.environment == environment
    assert key.scopes == ["meter-report", "invoices-read"]
    assert secret.startswith(key.prefix)
    assert secret not in str(key.__dict__)
    assert services.open_with_key(secret=secret, address="", now=NOW) == key


@pytest.mark.parametrize("scopes", [[], ["everything"], ["meter-report", "everything"]])
def test_a_key_that_opens_nothing_or_the_unknown_is_refused(scopes: list[str]) -> None:
    environment = EnvironmentFactory.create()
    with pytest.raises(ScopesInvalid):
        services.create_api_key(company=environment.company, mode="test", scopes=scopes)
    assert ApiKey.objects.count() == 0


@pytest.mark.parametrize("secret", ["", "sk_test_nope", "sk_test_é", "sk_test_\ud800", "\x00"])
def test_an_unknown_secret_opens_nothing(secret: str) -> None:
    create_key(EnvironmentFactory.create())
    with pytest.raises(ApiKeyUnknown):
        services.open_with_key(secret=secret, address="", now=NOW)


def test_a_revoked_or_expired_key_opens_nothing() -> None:
    environment = EnvironmentFactory.create()
    _, revoked = create_key(environment, revoked_at=NOW)
    _, expired = create_key(environment, expires_at=NOW)

    with pytest.raises(ApiKeyUnknown):
        services.open_with_key(secret=revoked, address="", now=NOW)
    with pytest.raises(ApiKeyExpired):
        services.open_with_key(secret=expired, address="", now=NOW)
    services.open_with_key(secret=expired, address="", now=NOW - timedelta(microseconds=1))


def test_a_key_is_revoked_once_and_for_good() -> None:
    key, secret = create_key(EnvironmentFactory.create())
    services.revoke_api_key(key=key, now=NOW)
    services.revoke_api_key(key=key, now=NOW + timedelta(days=1))

    key.refresh_from_db()
    assert key.revoked_at == NOW
    with pytest.raises(ApiKeyUnknown):
        services.open_with_key(secret=secret, address="", now=NOW)


@pytest.mark.parametrize(
    ("allowed", "address"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("10.0.0.1", "::ffff:10.0.0.1"),
        ("2001:db8::1", "2001:0db8:0:0::1"),
    ],
)
def test_a_key_bound_to_addresses_opens_from_them_however_they_are_spelled(allowed: str, address: str) -> None:
    key, secret = create_key(EnvironmentFactory.create(), allowed_ips=[allowed, "192.0.2.7"])
    assert services.open_with_key(secret=secret, address=address, now=NOW) == key


@pytest.mark.parametrize("address", ["10.0.0.2", "", "unix:"])
def test_a_key_bound_to_addresses_opens_from_no_other(address: str) -> None:
    key, secret = create_key(EnvironmentFactory.create(), allowed_ips=["10.0.0.1", "192.0.2.7"])
    with pytest.raises(AddressNotAllowed):
        services.open_with_key(secret=secret, address=address, now=NOW)
    key.refresh_from_db()
    assert key.last_used_at is None


def test_last_use_is_noted_once_a_minute() -> None:
    key, secret = create_key(EnvironmentFactory.create())
    noted = []
    for seconds in (0, 59, 60, 61, 62):
        services.open_with_key(secret=secret, address="", now=NOW + timedelta(seconds=seconds))
        key.refresh_from_db()
        assert key.last_used_at is not None
        noted.append((key.last_used_at - NOW).total_seconds())
    assert noted == [0, 0, 0, 61, 61]


def test_an_update_changes_what_it_names_and_merges_metadata() -> None:
    customer = services.create_customer(
        environment=EnvironmentFactory.create(),
        now=NOW,
        name="Ada",
        email="ada@example.com",
        metadata=MetadataChange({"a": "1", "b": "2"}),
    )

    services.update_customer(customer=customer, now=NOW, email="", metadata=MetadataChange({"a": None, "c": "3"}))

    customer.refresh_from_db()
    assert (customer.name, customer.email, customer.metadata) == ("Ada", "", {"b": "2", "c": "3"})
    assert customer.created_at == NOW

    services.update_customer(customer=customer, now=NOW, metadata=MetadataChange({"d": "4"}, clear=True))
    customer.refresh_from_db()
    assert customer.metadata == {"d": "4"}


def test_metadata_has_at_most_fifty_keys_after_the_merge() -> None:
    fifty = {str(number): "x" for number in range(50)}
    customer = services.create_customer(
        environment=EnvironmentFactory.create(), now=NOW, metadata=MetadataChange(fifty)
    )

    services.update_customer(customer=customer, now=NOW, metadata=MetadataChange({"0": None, "new": "x"}))
    with pytest.raises(TooManyMetadataKeys):
        services.update_customer(customer=customer, now=NOW, name="Eve", metadata=MetadataChange({"newer": "x"}))

    customer.refresh_from_db()
    assert customer.name == ""
    assert customer.metadata == {str(number): "x" for number in range(1, 50)} | {"new": "x"}


def test_a_deleted_customer_stays_as_it_was() -> None:
    customer = CustomerFactory.create(name="Ada")
    services.delete_customer(customer=customer, now=NOW)

    with pytest.raises(CustomerDeleted):
        services.delete_customer(customer=customer, now=NOW + timedelta(days=1))
    with pytest.raises(CustomerDeleted):
        services.update_customer(customer=customer, now=NOW, name="Eve")

    customer.refresh_from_db()
    assert (customer.name, customer.deleted_at) == ("Ada", NOW)
    assert not Customer.objects.of(customer.environment).present().exists()


@pytest.mark.parametrize("overlap", [timedelta(0), timedelta(hours=1), timedelta(days=7)])
def test_a_rolled_key_has_a_successor_and_opens_for_the_time_that_was_given(overlap: timedelta) -> None:
    environment = EnvironmentFactory.create()
    ends_at = NOW + timedelta(days=1)
    key, secret = services.create_api_key(
        company=environment.company, mode=environment.mode, scopes=["meter-report"], name="shop", expires_at=ends_at
    )
    ApiKey.objects.filter(pk=key.pk).update(allowed_ips=["10.0.0.1"])

    def opens(secret: str, at: datetime) -> bool:
        try:
            services.open_with_key(secret=secret, address="10.0.0.1", now=at)
        except (ApiKeyUnknown, ApiKeyExpired):
            return False
        return True

    successor, new = services.roll_api_key(key=key, overlap=overlap, now=NOW)
    key.refresh_from_db()

    assert successor.environment == environment
    assert (successor.name, successor.scopes, successor.expires_at) == ("shop", ["meter-report"], ends_at)
    assert successor.allowed_ips == ["10.0.0.1"]
    assert new != secret
    moment = timedelta(microseconds=1)
    until = min(NOW + overlap, ends_at)
    if overlap:
        assert opens(secret, until - moment)
    # Its own end stands where it comes before.
    assert not opens(secret, until)
    assert opens(new, ends_at - moment)

    count = ApiKey.objects.count()
    with pytest.raises((ApiKeyUnknown, ApiKeyExpired)):
        services.roll_api_key(key=key, overlap=overlap, now=until)
    assert ApiKey.objects.count() == count
