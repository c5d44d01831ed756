"""The walls of the console, drawn once: which rows a person meets, on lists, pages, in choices and in actions.

A row belongs to a company, directly or by its environment. A person meets a row if their role in its company has the
``view`` permission, and acts on it if the role has the permission for that. Superusers meet every row.
"""

from typing import Any, ClassVar
from uuid import UUID

from django.contrib.admin import site
from django.contrib.admin.filters import RelatedFieldListFilter
from django.contrib.admin.options import BaseModelAdmin
from django.core.exceptions import PermissionDenied
from django.db.models import Field, ForeignKey, Model, QuerySet
from django.forms import ModelChoiceField
from django.http import HttpRequest

from accounts.approvals.models import ApprovalRequest, ApprovalRule
from accounts.models import Company, CompanyLogo, Environment, License, LicenseNotice, Membership, User
from accounts.roles import GRANTS, roles_granting
from audit.models import Entry


def person_of(request: HttpRequest) -> User:
    """Who asks. The console's pages are for signed-in people only.

    :raises PermissionDenied: if nobody is signed in
    """
    if not isinstance(request.user, User):
        raise PermissionDenied
    return request.user


def roles_of(request: HttpRequest) -> dict[UUID, str]:
    """The person's role in each of their companies, read once per request."""
    # In the request's own dictionary, since it has no place for what others want to remember.
    if "_console_roles" not in request.__dict__:
        held = Membership.objects.filter(user=person_of(request)).values_list("company_id", "role")
        request.__dict__["_console_roles"] = dict(held)
    roles: dict[UUID, str] = request.__dict__["_console_roles"]
    return roles


def companies_granting(user: User, permission: str) -> QuerySet[Company]:
    """The companies on whose rows a person has a permission."""
    if user.is_superuser:
        return Company.objects.order_by()
    return Company.objects.filter(memberships__user=user, memberships__role__in=roles_granting(permission)).order_by()


def environments_granting(user: User, permission: str) -> QuerySet[Environment]:
    """The environments on whose rows a person has a permission."""
    visible = Environment.objects.visible_to(user).order_by()
    return visible if user.is_superuser else visible.filter(company__in=companies_granting(user, permission))


def permits(request: HttpRequest, permission: str, row: Model | None = None) -> bool:
    """Whether the person has a permission on a row, or, without one, anywhere."""
    if not isinstance(request.user, User):
        # Even the page to sign in asks for its menu.
        return False
    if request.user.is_superuser:
        return True
    roles = roles_of(request)
    where = set(roles) if row is None else set(roles) & company_ids_of(row)
    return any(permission in GRANTS[roles[company_id]] for company_id in where)


def company_ids_of(row: Model) -> set[UUID]:
    """The companies that a row belongs to: one, but for people, who may be members of several."""
    if isinstance(row, Company):
        return {row.pk}
    if isinstance(row, (ApprovalRequest, ApprovalRule, CompanyLogo, Environment, License, Membership)):
        return {row.company_id}
    if isinstance(row, Entry):
        return {row.company_id} if row.company_id else set()
    if isinstance(row, LicenseNotice):
        return {row.license.company_id}
    if isinstance(row, User):
        return set(row.memberships.values_list("company_id", flat=True))
    environment = getattr(row, "environment", None)
    return {environment.company_id} if isinstance(environment, Environment) else set()


def company_of(row: Any) -> Company:
    """The one company that a row belongs to, which is no person's."""
    company: Company = row.company if hasattr(row, "company") else row.environment.company
    return company


