"""Of two people who let something be done at the same moment, one does it."""

import threading

import pytest
from django.db import connection
from django.utils import timezone

from accounts.approvals.models import ApprovalKind, ApprovalRequest
from accounts.approvals.services import Action, approve, ask
from accounts.errors import ApprovalClosed
from accounts.models import Company, User
from accounts.services import create_company
from core.errors import BillingError


@pytest.mark.django_db(transaction=True)
def test_of_two_who_approve_at_once_one_does_it() -> None:
    company = create_company(name="Ours")
    asker, first, second = (User.objects.create_user(name) for name in ("asker", "first", "second"))
    request = ask(
        company=company, kind=ApprovalKind.ROLE, action="x", title="x", consequence="x", why="x", asked_by=asker,
        now=timezone.now(),
    )  # fmt: skip
    begun = threading.Barrier(2, timeout=10)
    done: list[str] = []
    refused: list[BillingError] = []

    def rename(_asked: ApprovalRequest, _now: object) -> None:
        done.append("done")
        Company.objects.filter(pk=company.pk).update(name=f"Renamed {len(done)} times")

    action = Action(lambda _asked: "", lambda _asked, _now: {}, rename)

    def decide(person: User) -> None:
        begun.wait()
        try:
            approve(request=request, action=action, approver=person, now=timezone.now())
        except BillingError as refusal:
            refused.append(refusal)
        finally:
            connection.close()

    threads = [threading.Thread(target=decide, args=[person]) for person in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (len(done), [type(refusal) for refusal in refused]) == (1, [ApprovalClosed])
    company.refresh_from_db()
    assert company.name == "Renamed 1 times"
