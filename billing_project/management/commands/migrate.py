"""``manage.py migrate``: Django's own, in half of the time on an empty database, as a first start has it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

from django.core.management.commands import migrate
from django.db.migrations.state import ProjectState

# What is added and removed by its own definition alone.
_BY_THEMSELVES = ("add_index", "remove_index", "add_constraint", "remove_constraint")


class Command(migrate.Command):
    def handle(self, *args: Any, **options: Any) -> None:
        with indexes_beside_models():
            super().handle(*args, **options)


@contextmanager
def indexes_beside_models() -> Iterator[None]:
    """Let an index or a constraint come and go without new classes for its model and all that refer to it.

    Django makes these classes anew after each operation. For PostgreSQL it then makes an index of what the migration
    says, and forgets one by its name. The classes learn of it when a field of their model changes, as before.
    """
    originals = {name: getattr(ProjectState, name) for name in _BY_THEMSELVES}
    for name, method in originals.items():
        setattr(ProjectState, name, _without_classes(method))
    try:
        yield
    finally:
        for name, method in originals.items():
            setattr(ProjectState, name, method)


def _without_classes(method: Callable[..., None]) -> Callable[..., None]:
    @wraps(method)
    def change(state: ProjectState, *args: Any) -> None:
        # A state that has made no classes yet makes none now.
        classes = state.__dict__.pop("apps", None)
        try:
            method(state, *args)
        finally:
            if classes is not None:
                state.__dict__["apps"] = classes

    return change
