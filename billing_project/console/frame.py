"""What stands around every page of the console: which environment is looked at, and a banner where that is a test."""

from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext as _

from accounts.console.environments import EnvironmentHead
from accounts.models import Environment, Mode, User

# By which names pages call the row that they are about.
_SUBJECTS = ("original", "object", "meter", "row")


def around(request: HttpRequest) -> dict[str, Any]:
    """For every page, the one to sign in included."""
    # The theme would write its colors into the page; they are in a file of ours.
    bare: dict[str, Any] = {"colors": {}}
    return bare | {"environment_head": EnvironmentHead.of(request)} if isinstance(request.user, User) else bare


def title_prefix(request: HttpRequest) -> str:
    """What a window's title begins with."""
    if not isinstance(request.user, User):
        return ""
    head = EnvironmentHead.of(request)
    return f"[{_('TEST')}]" if head.shown is not None and head.shown.mode == Mode.TEST else ""


def environment_of_page(context: dict[str, Any]) -> Environment | None:
    """The environment of the row that a page is about, else the one that it is narrowed to."""
    for name in _SUBJECTS:
        row = context.get(name)
        environment = row if isinstance(row, Environment) else getattr(row, "environment", None)
        if isinstance(environment, Environment):
            return environment
    head: EnvironmentHead | None = context.get("environment_head")
    return head.shown if head else None
