"""The console's pages of credit: granted, expired and voided here; what was written into the ledger is only read."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin import display
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.console.base import ConsoleAdmin, ConsoleInline
from accounts.console.commands import Command
from accounts.console.instance import InstanceAdmin
from core.console import cells
from core.money import exponent, format_amount
from credits import services
from credits.models import (
    BurnMark,
    CreditAccount,
    CreditGrant,
    CreditHold,
    CreditReservation,
    EventCharge,
    GrantedPrice,
    LedgerEntry,
)
from subscriptions.console.currencies import CurrencyFilter


def _money(grants: Sequence[CreditGrant]) -> str:
    """What is left of them per currency, test and live apart: "25.00 USD and 3.00 EUR in test mode"."""
    totals: dict[tuple[bool, str], int] = defaultdict(int)
    one_of: dict[str, CreditGrant] = {}
    for grant in grants:
        currency = grant.currency or str(grant.own_currency_id)
        one_of[currency] = grant
        totals[not grant.environment.is_live, currency] += grant.available
    return _(" and ").join(
        (_("{amount} in test mode") if is_test else "{amount}").format(amount=one_of[currency].text(total))
        for (is_test, currency), total in sorted(totals.items())
    )


def _owners(grants: Sequence[CreditGrant]) -> str:
    customers = sorted({str(grant.customer) for grant in grants})
    return customers[0] if len(customers) == 1 else _("{count} customers").format(count=len(customers))


def _expired(grants: Sequence[CreditGrant]) -> str:
    return _(
        "{owners} will lose {money} of credit, at once and for good. What it has paid stays paid, and what void invoices "
        "give back expires, too. This cannot be undone."
    ).format(owners=_owners(grants), money=_money(grants))


def _voided(grants: Sequence[CreditGrant]) -> str:
    return _(
        "{money} of credit, of which nothing was used, will be taken back from {owners} as if it had never been given. "
        "This cannot be undone; credit can be granted anew."
    ).format(owners=_owners(grants), money=_money(grants))


def _now(grant: CreditGrant) -> datetime:
    return grant.customer.now(timezone.now())


def _is_alive(grant: CreditGrant) -> bool:
    return grant.voided_at is None and not grant.has_expired(_now(grant))


class _AmountColumns:
    """Amounts of grants and entries, each with its sign."""

    @display(description=gettext_lazy("amount"))
    def amount_column(self, row: Any) -> SafeString:
        return cells.worded_amount(_grant(row).text(row.amount))

    @display(description=gettext_lazy("balance"))
    def balance_column(self, row: Any) -> SafeString:
        return cells.worded_amount(_grant(row).text(row.balance))


def _grant(row: CreditGrant | LedgerEntry) -> CreditGrant:
    return row if isinstance(row, CreditGrant) else row.grant


class GrantForm(forms.ModelForm[CreditGrant]):
    """Asks for an amount as people write it, and once more for their word when it has said what will happen."""

    amount = forms.DecimalField(
        min_value=0,
        max_digits=20,
        help_text=gettext_lazy("In the currency's main unit: 25.00 are 25 dollars, 500 are 500 yen."),
    )
    agreed = forms.CharField(required=False, widget=forms.HiddenInput)

    class Meta:
        model = CreditGrant
        fields = ["customer", "currency", "category", "name", "priority", "effective_at", "expires_at"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["effective_at"].required = False
        self.fields["effective_at"].help_text = gettext_lazy("Empty: at once.")

    def clean_currency(self) -> str:
        currency: str = self.cleaned_data["currency"]
        return currency.lower()

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or self.cleaned_data
        if self.errors:
            return data
        amount: Decimal = data["amount"].scaleb(exponent(data["currency"]))
        if amount != int(amount):
            raise forms.ValidationError(
                {"amount": f"There is no smaller unit of {data['currency'].upper()} than that."}
            )
        data["amount"] = int(amount)
        # The walls ask by it who may do this.
        self.instance.environment = data["customer"].environment
        self._ask(data)
        return data

    def _ask(self, data: dict[str, Any]) -> None:
        """Take the same form twice: the second time it says that what was asked is agreed to."""
        mode = "" if self.instance.environment.is_live else " in test mode"
        question = (
            f"{data['customer']} will be given {format_amount(data['amount'], data['currency'])} of "
            f"{data['category']} credit{mode}. It pays for what is metered, before tax. Save once more to grant it."
        )
        if data["agreed"] != question:
            self.data = {**self.data.dict(), self.add_prefix("agreed"): question}  # type: ignore[attr-defined]
            raise forms.ValidationError(question)


class GrantedPriceInline(ConsoleInline):
    model = GrantedPrice
    verbose_name_plural = gettext_lazy("pays for these prices only")
    fields = ["page", "price"]
    list_select_related = ["environment__company", "price__product"]


class LedgerEntryInline(_AmountColumns, ConsoleInline):
    model = LedgerEntry
    verbose_name_plural = gettext_lazy("ledger")
    fields = ["page", "amount_column", "balance_column", "effective_at", "created_at"]
    list_select_related = ["environment__company", "grant__own_currency"]
    ordering = ["number"]


@admin.register(CreditGrant)
class CreditGrantAdmin(_AmountColumns, ConsoleAdmin):
    names_environment = True
    wire_prefix = "credgr"
    wire_parents = {"cus": "customer"}
    can_add = True
    list_display = [
        "__str__",
        "customer",
        "environment",
        "amount_column",
        "balance_column",
        "state_column",
        "category",
        "priority",
        "expires_at",
        "created_at",
    ]
    list_filter = ["environment", "environment__mode", "category", CurrencyFilter, "expires_at"]
    list_select_related = ["environment__company", "customer__test_clock", "own_currency"]
    search_fields = ["name__istartswith", "customer__name__istartswith", "customer__email__iexact"]
    search_help_text = gettext_lazy("An id (credgr_…, cus_…), or the beginning of its name or of its customer's.")
    ordering = ["-created_at", "-pk"]
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("name", "state_column"),
                    ("customer", "environment"),
                    ("amount_column", "balance_column", "reserved_column"),
                    ("category", "priority"),
                    ("effective_at", "expires_at"),
                    ("scope", "voided_at"),
                )
            },
        ),
        ("More", {"classes": ("collapse",), "fields": (("created_at", "updated_at"), "metadata_document")}),
    )
    add_fieldsets = (
        (None, {"fields": ("customer", ("amount", "currency"), "category", "name")}),
        ("When, and in which turn", {"fields": ("effective_at", "expires_at", "priority", "agreed")}),
    )
    autocomplete_fields = ["customer"]
    inlines = [GrantedPriceInline, LedgerEntryInline]
    commands = [
        Command[CreditGrant](
            name="expire",
            title=gettext_lazy("Expire now"),
            icon="timer_off",
            applies=_is_alive,
            consequence=_expired,
            run=lambda grant, now: services.expire_grant(grant=grant, now=now),
            done=gettext_lazy("expired."),
            warns=True,
        ),
        Command[CreditGrant](
            name="void",
            title=gettext_lazy("Void"),
            icon="block",
            applies=lambda grant: _is_alive(grant) and grant.available == grant.amount,
            consequence=_voided,
            run=lambda grant, now: services.void_grant(grant=grant, now=now),
            done=gettext_lazy("void."),
            warns=True,
        ),
    ]

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:  # noqa: FBT001, FBT002
        return super().get_form(request, obj, change, **kwargs if change else {**kwargs, "form": GrantForm})

    def get_inlines(self, request: HttpRequest, obj: Any) -> list[Any]:  # noqa: ARG002 (Django's signature)
        if obj is None:
            return []
        return self.inlines if obj.scope == CreditGrant.Scope.PRICES else [LedgerEntryInline]

    def create(self, form: Any) -> CreditGrant:
        data = {name: value for name, value in form.cleaned_data.items() if name != "agreed"}
        customer = data["customer"]
        return services.create_grant(environment=customer.environment, now=customer.now(timezone.now()), **data)

    @display(description=gettext_lazy("state"))
    def state_column(self, row: CreditGrant) -> str:
        return row.state(_now(row))

    @display(description=gettext_lazy("reserved of it"))
    def reserved_column(self, row: CreditGrant) -> SafeString:
        return cells.worded_amount(row.text(row.reserved))

    @display(description=gettext_lazy("metadata"))
    def metadata_document(self, row: CreditGrant) -> str | SafeString:
        return cells.document(row.metadata)


@admin.register(LedgerEntry)
class LedgerEntryAdmin(_AmountColumns, ConsoleAdmin):
    names_environment = True
    wire_prefix = "cbtxn"
    wire_parents = {"cus": "customer", "credgr": "grant", "in": "invoice_id", "il": "invoice_line_id"}
    searches_text = False
    list_display = ["kind", "customer", "grant", "environment", "amount_column", "balance_column", "effective_at"]
    list_filter = ["environment", "environment__mode", "kind", "created_at"]
    list_select_related = ["environment__company", "customer", "grant__own_currency", "gives_back"]
    search_fields = ["id"]
    search_help_text = gettext_lazy(
        "The id of an entry (cbtxn_…), grant (credgr_…), customer (cus_…), invoice (in_…) or line (il_…)."
    )
    ordering = ["-created_at", "-pk"]
    fields = [
        "kind",
        "customer",
        "environment",
        "grant",
        "number",
        "amount_column",
        "balance_column",
        "effective_at",
        "created_at",
        "invoice_wire_id",
        "line_wire_id",
        "gives_back",
    ]

    @display(description=gettext_lazy("invoice"))
    def invoice_wire_id(self, row: LedgerEntry) -> str | SafeString:
        return cells.wire_id("in", row.invoice_id) if row.invoice_id else cells.EMPTY

    @display(description=gettext_lazy("invoice line"))
    def line_wire_id(self, row: LedgerEntry) -> str | SafeString:
        return cells.wire_id("il", row.invoice_line_id) if row.invoice_line_id else cells.EMPTY


@admin.register(CreditAccount)
class CreditAccountAdmin(ConsoleAdmin):
    """All credit of one customer; there is nothing to it but its lock."""

    wire_parents = {"cus": "customer"}
    list_display = ["customer", "environment"]
    list_filter = ["environment", "environment__mode"]
    list_select_related = ["environment__company", "customer"]
    search_fields = ["customer__name__istartswith", "customer__email__iexact"]
    ordering = ["-pk"]
    fields = ["customer", "environment", "left_column"]

    @display(description=gettext_lazy("left"))
    def left_column(self, row: CreditAccount) -> str | SafeString:
        left = CreditGrant.objects.filter(environment=row.environment_id, customer=row.customer_id).balances()
        return cells.facts({name: cells.amount(amount, name) for name, amount in left.items()})


@admin.register(GrantedPrice)
class GrantedPriceAdmin(ConsoleAdmin):
    wire_parents = {"credgr": "grant", "price": "price"}
    searches_text = False
    list_display = ["price", "grant", "environment"]
    list_filter = ["environment", "environment__mode"]
    list_select_related = ["environment__company", "grant", "price__product"]
    search_fields = ["id"]
    search_help_text = gettext_lazy("The id of a grant (credgr_…) or price (price_…).")
    ordering = ["-pk"]
    fields = ["price", "grant", "environment"]


@admin.register(EventCharge)
class EventChargeAdmin(ConsoleAdmin):
    """What events burn, and what waits for credit; only read."""

    names_environment = True
    wire_prefix = "mevt"
    wire_parents = {"cus": "customer", "mtr": "meter"}
    list_display = [
        "__str__",
        "customer",
        "meter",
        "environment",
        "status",
        "consumed_column",
        "pending_column",
        "created_at",
    ]
    list_filter = ["environment", "environment__mode", "status"]
    list_select_related = ["environment__company", "customer", "meter", "currency"]
    ordering = ["-pk"]
    fields = [
        "customer", "meter", "environment", "status", "consumed_column", "pending_column", "attempts", "event_timestamp",
        "created_at", "processed_at",
    ]  # fmt: skip

    @display(description=gettext_lazy("paid by credit"))
    def consumed_column(self, row: EventCharge) -> SafeString:
        return cells.worded_amount(row.currency.text(row.consumed))

    @display(description=gettext_lazy("waits for credit"))
    def pending_column(self, row: EventCharge) -> SafeString:
        return cells.worded_amount(row.currency.text(row.pending))


class CreditHoldInline(ConsoleInline):
    model = CreditHold
    verbose_name_plural = gettext_lazy("holds")
    fields = ["page", "grant", "amount_column"]
    list_select_related = ["environment__company", "grant__own_currency"]
    ordering = ["pk"]

    @display(description=gettext_lazy("still holds"))
    def amount_column(self, row: CreditHold) -> SafeString:
        return cells.worded_amount(str(row))


@admin.register(CreditReservation)
class CreditReservationAdmin(ConsoleAdmin):
    """Programs make them; here they are looked at."""

    wire_prefix = "credres"
    wire_parents = {"cus": "customer"}
    searches_text = False
    list_display = [
        "__str__",
        "customer",
        "environment",
        "state_column",
        "committed_column",
        "expires_at",
        "created_at",
    ]
    list_filter = ["environment", "environment__mode", "status", "created_at"]
    list_select_related = ["environment__company", "customer__test_clock", "own_currency"]
    search_fields = ["id"]
    search_help_text = gettext_lazy("The id of a reservation (credres_…) or customer (cus_…).")
    ordering = ["-created_at", "-pk"]
    fields = [
        "customer", "environment", "state_column", "amount_column", "reserved_column", "committed_column", "released_column",
        "expires_at", "ended_at", "created_at", "updated_at", "metadata_document",
    ]  # fmt: skip
    inlines = [CreditHoldInline]

    @display(description=gettext_lazy("state"))
    def state_column(self, row: CreditReservation) -> str:
        return row.state(row.customer.now(timezone.now()))

    @display(description=gettext_lazy("amount"))
    def amount_column(self, row: CreditReservation) -> SafeString:
        return cells.worded_amount(row.text(row.amount))

    @display(description=gettext_lazy("still reserved"))
    def reserved_column(self, row: CreditReservation) -> SafeString:
        return cells.worded_amount(row.text(row.reserved))

    @display(description=gettext_lazy("committed"))
    def committed_column(self, row: CreditReservation) -> SafeString:
        return cells.worded_amount(row.text(row.committed))

    @display(description=gettext_lazy("given back"))
    def released_column(self, row: CreditReservation) -> SafeString:
        return cells.worded_amount(row.text(row.released))

    @display(description=gettext_lazy("metadata"))
    def metadata_document(self, row: CreditReservation) -> str | SafeString:
        return cells.document(row.metadata)


@admin.register(CreditHold)
class CreditHoldAdmin(ConsoleAdmin):
    wire_parents = {"credres": "reservation", "credgr": "grant", "cus": "customer"}
    searches_text = False
    list_display = ["__str__", "grant", "customer", "environment"]
    list_filter = ["environment", "environment__mode"]
    list_select_related = ["environment__company", "customer", "grant__own_currency"]
    search_fields = ["id"]
    search_help_text = gettext_lazy("The id of a reservation (credres_…), grant (credgr_…) or customer (cus_…).")
    ordering = ["-pk"]
    fields = ["reservation", "grant", "customer", "environment"]


@admin.register(BurnMark)
class BurnMarkAdmin(InstanceAdmin):
    """One row: how far events were charged for."""

    list_display = ["__str__"]
    fields = ["xid"]
