"""The console's pages of what waits for a second person, and of the rules by which it does."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin import ModelAdmin, SimpleListFilter, display
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.approvals import services
from accounts.approvals.models import ApprovalRequest, ApprovalRule
from accounts.console import approving
from accounts.console.base import ConsoleAdmin
from accounts.console.commands import Command
from accounts.console.walls import permits, person_of
from accounts.models import User
from core.console import cells
from core.console.theme import Button
from core.money import exponent, in_minor_units

Status = ApprovalRequest.Status


class RuleForm(forms.ModelForm[ApprovalRule]):
    """The limit is entered in the currency's main unit, as people speak of it."""

    limit = forms.DecimalField(
        required=False,
        min_value=0,
        max_digits=18,
        help_text=gettext_lazy("Up to this amount nobody else is needed, such as 100.00. Empty: somebody always is."),
    )

    class Meta:
        model = ApprovalRule
        fields = ["company", "kind", "currency"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        rule = self.instance
        if rule.limit is not None:
            self.initial["limit"] = Decimal(rule.limit).scaleb(-exponent(rule.currency))

    def clean_currency(self) -> str:
        return str(self.cleaned_data["currency"]).lower()

    def clean(self) -> dict[str, Any]:
        values = super().clean() or self.cleaned_data
        limit, currency = values.get("limit"), values.get("currency", self.instance.currency)
        if limit is not None and currency:
            values["limit"] = in_minor_units(limit, currency)
            if values["limit"] is None:
                self.add_error("limit", _("That is less than the currency's smallest unit can say."))
        # Held against the constraint with the rest of the row.
        self.instance.limit = values.get("limit")
        return values


@admin.register(ApprovalRule)
class ApprovalRuleAdmin(ConsoleAdmin):
    """Set by the operator of the instance, like licenses: no role loosens the rule that binds it."""

    wall = "company"
    can_add = can_change = can_delete = True
    form = RuleForm
    list_display = ["__str__", "company", "kind", "currency_column", "limit_column"]
    list_filter = ["company", "kind"]
    list_select_related = ["company"]
    search_fields = ["company__name"]
    fields = ["company", "kind", "currency_column", "limit"]
    editable = ("limit",)
    add_fieldsets = ((None, {"fields": ("company", "kind", "currency", "limit")}),)

    def get_fieldsets(self, request: HttpRequest, obj: Model | None = None) -> Any:
        return self.add_fieldsets if obj is None else super().get_fieldsets(request, obj)

    def update(self, row: Any, form: Any) -> None:  # noqa: ARG002 (it changes the limit alone)
        row.save(update_fields=["limit"])

    @display(description=gettext_lazy("currency"))
    def currency_column(self, row: ApprovalRule) -> str:
        return row.currency.upper() or _("any")

    @display(description=gettext_lazy("without a second person up to"))
    def limit_column(self, row: ApprovalRule) -> str | SafeString:
        return _("nothing") if row.limit is None else cells.amount(row.limit, row.currency)


class WaitingFilter(SimpleListFilter):
    title = gettext_lazy("waiting")
    parameter_name = "waiting"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:  # noqa: ARG002
        return [("me", _("for me")), ("others", _("for others, asked by me"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        rows: Any = queryset
        if self.value() == "me":
            rows = waiting_for(request, queryset)
        elif self.value() == "others":
            rows = rows.waiting(timezone.now()).filter(asked_by=person_of(request))
        found: QuerySet[Any] = rows
        return found


def waiting_for(request: HttpRequest, rows: QuerySet[Any] | None = None) -> QuerySet[Any]:
    """What the person may decide now: nothing that they asked for themselves.

    Whether their role permits the action itself is asked of each, when they come to it.
    """
    pages: Any = admin.site.get_model_admin(ApprovalRequest)
    found: Any = pages.within_walls(request, ApprovalRequest.objects.all() if rows is None else rows, "change")
    waiting: QuerySet[Any] = found.waiting(timezone.now()).exclude(asked_by=person_of(request))
    return waiting


class RejectionForm(forms.Form):
    note = forms.CharField(max_length=500, label=gettext_lazy("Why not"))


def _approved(requests: Sequence[ApprovalRequest]) -> str:
    told = " ".join(f"{request}. {request.consequence}" for request in requests)
    return _("This will be done now, as it was asked for: %(told)s") % {"told": told}


def _rejected(requests: Sequence[ApprovalRequest]) -> str:
    asked = ", ".join(sorted({str(request.asked_by) for request in requests}))
    return _("Nothing will be done. %(asked)s can read why, and ask again.") % {"asked": asked}


def _waits(request: ApprovalRequest) -> bool:
    return request.status == Status.WAITING and request.expires_at > timezone.now()


@admin.register(ApprovalRequest)
class ApprovalRequestAdmin(ConsoleAdmin):
    """What one person asked for, another decides here."""

    wall = "company"
    list_display = ["title", "kind", "money", "asked_by", "asked_at", "standing", "company", "environment"]
    list_display_links = ["title"]
    list_filter = [WaitingFilter, "status", "kind", "environment", "asked_at"]
    list_select_related = ["company", "environment__company", "asked_by", "decided_by"]
    search_fields = ["title__icontains", "=asked_by__username"]
    ordering = ["-asked_at", "-pk"]
    fields = [
        "title",
        "consequence",
        "money",
        "why",
        "asked_by",
        "asked_at",
        "standing",
        "expires_at",
        "decided_by",
        "decided_at",
        "note",
        "was",
        "kind",
        "company",
        "environment",
    ]
    commands = [
        Command[ApprovalRequest](
            name="approve",
            title=gettext_lazy("Approve"),
            icon="check_circle",
            applies=_waits,
            consequence=_approved,
            done=gettext_lazy("approved, and done."),
        ),
        Command[ApprovalRequest](
            name="reject",
            title=gettext_lazy("Reject"),
            icon="cancel",
            applies=_waits,
            consequence=_rejected,
            done=gettext_lazy("rejected."),
            form=RejectionForm,
            warns=True,
        ),
        Command[ApprovalRequest](
            name="withdraw",
            title=gettext_lazy("Withdraw"),
            icon="undo",
            applies=_waits,
            consequence=lambda _requests: _("Nothing will be done, and nobody is asked any more."),
            done=gettext_lazy("withdrawn."),
        ),
    ]

    def permits(self, request: HttpRequest, action: str, row: Model | None = None) -> bool:
        may = super().permits(request, action, row)
        if not may or action != "change" or not isinstance(row, ApprovalRequest):
            return may
        # To decide is to do: whoever may not do it does not decide it.
        if row.asked_by_id == person_of(request).pk:
            return True
        try:
            wanted = approving.action_of(row, request)
        except LookupError:
            # Asked for by an older version, that could do what this one cannot.
            return False
        return permits(request, wanted.permission(row), row)

    def leads(self, request: HttpRequest, row: Any) -> list[Button]:
        """The row that it is about, for those who meet it."""
        try:
            about = approving.pages_of(row).get_object(request, row.object_id)
        except LookupError:
            # Asked for by an older version.
            return []
        if about is None:
            return []
        address = f"admin:{about._meta.app_label}_{about._meta.model_name}_change"  # noqa: SLF001 (Django's own name)
        return [Button(_("What it is about"), reverse(address, args=[about.pk]), "open_in_new")]

    def commands_on(self, request: HttpRequest, row: Any) -> list[Command[Any]]:
        is_own = row.asked_by_id == person_of(request).pk
        return [one for one in super().commands_on(request, row) if (one.name == "withdraw") is is_own]

    def perform(
        self, request: HttpRequest, command: Command[Any], row: Any, answers: Mapping[str, Any], *, signed_by: User
    ) -> None:
        # Who decides is of the person, and not of the row: so none of these is run as other commands are.
        now = timezone.now()
        if command.name == "approve":
            action = approving.action_of(row, request)
            services.approve(request=row, action=action, approver=signed_by, now=now)
        elif command.name == "reject":
            services.reject(request=row, approver=signed_by, note=answers["note"], now=now)
        else:
            services.withdraw(request=row, person=signed_by, now=now)

    @display(description=gettext_lazy("amount"), ordering="amount")
    def money(self, row: ApprovalRequest) -> str | SafeString:
        return cells.EMPTY if row.amount is None else cells.amount(row.amount, row.currency)

    @display(description=gettext_lazy("state"))
    def standing(self, row: ApprovalRequest) -> SafeString:
        return cells.tag(row.state_at(timezone.now()), row.status)

    @display(description=gettext_lazy("as it was when it was asked"))
    def was(self, row: ApprovalRequest) -> str | SafeString:
        return cells.facts(row.state)
