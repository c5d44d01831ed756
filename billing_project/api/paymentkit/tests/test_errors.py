"""Every refusal of the domain can be said in Payment Kit's words."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings

from accounts.errors import LicenseRequired
from billing_project.api.paymentkit import errors
from billing_project.api.paymentkit.wire import PaymentKitError
from core.errors import BillingError, NotFound
from meters.errors import EventNameUsed


def families() -> Iterator[type[BillingError]]:
    for app in apps.get_app_configs():
        folder = Path(app.path)
        if folder.parent == settings.BASE_DIR and (folder / "errors.py").exists():
            import_module(f"{app.name}.errors")
    waiting = list(BillingError.__subclasses__())
    while waiting:
        family = waiting.pop()
        yield family
        waiting.extend(family.__subclasses__())


LEAVES = sorted({family for family in families() if not family.__subclasses__()}, key=lambda leaf: leaf.__qualname__)


def test_there_are_refusals_to_say() -> None:
    assert len(LEAVES) > 80


@pytest.mark.parametrize("error", [leaf for leaf in LEAVES if errors.saying_of(leaf) is not errors._own_words])
def test_what_is_not_said_in_its_own_words_has_a_status_that_clients_know(error: type[BillingError]) -> None:
    refusal = error.__new__(error)
    refusal.__dict__ |= {"kind": "meter", "identifier": "x", "product": "subscription"}

    said = errors.saying_of(error)(refusal)
    assert said.status in {400, 401, 403, 404, 503}
    assert said.message


def test_all_others_are_400_in_their_own_words() -> None:
    others = [leaf for leaf in LEAVES if errors.saying_of(leaf) is errors._own_words]
    assert len(others) > 60
    said = errors.spoken(EventNameUsed("api.calls"))
    assert said is not None
    assert (said.status, said.message) == (400, "A meter with the event name 'api.calls' exists already")


def test_the_table_holds_nothing_but_refusals_of_the_domain() -> None:
    assert all(issubclass(error, BillingError) for error in errors.TABLE)
    # The root would make the walk above pass for whatever is added.
    assert BillingError not in errors.TABLE


def test_what_is_not_found_is_called_by_its_name() -> None:
    said = errors.spoken(NotFound("credit_grant", "x"))
    assert said is not None
    assert (said.status, said.message) == (404, "Credit grant not found: x")


def test_a_missing_license_is_named() -> None:
    said = errors.spoken(LicenseRequired("subscription"))
    assert said is not None
    assert (said.status, "subscription" in said.message) == (403, True)


def test_only_refusals_are_spoken() -> None:
    assert errors.spoken(ValueError()) is None
    assert isinstance(errors.spoken(PaymentKitError("x")), PaymentKitError)
