"""The console's pages of companies, people, keys, licenses and customers."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin import display
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

import accounts.console.approvals  # noqa: F401 (pages of its own)
from accounts import logos, services
from accounts.approvals.models import ApprovalKind
from accounts.console.base import ConsoleAdmin, ConsoleInline
from accounts.console.commands import Command
from accounts.console.environments import EnvironmentChoice
from accounts.console.keys import ApiKeyAdmin
from accounts.console.walls import companies_granting, permits, person_of
from accounts.models import (
    ApiKey,
    ApiRequest,
    Company,
    CompanyLogo,
    Customer,
    CustomerNote,
    Environment,
    IdempotencyRecord,
    License,
    LicenseNotice,
    Membership,
    TestClock,
    User,
)
from core.console import cells
from core.console.theme import AdminPasswordChangeForm, CheckboxList, FileInput, UserChangeForm, UserCreationForm

# Django's groups know no companies. What people may do follows from their role in each company (accounts/roles.py).
admin.site.unregister(Group)
admin.site.register(ApiKey, ApiKeyAdmin)


class EnvironmentInline(ConsoleInline):
    model = Environment
    wall = "company"
    fields = ["page", "mode"]
    list_select_related = ["company"]


class LicenseInline(ConsoleInline):
    model = License
    wall = "company"
    fields = ["page", "state", "starts_at", "ends_at", "grace"]
    list_select_related = ["company"]

    @display(description=gettext_lazy("state"))
    def state(self, row: License) -> str:
        return row.state(timezone.now()).label


class MembershipInline(ConsoleInline):
    model = Membership
    wall = "company"
    fields = ["page", "user", "role", "created_at"]
    list_select_related = ["user", "company"]


class ApiKeyInline(ConsoleInline):
    model = ApiKey
    fields = ["page", "name", "created_at", "last_used_at", "expires_at", "revoked_at"]


class LicenseNoticeInline(ConsoleInline):
    model = LicenseNotice
    wall = "license__company"
    fields = ["page", "ends_at", "created_at"]
    list_select_related = ["license__company"]


class CompanyForm(forms.ModelForm[Company]):
    licenses = forms.MultipleChoiceField(
        choices=License.Product.choices,
        required=False,
        widget=CheckboxList,
        help_text=gettext_lazy("They start now and do not end."),
    )

    class Meta:
        model = Company
        fields = ["name"]


class LogoForm(forms.Form):
    logo = forms.FileField(
        label=gettext_lazy("PNG or JPEG, at most 200 kB and 3,000 pixels each way"),
        widget=FileInput(attrs={"accept": "image/png,image/jpeg"}),
    )


@admin.register(Company)
class CompanyAdmin(ConsoleAdmin):
    wall = "pk"
    can_add = can_change = True
    list_display = ["name", "created_at"]
    search_fields = ["name"]
    fieldsets = (
        (None, {"fields": ("name", "created_at", "api_keys")}),
        (
            "Billing",
            {
                "fields": (
                    "billing_zone",
                    ("overdue_days", "overdue_outcome"),
                    "flat_fee_at_zero",
                    "grace_minutes",
                    "recharges",
                )
            },
        ),
        ("Events", {"fields": (("upcoming_days", "due_soon_days"),)}),
        ("Second person", {"fields": ("approval_days",)}),
        ("Documents", {"fields": ("postal_address", "reply_to", "mails_documents", "paper", "logo_picture")}),
    )
    editable = (
        "name",
        "billing_zone",
        "overdue_days",
        "overdue_outcome",
        "flat_fee_at_zero",
        "grace_minutes",
        "recharges",
        "upcoming_days",
        "due_soon_days",
        "approval_days",
        "postal_address",
        "reply_to",
        "mails_documents",
        "paper",
    )
    add_fieldsets = ((None, {"fields": ("name", "licenses")}),)
    inlines = [EnvironmentInline, LicenseInline, MembershipInline]
    commands = [
        Command[Company](
            name="set_logo",
            title=gettext_lazy("Set logo"),
            icon="image",
            applies=lambda _company: True,
            consequence=lambda _companies: _(
                "The picture is printed at the head of every document that is made from now on, of final invoices too, "
                "in place of the one before."
            ),
            run=lambda company, now, logo: logos.set_logo(company=company, image=b"".join(logo.chunks()), now=now),
            done=gettext_lazy("has its logo."),
            form=LogoForm,
        ),
        Command[Company](
            name="remove_logo",
            title=gettext_lazy("Remove logo"),
            icon="hide_image",
            applies=lambda company: CompanyLogo.objects.filter(company=company).exists(),
            consequence=lambda _companies: _("Documents begin with the company's name from now on."),
            run=lambda company, now: logos.remove_logo(company=company),  # noqa: ARG005 (as every command is run)
            done=gettext_lazy("has no logo any more."),
        ),
    ]

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:  # noqa: FBT001, FBT002
        return super().get_form(request, obj, change, **kwargs if change else {**kwargs, "form": CompanyForm})

    def get_inlines(self, request: HttpRequest, obj: Any) -> list[Any]:  # noqa: ARG002 (Django's signature)
        return self.inlines if obj is not None else []

    def create(self, form: Any) -> Company:
        return services.create_company(
            name=form.cleaned_data["name"], licenses=form.cleaned_data["licenses"], now=timezone.now()
        )

    def update(self, row: Any, form: Any) -> None:
        services.update_company(company=row, **{name: form.cleaned_data[name] for name in form.changed_data})

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is not None and not permits(request, "accounts.view_apikey", obj):
            return ((None, {"fields": ("name", "created_at")}), *self.fieldsets[1:])
        return super().get_fieldsets(request, obj)

    @display(description=gettext_lazy("API keys in use"))
    def api_keys(self, row: Company) -> str | SafeString:
        usable = [
            (key.environment.mode, f"{key.prefix}…", key.name)
            for key in ApiKey.objects.filter(environment__company=row).select_related("environment")
            if key.is_usable(timezone.now())
        ]
        return format_html_join("", "<div>{} <code>{}</code> {}</div>", usable) or cells.EMPTY

    @display(description=gettext_lazy("logo"))
    def logo_picture(self, row: Company) -> str | SafeString:
        logo = CompanyLogo.objects.filter(company=row).first()
        return cells.EMPTY if logo is None else cells.picture(bytes(logo.image), logo.format)


@admin.register(CompanyLogo)
class CompanyLogoAdmin(ConsoleAdmin):
    """Set and removed on the company's page."""

    wall = "company"
    list_display = ["company", "format", "set_at"]
    list_select_related = ["company"]
    search_fields = ["company__name"]
    fields = ["company", "picture", "format", "set_at"]

    @display(description=gettext_lazy("picture"))
    def picture(self, row: CompanyLogo) -> SafeString:
        return cells.picture(bytes(row.image), row.format)


