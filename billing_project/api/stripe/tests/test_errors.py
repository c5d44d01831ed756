"""Every refusal of the domain can be said in Stripe's words."""

from collections.abc import Iterator
from importlib import import_module

import pytest
from django.apps import apps

from billing_project.api.stripe import errors
from core.errors import BillingError


def families() -> Iterator[type[BillingError]]:
    for app in apps.get_app_configs():
        if app.module is not None and (app.name in {"meters", "usage", "accounts", "subscriptions", "invoices"}):
            import_module(f"{app.name}.errors")
    waiting = list(BillingError.__subclasses__())
    while waiting:
        family = waiting.pop()
        yield family
        waiting.extend(family.__subclasses__())


LEAVES = sorted({family for family in families() if not family.__subclasses__()}, key=lambda leaf: leaf.__qualname__)


@pytest.mark.parametrize("error", LEAVES, ids=lambda error: error.__name__)
def test_every_refusal_has_a_saying(error: type[BillingError]) -> None:
    assert errors.saying_of(error) is not None, f"{error.__name__} is missing in TABLE"


def test_there_are_refusals_to_say() -> None:
    assert len(LEAVES) > 40


def test_the_table_holds_nothing_but_refusals_of_the_domain() -> None:
    assert all(issubclass(error, BillingError) for error in errors.TABLE)
    # The root would make the walk above pass for whatever is added.
    assert BillingError not in errors.TABLE


@pytest.mark.parametrize(
    ("secret", "shown"),
    [
        ("", ""),
        ("short", "*****"),
        ("sk_test_Iy285hgDhnV8Pe2A74FRKyu68EOriAm8", "sk_test_" + "*" * 28 + "iAm8"),
    ],
)
def test_keys_are_masked(secret: str, shown: str) -> None:
    assert errors._masked(secret) == shown
