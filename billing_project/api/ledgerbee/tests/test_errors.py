"""Every refusal of the domain can be said in LedgerBee's words."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from uuid import uuid4

import pytest
from django.apps import apps
from django.conf import settings
from django.test import RequestFactory

from accounts.errors import AddressNotAllowed
from billing_project.api.ledgerbee import errors
from billing_project.api.ledgerbee.wire import LedgerBeeError
from core.errors import BillingError, NotFound
from invoices.errors import InvoiceNotDraft


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
NEAR = [leaf for leaf in LEAVES if leaf.__module__.partition(".")[0] in errors.APPS]
FAR = [leaf for leaf in LEAVES if not any(family in errors.TABLE for family in leaf.__mro__)]


def test_there_are_refusals_to_say() -> None:
    assert len(NEAR) > 25
    assert len(FAR) > 15


@pytest.mark.parametrize("error", NEAR, ids=lambda error: error.__name__)
def test_every_refusal_of_the_apps_behind_this_door_has_its_own_saying(error: type[BillingError]) -> None:
    assert any(family in errors.TABLE for family in error.__mro__), f"{error.__name__} is missing in TABLE"


def test_refusals_of_the_other_apps_are_rules_with_codes_of_their_own() -> None:
    refusals = [error.__new__(error) for error in FAR]
    said = [errors.saying_of(type(refusal))(refusal) for refusal in refusals]

    assert {error.status for error in said} == {400}
    assert len({error.code for error in said}) == len(said)
    assert all(error.code.replace("_", "").isupper() for error in said)
    assert errors._code_of(InvoiceNotDraft.__new__(InvoiceNotDraft)).code == "INVOICE_NOT_DRAFT"


def test_the_table_holds_nothing_but_refusals_of_the_domain() -> None:
    assert all(issubclass(error, BillingError) for error in errors.TABLE)
    # The root would make the walk above pass for whatever is added.
    assert BillingError not in errors.TABLE


def test_what_is_not_found_is_called_by_its_name() -> None:
    said = errors.spoken(NotFound("credit_grant", str(uuid4())))

    assert said is not None
    assert (said.status, said.code, said.message) == (404, "CREDIT_GRANT_NOT_FOUND", "Credit grant not found")


def test_an_address_that_is_not_allowed_says_so() -> None:
    said = errors.spoken(AddressNotAllowed("1.2.3.4"))

    assert said is not None
    assert (said.status, said.code, said.details) == (401, "UNAUTHORIZED", {"reason": "ip_whitelist_mismatch"})


def test_what_nobody_foresaw_is_logged_and_not_told(caplog: pytest.LogCaptureFixture) -> None:
    response = errors.error_response(RequestFactory().get("/api/v1/x?secret=1"), ValueError("secret"))

    assert response.status_code == 500
    assert b"secret" not in response.content
    assert b'"path":"/v1/x"' in response.content
    assert "ValueError: secret" in caplog.text


def test_only_refusals_are_spoken() -> None:
    assert errors.spoken(ValueError()) is None
    assert isinstance(errors.spoken(LedgerBeeError("x")), LedgerBeeError)