@admin.register(Environment)
class EnvironmentAdmin(EnvironmentChoice):
    wall = "company"
    list_display = ["__str__", "mode"]
    list_display_links = ["__str__"]
    list_filter = ["mode"]
    list_select_related = ["company"]
    search_fields = ["company__name"]
    fields = ["company", "mode"]
    inlines = [ApiKeyInline]


@admin.register(License)
class LicenseAdmin(ConsoleAdmin):
    """Added and changed by the operator of the instance: no role may give a company more than it has."""

    wall = "company"
    can_add = can_change = True
    list_display = ["company", "product", "state", "starts_at", "ends_at", "grace"]
    list_display_links = ["company", "product"]
    list_filter = ["product", "ends_at"]
    list_select_related = ["company"]
    search_fields = ["company__name"]
    fields = ["company", "product", "state", "starts_at", "ends_at", "grace", "created_at"]
    editable = ("starts_at", "ends_at", "grace")
    add_fieldsets = ((None, {"fields": ("company", "product", "starts_at", "ends_at", "grace")}),)
    inlines = [LicenseNoticeInline]

    @display(description=gettext_lazy("state"))
    def state(self, row: License) -> str:
        return row.state(timezone.now()).label


@admin.register(LicenseNotice)
class LicenseNoticeAdmin(ConsoleAdmin):
    wall = "license__company"
    list_display = ["license", "kind", "ends_at", "created_at"]
    list_display_links = ["license", "kind"]
    list_filter = ["kind", "created_at"]
    list_select_related = ["license__company"]
    fields = ["license", "kind", "ends_at", "created_at"]


