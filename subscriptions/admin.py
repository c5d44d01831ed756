"""The console's pages of products, prices and subscriptions."""

from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.contrib.admin import display
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

import subscriptions.console.reductions
import subscriptions.console.schedules  # noqa: F401 (its pages)
from accounts.approvals.models import ApprovalKind
from accounts.console.base import ConsoleAdmin, ConsoleInline
from accounts.console.walls import permits
from core.console import cells
from core.console.theme import Button
from subscriptions import services
from subscriptions.models import ItemTerm, Price, PriceTier, Product, Subscription, SubscriptionItem


class _Columns:
    @display(description=gettext_lazy("metadata"))
    def metadata_document(self, row: Any) -> str | SafeString:
        return cells.document(row.metadata)


def _recurrence(price: Price) -> str:
    if not price.interval:
        return "once"
    return f"every {price.interval}" if price.interval_count == 1 else f"every {price.interval_count} {price.interval}s"


def _unit_price(price: Price) -> str | SafeString:
    """What a unit costs; of a package what it costs and holds, of tiers only that there are some."""
    if price.unit_amount is None:
        return f"{price.tiers_mode} tiers"
    amount = cells.exact_amount(price.unit_amount, price.currency)
    return amount if price.divide_by is None else format_html("{} per {}", amount, cells.quantity(price.divide_by))


class PriceInline(ConsoleInline):
    model = Price
    fields = ["page", "unit_price_amount", "recurrence", "usage_type", "meter", "active"]
    list_select_related = ["environment__company", "product", "meter"]
    ordering = ["-created_at"]

    @display(description=gettext_lazy("unit price"))
    def unit_price_amount(self, row: Price) -> str | SafeString:
        return _unit_price(row)

    @display(description=gettext_lazy("recurs"))
    def recurrence(self, row: Price) -> str:
        return _recurrence(row)


@admin.register(Product)
class ProductAdmin(_Columns, ConsoleAdmin):
    wire_prefix = "prod"
    can_add = can_change = True
    list_display = ["name", "environment", "slug", "active", "created_at"]
    list_filter = ["environment", "environment__mode", "active"]
    list_select_related = ["environment__company"]
    search_fields = ["name__icontains", "=slug"]
    ordering = ["-created_at", "-pk"]
    fields = [
        "name",
        "description",
        "unit_label",
        "active",
        "environment",
        "slug",
        "default_price",
        "metadata_document",
        "created_at",
        "updated_at",
    ]
    editable = ("name", "description", "unit_label", "active")
    add_fieldsets = ((None, {"fields": ("environment", "name", "description", "unit_label")}),)
    inlines = [PriceInline]

    def get_inlines(self, request: HttpRequest, obj: Any) -> list[Any]:  # noqa: ARG002 (Django's signature)
        return self.inlines if obj is not None else []

    def create(self, form: Any) -> Product:
        return services.create_product(now=timezone.now(), **form.cleaned_data)

    def update(self, row: Any, form: Any) -> None:
        changes = {name: form.cleaned_data[name] for name in form.changed_data}
        services.update_product(product=row, now=timezone.now(), **changes)


class PriceTierInline(ConsoleInline):
    model = PriceTier
    verbose_name_plural = gettext_lazy("tiers")
    fields = ["units", "unit_price_amount", "flat_fee_amount"]
    list_select_related = ["environment__company", "price"]

    @display(description=gettext_lazy("units"))
    def units(self, row: PriceTier) -> str | SafeString:
        return cells.worded_amount(
            _("and above") if row.up_to is None else _("up to {units}").format(units=cells.plain(row.up_to))
        )

    @display(description=gettext_lazy("per unit"))
    def unit_price_amount(self, row: PriceTier) -> str | SafeString:
        return cells.exact_amount(row.unit_amount, row.price.currency)

    @display(description=gettext_lazy("flat fee"))
    def flat_fee_amount(self, row: PriceTier) -> str | SafeString:
        return cells.exact_amount(row.flat_amount, row.price.currency)