class Walled(BaseModelAdmin[Any]):
    """Rows of the person's companies only, and what their role permits. Nothing may be changed unless a class says so."""

    # The path from the model to what the wall is drawn by: an environment, or a company.
    wall: ClassVar[str] = "environment"
    # Of huge tables: every statement names environments by value, a superuser's as well, since behind a subquery the
    # database cannot see that an index of theirs brings the rows in the order asked for.
    names_environment: ClassVar[bool] = False
    # What the page itself offers, whatever the role grants. Services do the rest.
    can_add: ClassVar[bool] = False
    can_change: ClassVar[bool] = False
    can_delete: ClassVar[bool] = False

    def permission_to(self, action: str) -> str:
        return f"{self.opts.app_label}.{action}_{self.opts.model_name}"

    def permits(self, request: HttpRequest, action: str, row: Model | None = None) -> bool:
        return permits(request, self.permission_to(action), row)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return self.within_walls(request, super().get_queryset(request), "view")

    def within_walls(self, request: HttpRequest, rows: QuerySet[Any], action: str) -> QuerySet[Any]:
        """The rows on which the person may do an action."""
        user = person_of(request)
        permission = self.permission_to(action)
        if self.names_environment:
            return rows.filter(environment__in=self._narrowed(request, permission))
        chosen = chosen_environment(request)
        if chosen is not None and self.wall.endswith("environment"):
            # By value, since behind a subquery no index could bring the rows in their order.
            rows = rows.filter(**{self.wall: chosen})
        if user.is_superuser:
            return rows
        if self.wall.endswith("environment"):
            return rows.filter(**{f"{self.wall}__in": environments_granting(user, permission)})
        return rows.filter(**{f"{self.wall}__in": companies_granting(user, permission)})

    def environment_ids(self, request: HttpRequest, permission: str) -> list[UUID]:
        """Where the person has a permission. Read once per request."""
        known: dict[str, list[UUID]] = request.__dict__.setdefault("_console_environments", {})
        if permission not in known:
            granted = environments_granting(person_of(request), permission)
            known[permission] = list(granted.values_list("pk", flat=True))
        return known[permission]

    def _narrowed(self, request: HttpRequest, permission: str) -> list[UUID]:
        """The same, less what the list is not filtered by anyhow."""
        chosen = chosen_environment(request)
        granted = self.environment_ids(request, permission)
        return granted if chosen is None else [chosen] if chosen in granted else []

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.permits(request, "view", obj)

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.can_add and self.permits(request, "add", obj)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.can_change and self.permits(request, "change", obj)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.can_delete and self.permits(request, "delete", obj)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def formfield_for_foreignkey(
        self, db_field: ForeignKey[Any], request: HttpRequest, **kwargs: Any
    ) -> ModelChoiceField[Any] | None:
        """Offer, and accept, rows of the person's companies only."""
        model = db_field.remote_field.model
        related = site._registry.get(model)  # noqa: SLF001 (Django has no public way to it)
        if related is not None and "queryset" not in kwargs:
            kwargs["queryset"] = related.get_queryset(request)
            # A row is added where the role grants just that.
            if model is Environment:
                may = environments_granting(person_of(request), self.permission_to("add"))
                kwargs["queryset"] = kwargs["queryset"].filter(pk__in=may)
            elif model is Company:
                kwargs["queryset"] = kwargs["queryset"].filter(
                    pk__in=companies_granting(person_of(request), self.permission_to("add"))
                )
        return super().formfield_for_foreignkey(db_field, request, **kwargs)


class WalledRelatedFilter(RelatedFieldListFilter):
    """A filter by a foreign key that offers rows of the person's companies only."""

    MOST = 200

    def field_choices(
        self,
        field: Any,
        request: HttpRequest,
        model_admin: BaseModelAdmin,  # type: ignore[type-arg]
    ) -> Any:
        related = model_admin.admin_site._registry.get(field.remote_field.model)  # noqa: SLF001
        if related is None:
            return []
        rows = related.get_queryset(request).order_by(*related.get_ordering(request))
        environment = chosen_environment(request)
        if environment and any(column.name == "environment" for column in rows.model._meta.fields):  # noqa: SLF001
            rows = rows.filter(environment=environment)
        return [(str(row.pk), str(row)) for row in rows[: self.MOST]]


def identifier(text: str) -> UUID | None:
    """The id that a parameter spells; None if it is none."""
    try:
        return UUID(text)
    except ValueError:
        return None


# The session's name for what the person has chosen to look at.
_CHOICE = "environment"


def choice_of(request: HttpRequest) -> UUID | None:
    """The environment that the person has chosen to look at, on all lists; None for all that they may see."""
    return identifier(request.session.get(_CHOICE, ""))


def remember_choice(request: HttpRequest, environment: Environment | None) -> None:
    """Look at one environment from now on, or at all."""
    request.session[_CHOICE] = str(environment.pk) if environment else ""


def chosen_environment(request: HttpRequest) -> UUID | None:
    """The environment that the list is narrowed to, by its filter or by the person's choice; None if by none.

    A list that was opened by a row, such as the invoices of a customer, shows what belongs to that row, whatever is
    chosen. The choice is for lists alone: a row's own page opens in any case.
    """
    filtered = request.GET.get("environment__id__exact")
    if filtered is not None:
        return identifier(filtered)
    is_list = request.resolver_match is not None and str(request.resolver_match.url_name).endswith("_changelist")
    of_row = any(name.endswith("__id__exact") for name in request.GET)
    return choice_of(request) if is_list and not of_row else None


def walled_filter(field: Field[Any, Any]) -> type[WalledRelatedFilter] | None:
    """The filter for a field that refers to rows behind walls; None for plain fields."""
    return WalledRelatedFilter if field.is_relation else None
