"""The operator's commands, as the operator sees them."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from accounts import services
from accounts.models import ApiKey, Company, License, Scope

pytestmark = pytest.mark.django_db


def run(*words: str) -> tuple[str, str]:
    out, err = StringIO(), StringIO()
    call_command(*words, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_create_company_says_what_exists_and_adds_what_is_missing() -> None:
    out, _ = run("create_company", "Acme", "--license", "metered_products")
    assert out.startswith("Created company 'Acme'")
    assert "metered_products" in out

    out, _ = run("create_company", "Acme", "--license", "subscription", "--license", "metered_products")
    assert "exists already" in out
    assert "added licenses: subscription" in out
    assert "metered_products" not in out
    assert run("create_company", "Acme")[0].endswith(").\n")

    assert Company.objects.count() == 1
    assert sorted(License.objects.values_list("product", flat=True)) == ["metered_products", "subscription"]


@pytest.mark.parametrize("words", [["create_company", " "], ["create_company", "Acme", "--license", "gold"]])
def test_create_company_refuses(words: list[str]) -> None:
    with pytest.raises(CommandError):
        run(*words)
    assert Company.objects.count() == 0


@pytest.mark.parametrize(
    ("words", "scopes"),
    [
        (["--all-scopes"], Scope.values),
        (["--all-scopes", "--without-scope", "meter-report"], [s for s in Scope.values if s != "meter-report"]),
        (["--scope", "invoices-read", "--scope", "meters-read"], ["meters-read", "invoices-read"]),
    ],
)
def test_create_api_key_prints_the_key_alone(words: list[str], scopes: list[str]) -> None:
    company = services.create_company(name="Acme")

    for name_or_id in ("Acme", str(company.pk)):
        out, err = run("create_api_key", name_or_id, "--mode", "live", *words)
        assert out.count("\n") == 1
        secret = out.strip()
        key = ApiKey.objects.with_secret(secret).get()
        assert (key.environment.company, key.environment.mode, key.scopes) == (company, "live", scopes)
        assert secret not in err


@pytest.mark.parametrize(
    "words",
    [
        ["nobody", "--mode", "test", "--all-scopes"],
        ["Acme", "--mode", "stage", "--all-scopes"],
        ["Acme", "--mode", "test"],
        ["Acme", "--all-scopes"],
        ["Acme", "--mode", "test", "--scope", "everything"],
        ["Acme", "--mode", "test", "--scope", "meter-report", "--all-scopes"],
        ["Acme", "--mode", "test", "--scope", "meter-report", "--without-scope", "meter-report"],
        ["Acme", "--mode", "test", "--all-scopes", *(word for s in Scope.values for word in ("--without-scope", s))],
    ],
)
def test_create_api_key_refuses(words: list[str]) -> None:
    services.create_company(name="Acme")
    with pytest.raises(CommandError):
        run("create_api_key", *words)
    assert ApiKey.objects.count() == 0
