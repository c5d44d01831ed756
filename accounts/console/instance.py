"""Pages of what belongs to the instance and to no company."""

from typing import Any

from django.db.models import Model, QuerySet
from django.http import HttpRequest

from accounts.console.base import ConsoleAdmin
from accounts.console.walls import person_of
from accounts.models import User


class InstanceAdmin(ConsoleAdmin):
    """Its rows are for superusers."""

    def permits(self, request: HttpRequest, action: str, row: Model | None = None) -> bool:  # noqa: ARG002
        return isinstance(request.user, User) and request.user.is_superuser

    def within_walls(self, request: HttpRequest, rows: QuerySet[Any], action: str) -> QuerySet[Any]:  # noqa: ARG002
        return rows if person_of(request).is_superuser else rows.none()