@admin.register(Membership)
class MembershipAdmin(ConsoleAdmin):
    wall = "company"
    can_add = can_change = can_delete = True
    waits_as = ApprovalKind.ROLE
    list_display = ["user", "company", "role", "created_at"]
    list_filter = ["company", "role"]
    list_select_related = ["user", "company"]
    search_fields = ["user__username", "user__email"]
    autocomplete_fields = ["user"]
    fields = ["user", "company", "role", "created_at"]
    editable = ("role",)
    add_fieldsets = ((None, {"fields": ("user", "company", "role")}),)


@admin.register(User)
class PersonAdmin(ConsoleAdmin, UserAdmin):  # type: ignore[type-arg]
    """People are made and changed by superusers: someone may be a member of several companies."""

    can_add = can_change = True
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ["username", "email", "first_name", "last_name", "is_active", "last_login"]
    list_filter = ["is_active"]
    search_fields = ["username", "email", "first_name", "last_name"]
    ordering = ["username"]
    filter_horizontal = ()
    fieldsets = (
        (None, {"fields": ("username", "first_name", "last_name", "email", "last_login", "date_joined")}),
        ("Access", {"fields": ("is_active", "is_staff", "is_superuser")}),
    )
    editable = ("username", "first_name", "last_name", "email", "is_active", "is_staff", "is_superuser")
    add_fieldsets = ((None, {"fields": ("username", "email", "is_staff", "is_superuser", "password1", "password2")}),)

    def within_walls(self, request: HttpRequest, rows: QuerySet[Any], action: str) -> QuerySet[Any]:
        user = person_of(request)
        if user.is_superuser:
            return rows
        companies = companies_granting(user, self.permission_to(action))
        return rows.filter(pk__in=Membership.objects.filter(company__in=companies).values("user"))

    def get_list_display(self, request: HttpRequest) -> Any:
        columns = super().get_list_display(request)
        return [*columns, "is_superuser"] if person_of(request).is_superuser else columns

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        sets = super().get_fieldsets(request, obj)
        return sets if person_of(request).is_superuser else sets[:1]


@admin.register(TestClock)
class TestClockAdmin(ConsoleAdmin):
    wire_prefix = "clock"
    list_display = ["__str__", "environment", "frozen_at", "status", "created_at"]
    list_filter = ["environment", "status"]
    list_select_related = ["environment__company"]
    search_fields = ["name"]
    fields = [
        "name",
        "environment",
        ("frozen_at", "target_at"),
        ("status", "failure"),
        "created_at",
        ("deletes_at", "deleted_at"),
    ]


class NoteForm(forms.Form):
    text = forms.CharField(
        label=gettext_lazy("Note"), max_length=CustomerNote.LENGTH, widget=forms.Textarea(attrs={"rows": 4})
    )


@admin.register(Customer)
class CustomerAdmin(ConsoleAdmin):
    wire_prefix = "cus"
    commands = [
        Command[Customer](
            name="note",
            title=gettext_lazy("Add a note"),
            icon="sticky_note_2",
            applies=lambda _customer: True,
            consequence=lambda _customers: _(
                "Everybody who may see the customer in the console reads it, with your name and the time. It is on no "
                "invoice, and no program sees it. It stays as it is: to correct it, add another."
            ),
            run=lambda customer, now, text, recorded_by: services.add_customer_note(  # noqa: ARG005 (of the wall's time)
                customer=customer, text=text, written_by=recorded_by, now=timezone.now()
            ),
            done=gettext_lazy("noted."),
            form=NoteForm,
            signed=True,
        )
    ]
    can_add = can_change = True
    list_display = ["__str__", "email", "environment", "state", "created_at"]
    list_filter = ["environment", "environment__mode", "created_at"]
    list_select_related = ["environment__company", "test_clock"]
    # Exact or by the beginning: customers may be millions.
    search_fields = ["name__istartswith", "email__iexact"]
    ordering = ["-created_at", "-pk"]
    fields = [
        "name",
        "email",
        "phone",
        "description",
        "grace_minutes",
        "environment",
        "state",
        "test_clock",
        "address_document",
        "metadata_document",
        "created_at",
        "deleted_at",
    ]
    editable = ("name", "email", "phone", "description", "grace_minutes")
    add_fieldsets = ((None, {"fields": ("environment", "name", "email", "phone", "description")}),)

    def create(self, form: Any) -> Customer:
        return services.create_customer(now=timezone.now(), **form.cleaned_data)

    def update(self, row: Any, form: Any) -> None:
        changes = {name: form.cleaned_data[name] for name in form.changed_data}
        services.update_customer(customer=row, now=row.now(timezone.now()), **changes)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        closed = obj is not None and obj.deleted_at is not None
        return not closed and super().has_change_permission(request, obj)

    @display(description=gettext_lazy("state"))
    def state(self, row: Customer) -> str:
        return _("deleted") if row.deleted_at is not None else _("active")

    @display(description=gettext_lazy("address"))
    def address_document(self, row: Customer) -> str | SafeString:
        return cells.document(row.address)

    @display(description=gettext_lazy("metadata"))
    def metadata_document(self, row: Customer) -> str | SafeString:
        return cells.document(row.metadata)


