"""Asking for a second person, and being one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction

from accounts.approvals.models import ApprovalKind, ApprovalRequest, ApprovalRule
from accounts.errors import ApprovalAskedAlready, ApprovalByAsker, ApprovalClosed, ApprovalOfAnother, ApprovalOvertaken
from accounts.models import Company, Environment, User
from core.actors import giving_reason
from core.db import refusing

Status = ApprovalRequest.Status

# What a request is about, by names that a reader understands. Texts and numbers: it is kept as JSON.
State = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Action:
    """How a kind of request is done.

    :ivar permission: that whoever lets it be done needs on its company's rows, such as ``invoices.change_invoice``
    :ivar state: what it is about as it stands now, read under the lock that keeps it so until the commit
    :ivar run: does it, at an instant of the wall's, by the service that does it without a second person
    """

    permission: Callable[[ApprovalRequest], str]
    state: Callable[[ApprovalRequest, datetime], State]
    run: Callable[[ApprovalRequest, datetime], Any]


def needs_second_person(*, company_id: UUID, kind: ApprovalKind, amount: int | None = None, currency: str = "") -> bool:
    """Whether a company wants somebody else to look at such an action.

    :param amount: minor units of the currency; None where no money moves, or nobody knows how much
    """
    rules = ApprovalRule.objects.filter(company=company_id, kind=kind, currency__in={currency.lower(), ""})
    limits = dict(rules.values_list("currency", "limit"))
    if not limits:
        return False
    limit = limits[currency.lower()] if currency.lower() in limits else limits[""]
    return limit is None or amount is None or abs(amount) > limit


def ask(
    *,
    company: Company,
    kind: ApprovalKind,
    action: str,
    title: str,
    consequence: str,
    why: str,
    asked_by: User,
    now: datetime,
    environment: Environment | None = None,
    object_id: str = "",
    amount: int | None = None,
    currency: str = "",
    answers: Mapping[str, object] | None = None,
    state: State | None = None,
) -> ApprovalRequest:
    """Put something before a second person. Nothing else happens yet.

    :param now: the wall's time
    :param state: what is asked about as the person who asks has seen it
    :raises ApprovalAskedAlready: if the same waits already
    """
    expired = ApprovalRequest.objects.filter(
        company=company, action=action, object_id=object_id, status=Status.WAITING, expires_at__lte=now
    )
    with refusing({"approval_asked_once": ApprovalAskedAlready(title)}):
        expired.update(status=Status.EXPIRED, decided_at=now)
        return ApprovalRequest.objects.create(
            company=company,
            environment=environment,
            kind=kind,
            action=action,
            object_id=object_id,
            title=title[:300],
            consequence=consequence,
            amount=amount,
            currency=currency,
            answers=dict(answers or {}),
            state=dict(state or {}),
            why=why,
            asked_by=asked_by,
            asked_at=now,
            expires_at=now + timedelta(days=company.approval_days),
        )


def approve(*, request: ApprovalRequest, action: Action, approver: User, now: datetime) -> ApprovalRequest:
    """Let be done what was asked for: it is done, and said to be approved, in one transaction.

    Of two people who do so at once, one does it.

    :param now: the wall's time
    :returns: the request as it is now
    :raises ApprovalClosed: if it was decided, has expired or was withdrawn
    :raises ApprovalByAsker: if it is the approver's own
    :raises ApprovalOvertaken: if what it is about has changed since; it cannot be approved any more
    :raises BillingError: if it cannot be done; it still waits
    """
    with transaction.atomic():
        request = _locked(request, now)
        if request.asked_by_id == approver.pk:
            raise ApprovalByAsker
        changes = _changes(request.state, action.state(request, now))
        if not changes:
            with giving_reason(f"{request.why} (asked for by {request.asked_by})"):
                action.run(request, now)
            return _close(request, Status.APPROVED, approver, now)
        _close(request, Status.STALE, approver, now, note=changes)
    raise ApprovalOvertaken(changes)


@transaction.atomic
def reject(*, request: ApprovalRequest, approver: User, note: str, now: datetime) -> ApprovalRequest:
    """Say no, and why.

    :raises ApprovalClosed: if it was decided, has expired or was withdrawn
    :raises ApprovalByAsker: if it is the approver's own, which they may withdraw
    """
    request = _locked(request, now)
    if request.asked_by_id == approver.pk:
        raise ApprovalByAsker
    return _close(request, Status.REJECTED, approver, now, note=note)


@transaction.atomic
def withdraw(*, request: ApprovalRequest, person: User, now: datetime) -> ApprovalRequest:
    """Ask no more.

    :raises ApprovalClosed: if it was decided, has expired or was withdrawn
    :raises ApprovalOfAnother: if somebody else asked for it
    """
    request = _locked(request, now)
    if request.asked_by_id != person.pk:
        raise ApprovalOfAnother
    return _close(request, Status.WITHDRAWN, person, now)


def _locked(request: ApprovalRequest, now: datetime) -> ApprovalRequest:
    rows = ApprovalRequest.objects.select_related("asked_by", "company", "environment")
    row = rows.select_for_update(of=("self",)).get(pk=request.pk)
    if row.status != Status.WAITING or row.expires_at <= now:
        raise ApprovalClosed(row.state_at(now))
    return row


def _close(
    request: ApprovalRequest, status: ApprovalRequest.Status, person: User, now: datetime, *, note: str = ""
) -> ApprovalRequest:
    request.status, request.decided_by, request.decided_at, request.note = status, person, now, note[:2000]
    request.save(update_fields=["status", "decided_by", "decided_at", "note"])
    return request


def _changes(then: State, now: State) -> str:
    """What is not as it was, in words; empty if nothing is."""
    names = [name for name in {**then, **now} if then.get(name) != now.get(name)]
    return "; ".join(f"{name}: {then.get(name, 'nothing')} → {now.get(name, 'nothing')}" for name in names)