@admin.register(PriceTier)
class PriceTierAdmin(ConsoleAdmin):
    wire_parents = {"price": "price"}
    searches_text = False
    list_display = ["price", "position", "up_to", "unit_amount", "flat_amount", "environment"]
    list_filter = ["environment", "environment__mode"]
    list_select_related = ["environment__company", "price__product"]
    search_fields = ["price__nickname"]
    search_help_text = gettext_lazy("The id of a price (price_…).")
    ordering = ["-pk"]
    fields = ["price", "environment", "position", "up_to", "unit_amount", "flat_amount"]


@admin.register(Price)
class PriceAdmin(_Columns, ConsoleAdmin):
    """What a price costs never changes; its labels may, and it can be closed for new subscriptions."""

    wire_prefix = "price"
    wire_parents = {"prod": "product", "mtr": "meter"}
    can_change = True
    waits_as = ApprovalKind.PRICE
    list_display = [
        "__str__",
        "product",
        "unit_price_amount",
        "recurrence",
        "usage_type",
        "meter",
        "environment",
        "active",
    ]
    list_filter = ["environment", "environment__mode", "active", "usage_type"]
    list_select_related = ["environment__company", "product", "meter"]
    search_fields = ["nickname__icontains", "=lookup_key", "product__name__icontains"]
    ordering = ["-created_at", "-pk"]
    fields = [
        "product",
        "environment",
        "nickname",
        "active",
        "unit_price_amount",
        "rounding",
        "recurrence",
        "usage_type",
        "meter",
        "tax_behavior",
        "flat_fee_at_zero",
        "lookup_key",
        "slug",
        "metadata_document",
        "created_at",
        "deleted_at",
    ]
    editable = ("nickname", "active")
    inlines = [PriceTierInline]

    def leads(self, request: HttpRequest, row: Any) -> list[Button]:
        if row.meter_id is None or not permits(request, "invoices.add_whatif", row):
            return []
        # Of a room above, known here by its address alone.
        return [
            Button(
                "What if it cost something else?",
                f"{reverse('admin:invoices_whatif_new')}?price={row.pk}",
                "query_stats",
            )
        ]

    def get_inlines(self, request: HttpRequest, obj: Any) -> list[Any]:  # noqa: ARG002 (Django's signature)
        return self.inlines if obj is not None and obj.tiers_mode else []

    def update(self, row: Any, form: Any) -> None:
        changes = {name: form.cleaned_data[name] for name in form.changed_data}
        services.update_price(price=row, now=timezone.now(), **changes)

    @display(description=gettext_lazy("unit price"), ordering="unit_amount")
    def unit_price_amount(self, row: Price) -> str | SafeString:
        return _unit_price(row)

    @display(description=gettext_lazy("recurs"))
    def recurrence(self, row: Price) -> str:
        return _recurrence(row)


class SubscriptionItemInline(ConsoleInline):
    model = SubscriptionItem
    fields = ["page", "unit_price_amount", "quantity_column", "current_period"]
    list_select_related = ["environment__company", "price__product", "price__meter"]
    ordering = ["created_at", "pk"]

    @display(description=gettext_lazy("unit price"))
    def unit_price_amount(self, row: SubscriptionItem) -> str | SafeString:
        return _unit_price(row.price)

    @display(description=gettext_lazy("quantity"))
    def quantity_column(self, row: SubscriptionItem) -> str | SafeString:
        return f"metered by {row.price.meter}" if row.price.is_metered else cells.quantity(row.quantity)

    @display(description=gettext_lazy("current period"))
    def current_period(self, row: SubscriptionItem) -> SafeString:
        return cells.period(row.current_period)