@admin.register(CustomerNote)
class CustomerNoteAdmin(ConsoleAdmin):
    """Written on a customer's page, and read there."""

    wire_parents = {"cus": "customer"}
    searches_text = False
    list_display = ["__str__", "customer", "environment", "written_by", "written_at"]
    list_filter = ["environment", "environment__mode", "written_at"]
    list_select_related = ["environment__company", "customer"]
    search_fields = ["customer__name"]
    search_help_text = gettext_lazy("The id of a customer (cus_…).")
    ordering = ["-written_at", "-pk"]
    fields = ["text", "customer", "environment", "written_by", "written_at"]


class OutcomeFilter(admin.SimpleListFilter):
    """By how it ended, without asking the table which answers there are."""

    title = gettext_lazy("outcome")
    parameter_name = "outcome"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        return [("done", _("done")), ("refused", _("refused")), ("failed", _("failed here"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002
        bounds = {"done": (0, 400), "refused": (400, 500), "failed": (500, 1000)}.get(self.value() or "")
        return queryset if bounds is None else queryset.filter(status__gte=bounds[0], status__lt=bounds[1])


class MethodFilter(admin.SimpleListFilter):
    """By what was to be done, likewise."""

    title = gettext_lazy("method")
    parameter_name = "method"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        return [(method, method) for method in ("GET", "POST", "PUT", "PATCH", "DELETE")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002
        return queryset.filter(method=self.value()) if self.value() else queryset


@admin.register(ApiRequest)
class ApiRequestAdmin(ConsoleAdmin):
    names_environment = True
    wire_prefix = "req"
    wire_parents = {"cus": "customer_id"}
    list_display = ["__str__", "status", "duration_ms", "error_code", "key", "environment", "at"]
    list_filter = ["environment", OutcomeFilter, MethodFilter, "key", "at"]
    list_select_related = ["environment__company", "key"]
    search_fields = ["path__startswith", "error_code__exact"]
    search_help_text = gettext_lazy(
        "A request's id (req_…), a customer's (cus_…), the beginning of a path (/v1/…), or an error's code."
    )
    ordering = ["-id"]
    sortable_by = ()
    fields = [
        "method",
        "path",
        "status",
        "duration_ms",
        "error_code",
        "error",
        "key",
        "customer",
        "environment",
        "at",
    ]

    @display(description=gettext_lazy("customer"))
    def customer(self, row: ApiRequest) -> str | SafeString:
        if row.customer_id is None:
            return cells.EMPTY
        found = Customer.objects.filter(environment=row.environment_id, pk=row.customer_id).first()
        if found is None:
            return cells.wire_id("cus", row.customer_id)
        page = reverse(f"{self.admin_site.name}:accounts_customer_overview", args=[found.pk])
        return format_html('<a class="tb-link" href="{}">{}</a>', page, found)


@admin.register(IdempotencyRecord)
class IdempotencyRecordAdmin(ConsoleAdmin):
    names_environment = True
    list_display = ["key", "request_id", "status", "environment", "created_at"]
    list_filter = ["environment"]
    list_select_related = ["environment__company"]
    search_fields = ["=key"]
    ordering = ["-created_at"]
    fields = ["key", "environment", "request_id", "status", "fingerprint", "body", "created_at"]
