"""How the console's actions come to wait for a second person, and how they are done once there is one."""

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.apps import apps
from django.contrib.admin import site
from django.contrib.admin.exceptions import NotRegistered
from django.db import transaction
from django.db.models import Model
from django.http import HttpRequest, QueryDict
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.approvals import services
from accounts.approvals.models import ApprovalKind, ApprovalRequest
from accounts.approvals.services import Action
from accounts.console.commands import Command
from accounts.console.walls import company_of, person_of
from accounts.models import Company, Environment

WHY = "why"


def action_of(asked: ApprovalRequest, request: HttpRequest) -> Action:
    """How a request is done, for the person who looks at it.

    :raises LookupError: if there is no such action any more
    """
    action: Action = pages_of(asked).waiting_action(request, asked.action.partition(":")[2])
    return action


def pages_of(asked: ApprovalRequest) -> Any:
    """The pages of the kind of row that a request is about.

    :raises LookupError: if there are none any more
    """
    try:
        return site.get_model_admin(apps.get_model(asked.action.partition(":")[0]))
    except NotRegistered as gone:
        raise LookupError(asked.action) from gone


def ask_second_person(
    request: HttpRequest,
    *,
    company: Company,
    kind: ApprovalKind,
    action: str,
    title: str,
    consequence: str,
    why: str,
    environment: Environment | None = None,
    amount: int | None = None,
    currency: str = "",
    **more: Any,
) -> ApprovalRequest | None:
    """Put an action before a second person if its company wants that; None where it may be done at once.

    :param why: for the audit trail, and for the second person
    :param more: as of :func:`accounts.approvals.services.ask`
    :raises ApprovalAskedAlready: if the same waits already
    """
    if not services.needs_second_person(company_id=company.pk, kind=kind, amount=amount, currency=currency):
        return None
    return services.ask(
        company=company,
        environment=environment,
        kind=kind,
        action=action,
        title=title,
        consequence=consequence,
        amount=amount,
        currency=currency,
        why=why,
        asked_by=person_of(request),
        now=timezone.now(),
        **more,
    )


def waits_text() -> str:
    return _("waits for a second person now. Nothing has happened yet.")


# Commands


def form_of(command: Command[Any], *sent: Any) -> forms.Form:
    """What a command asks for. Of what moves money it asks why."""
    # A form that asks for nothing is valid as soon as it is sent.
    form = (command.form or forms.Form)(*sent)
    if command.second_person is not None:
        form.fields[WHY] = forms.CharField(
            required=False,
            max_length=500,
            label=gettext_lazy("Why"),
            help_text=gettext_lazy("Kept in the audit trail."),
        )
    return form


def waits(command: Command[Any], row: Model, answers: Mapping[str, Any]) -> bool:
    """Whether a command on a row waits for a second person."""
    guard = command.second_person
    if guard is None:
        return False
    amount, currency = guard.amount(row, answers) if guard.amount else (None, "")
    return services.needs_second_person(
        company_id=company_of(row).pk, kind=guard.kind, amount=amount, currency=currency
    )


@transaction.atomic
def ask_for(
    request: HttpRequest, command: Command[Any], row: Any, answers: Mapping[str, Any], why: str
) -> ApprovalRequest | None:
    """Put a command on a row before a second person if its company wants that.

    :param answers: what the form understood
    """
    guard = command.second_person
    if guard is None or not waits(command, row, answers):
        return None
    amount, currency = guard.amount(row, answers) if guard.amount else (None, "")
    return ask_second_person(
        request,
        company=company_of(row),
        environment=row.environment,
        kind=guard.kind,
        action=f"{row._meta.label_lower}:{command.name}",  # noqa: SLF001
        object_id=str(row.pk),
        title=f"{command.title}: {row}",
        consequence=command.consequence([row]),
        amount=amount,
        currency=currency,
        answers={name: request.POST.getlist(name) for name in answers if name in request.POST},
        state=guard.state(row),
        why=why,
    )


def sent_again(answers: Mapping[str, Sequence[str]]) -> QueryDict:
    """What was entered, as a form reads it."""
    data = QueryDict(mutable=True)
    for name, values in answers.items():
        data.setlist(name, list(values))
    return data


def row_of(rows: Any, asked: ApprovalRequest) -> Any:
    """The row that a request is about, if the person who looks at it meets it."""
    return rows.filter(pk=asked.object_id).first()
