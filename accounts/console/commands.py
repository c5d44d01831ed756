"""Actions of the console: one thing that can be done to a row, said in full before it is done.

A command shows as a button on the row's page, where it can work, and as an action on the list. Either way a page first
says what will happen, and to how much money; only its POST acts. Services refuse by :class:`BillingError`, which becomes
a message.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from django.db.models import Model
from django.forms import Form

from accounts.approvals.models import ApprovalKind
from accounts.approvals.services import State

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise

Row = TypeVar("Row", bound=Model)


@dataclass(frozen=True, kw_only=True)
class SecondPerson(Generic[Row]):
    """Where its company wants that, a command waits for a second person (:mod:`accounts.approvals`).

    :ivar state: what the row is that it is asked about, read under its lock, in the order in which services take locks
    :ivar amount: how much it moves by what the form says, in minor units, and of which currency; None where no money moves
    """

    kind: ApprovalKind
    state: Callable[[Row], State]
    amount: Callable[[Row, Mapping[str, Any]], tuple[int, str]] | None = None


@dataclass(frozen=True, kw_only=True)
class Command(Generic[Row]):
    """
    :ivar applies: whether it can work on a row as it stands; the service asks again, under its lock
    :ivar consequence: what will happen to these rows, in sentences
    :ivar run: the service call, at an instant of the row's own clock; what a form asked for comes by keyword. None where
        the page's own ``perform`` does it, since it takes more to know than the row
    :ivar done: what to say of a row afterwards, perhaps from what the service returned
    :ivar form: what the person must say with it, such as a reason; once for all rows
    :ivar prepare: gives the form its choices, and what is there now
    :ivar is_single: not offered on lists, since what it asks is asked of one row
    :ivar back: the page to go on with, if it is not the row's own
    :ivar signed: whether the service keeps who did it: it comes by the keyword ``recorded_by``
    :ivar permission: the action of the role's permission on the row's model
    :ivar second_person: when it waits for one. Such a command asks why, too, for the audit trail
    """

    name: str
    title: "str | StrPromise"
    icon: str
    applies: Callable[[Row], bool]
    consequence: Callable[[Sequence[Row]], str]
    run: Callable[..., Any] | None = None
    done: "str | StrPromise | Callable[[Any], str]"
    form: type[Form] | None = None
    prepare: Callable[[Any, Sequence[Row]], None] | None = None
    is_single: bool = False
    back: Callable[[Row], str | None] | None = None
    signed: bool = False
    permission: str = "change"
    warns: bool = False
    second_person: SecondPerson[Row] | None = None
