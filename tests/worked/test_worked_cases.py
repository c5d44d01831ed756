"""Worked cases: what vendors' pages say of billing, with the arithmetic, through the official SDK and to the cent."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.stack import RunningStack
from tests.system.clients import client_of, new_company, new_key
from tests.worked import changes, endings, periods, pricing, reductions, settling
from tests.worked.book import Case, Lived, at, live

# They share one life: whichever is asked for first waits for all.
pytestmark = pytest.mark.timeout(300)

CASES = [*pricing.CASES, *periods.CASES, *changes.CASES, *endings.CASES, *reductions.CASES, *settling.CASES]


@pytest.fixture(scope="module")
def lives(running_stack: RunningStack) -> dict[str, Callable[[], Lived]]:
    clients: dict[str, Any] = {}
    for zone in {case.zone for case in CASES}:
        company = new_company(running_stack)
        if zone:
            rules = (
                f"services.update_company(company=services.find_company(name_or_id={company!r}), billing_zone={zone!r})"
            )
            running_stack.command("shell", "-c", f"from accounts import services; {rules}")
        clients[zone] = client_of(running_stack, new_key(running_stack, company)).v1
    return live(CASES, clients.__getitem__)


def test_there_are_enough_of_them_and_each_has_its_source_and_its_sums() -> None:
    assert len(CASES) >= 25
    assert len({case.name for case in CASES}) == len(CASES)
    assert all("'" in case.source and re.search(r"\d", case.sums) for case in CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_worked_case(case: Case, lives: dict[str, Callable[[], Lived]]) -> None:
    lived = lives[case.name]()
    billed = [(one.created, one.total, sorted(line.amount for line in one.lines.data)) for one in lived.invoices]
    assert billed == [(at(one.made), one.total, sorted(one.lines)) for one in case.invoices], (case.source, case.sums)
    if case.sees is not None:
        case.sees(lived)