@admin.register(Subscription)
class SubscriptionAdmin(_Columns, ConsoleAdmin):
    """Made and cancelled through the API, whose service makes the invoices that go with it."""

    wire_prefix = "sub"
    wire_parents = {"cus": "customer"}
    list_display = ["customer", "status_tag", "currency_code", "start_at", "wakes_at", "ended_at", "environment"]
    list_filter = ["environment", "environment__mode", "status", "collection_method"]
    list_select_related = ["environment__company", "customer", "schedule__customer"]
    search_fields = ["customer__name__istartswith", "customer__email__iexact"]
    ordering = ["-created_at", "-pk"]
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("customer", "environment"),
                    ("status", "currency_code"),
                    ("start_at", "anchor_at"),
                    ("wakes_at", "ended_at"),
                    ("schedule", "phase_ends_at"),
                )
            },
        ),
        (
            "More",
            {
                "classes": ("collapse",),
                "fields": (
                    ("trial_start_at", "trial_end_at"),
                    ("pause_behavior", "pause_resumes_at"),
                    "paused_at",
                    ("collection_method", "days_until_due"),
                    ("billing_zone", "expires_at"),
                    ("cancel_at", "cancel_at_period_end"),
                    ("canceled_at", "created_at"),
                    "description",
                    "cancellation_document",
                    "metadata_document",
                ),
            },
        ),
    )
    inlines = [SubscriptionItemInline]

    def leads(self, request: HttpRequest, row: Any) -> list[Button]:
        if not permits(request, "invoices.view_invoice", row):
            return []
        invoices = f"{reverse('admin:invoices_invoice_changelist')}?{urlencode({'subscription__id__exact': row.pk})}"
        return [Button(_("Its invoices"), invoices, "receipt_long")]

    @display(description=gettext_lazy("status"), ordering="status")
    def status_tag(self, row: Subscription) -> SafeString:
        return cells.tag(row.get_status_display(), row.status)

    @display(description=gettext_lazy("currency"), ordering="currency")
    def currency_code(self, row: Subscription) -> str:
        return row.currency.upper()

    @display(description=gettext_lazy("cancellation details"))
    def cancellation_document(self, row: Subscription) -> str | SafeString:
        return cells.document(row.cancellation_details)


class ItemTermInline(ConsoleInline):
    model = ItemTerm
    verbose_name_plural = gettext_lazy("what it was before")
    fields = ["page", "quantity", "starts_at", "ends_at"]
    list_select_related = ["environment__company", "price__product"]
    ordering = ["-starts_at"]


@admin.register(SubscriptionItem)
class SubscriptionItemAdmin(_Columns, ConsoleAdmin):
    wire_prefix = "si"
    wire_parents = {"sub": "subscription", "price": "price"}
    list_display = ["price", "subscription", "environment", "quantity", "current_period_column", "removed_at"]
    list_filter = ["environment", "environment__mode", "removed_at"]
    list_select_related = ["environment__company", "price__product", "price__meter", "subscription__customer"]
    search_fields = ["price__nickname__istartswith"]
    ordering = ["-pk"]
    fields = [
        "subscription",
        "environment",
        "price",
        "quantity",
        "effective_at",
        "current_period_column",
        "metadata_document",
        "created_at",
        "removed_at",
    ]
    inlines = [ItemTermInline]

    @display(description=gettext_lazy("current period"))
    def current_period_column(self, row: SubscriptionItem) -> SafeString:
        return cells.period(row.current_period)


@admin.register(ItemTerm)
class ItemTermAdmin(ConsoleAdmin):
    wire_parents = {"si": "item", "sub": "subscription", "price": "price"}
    searches_text = False
    list_display = ["price", "item", "environment", "quantity", "starts_at", "ends_at"]
    list_filter = ["environment", "environment__mode", "ends_at"]
    list_select_related = [
        "environment__company",
        "price__product",
        "item__price__product",
        "subscription__customer",
    ]
    search_fields = ["price__nickname"]
    search_help_text = gettext_lazy("The id of a subscription (sub_…), an item (si_…) or a price (price_…).")
    ordering = ["-ends_at", "-pk"]
    fields = ["subscription", "item", "environment", "price", "quantity", "starts_at", "ends_at"]
