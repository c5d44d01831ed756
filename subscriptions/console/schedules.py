"""The console's pages of subscription schedules and their phases."""

from typing import Any

from django.contrib import admin
from django.contrib.admin import display
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy

from accounts.console.base import ConsoleAdmin, ConsoleInline
from core.console import cells
from subscriptions.models import PhaseDiscount, PhaseItem, PhaseTaxRate, SchedulePhase, SubscriptionSchedule


class _Metadata:
    @display(description=gettext_lazy("metadata"))
    def metadata_document(self, row: Any) -> str | SafeString:
        return cells.document(row.metadata)


class SchedulePhaseInline(ConsoleInline):
    model = SchedulePhase
    verbose_name_plural = gettext_lazy("phases")
    fields = ["page", "start_at", "end_at", "trial_end_at", "proration_behavior", "begun_at"]
    list_select_related = ["environment__company", "schedule__customer"]
    ordering = ["start_at"]


@admin.register(SubscriptionSchedule)
class SubscriptionScheduleAdmin(_Metadata, ConsoleAdmin):
    """What is to become of a subscription. Made, changed and released through the API, whose service bills each phase."""

    wire_prefix = "sub_sched"
    wire_parents = {"cus": "customer", "sub": "subscription"}
    list_display = ["customer", "environment", "status", "start_at", "end_behavior", "subscription", "created_at"]
    list_filter = ["environment", "environment__mode", "status", "end_behavior"]
    list_select_related = ["environment__company", "customer", "subscription__customer"]
    search_fields = ["customer__name__istartswith", "customer__email__iexact"]
    ordering = ["-created_at", "-pk"]
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("customer", "environment"),
                    ("status", "subscription"),
                    ("start_at", "end_behavior"),
                    ("completed_at", "released_at", "canceled_at"),
                )
            },
        ),
        (
            "More",
            {
                "classes": ("collapse",),
                "fields": (
                    ("collection_method", "days_until_due"),
                    ("anchor", "created_at"),
                    "description",
                    "metadata_document",
                ),
            },
        ),
    )
    inlines = [SchedulePhaseInline]


class PhaseItemInline(ConsoleInline):
    model = PhaseItem
    verbose_name_plural = gettext_lazy("prices")
    fields = ["page", "quantity_column", "is_once"]
    list_select_related = ["environment__company", "price__product", "price__meter"]
    ordering = ["is_once", "position"]

    @display(description=gettext_lazy("quantity"))
    def quantity_column(self, row: PhaseItem) -> str | SafeString:
        return _quantity(row)


class PhaseDiscountInline(ConsoleInline):
    model = PhaseDiscount
    verbose_name_plural = gettext_lazy("discounts")
    fields = ["coupon", "promotion_code", "discount", "item"]
    list_select_related = [
        "environment__company",
        "coupon",
        "promotion_code",
        "discount__coupon",
        "item__price__product",
    ]
    ordering = ["position"]


class PhaseTaxRateInline(ConsoleInline):
    model = PhaseTaxRate
    verbose_name_plural = gettext_lazy("tax rates")
    fields = ["tax_rate", "item"]
    list_select_related = ["environment__company", "tax_rate", "item__price__product"]
    ordering = ["position"]


@admin.register(SchedulePhase)
class SchedulePhaseAdmin(_Metadata, ConsoleAdmin):
    searches_text = False
    wire_parents = {"sub_sched": "schedule"}
    list_display = ["schedule", "environment", "start_at", "end_at", "trial_end_at", "begun_at"]
    list_filter = ["environment", "environment__mode", "start_at"]
    list_select_related = ["environment__company", "schedule__customer"]
    search_fields = ["description"]
    search_help_text = gettext_lazy("The id of a subscription schedule (sub_sched_…).")
    ordering = ["-start_at", "-pk"]
    fields = [
        ("schedule", "environment"),
        ("start_at", "end_at"),
        ("trial_end_at", "begun_at"),
        ("proration_behavior", "anchor"),
        ("collection_method", "days_until_due"),
        "description",
        "metadata_document",
    ]
    inlines = [PhaseItemInline, PhaseDiscountInline, PhaseTaxRateInline]


@admin.register(PhaseItem)
class PhaseItemAdmin(_Metadata, ConsoleAdmin):
    searches_text = False
    wire_parents = {"price": "price", "sub_sched": "phase__schedule"}
    list_display = ["price", "phase", "environment", "quantity_column", "is_once"]
    list_filter = ["environment", "environment__mode", "is_once"]
    list_select_related = ["environment__company", "phase", "price__product", "price__meter"]
    search_fields = ["price__nickname"]
    search_help_text = gettext_lazy("The id of a price (price_…) or a subscription schedule (sub_sched_…).")
    ordering = ["-pk"]
    fields = ["phase", "environment", "price", "quantity_column", "is_once", "is_discountable", "metadata_document"]

    @display(description=gettext_lazy("quantity"))
    def quantity_column(self, row: PhaseItem) -> str | SafeString:
        return _quantity(row)


@admin.register(PhaseDiscount)
class PhaseDiscountAdmin(ConsoleAdmin):
    searches_text = False
    wire_parents = {"promo": "promotion_code", "sub_sched": "phase__schedule"}
    list_display = ["__str__", "phase", "item", "environment"]
    list_filter = ["environment", "environment__mode"]
    list_select_related = [
        "environment__company",
        "phase",
        "item__price__product",
        "coupon",
        "promotion_code",
        "discount__coupon",
    ]
    search_fields = ["coupon__name"]
    search_help_text = gettext_lazy("The id of a promotion code (promo_…) or a subscription schedule (sub_sched_…).")
    ordering = ["-pk"]
    fields = ["phase", "item", "environment", "coupon", "promotion_code", "discount", "position"]


@admin.register(PhaseTaxRate)
class PhaseTaxRateAdmin(ConsoleAdmin):
    searches_text = False
    wire_parents = {"txr": "tax_rate", "sub_sched": "phase__schedule"}
    list_display = ["tax_rate", "phase", "item", "environment"]
    list_filter = ["environment", "environment__mode"]
    list_select_related = ["environment__company", "phase", "item__price__product", "tax_rate"]
    search_fields = ["tax_rate__display_name"]
    search_help_text = gettext_lazy("The id of a tax rate (txr_…) or a subscription schedule (sub_sched_…).")
    ordering = ["-pk"]
    fields = ["phase", "item", "environment", "tax_rate", "position"]


def _quantity(row: PhaseItem) -> str | SafeString:
    return f"metered by {row.price.meter}" if row.price.is_metered else cells.quantity(row.quantity)
