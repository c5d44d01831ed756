"""The console's pages of coupons, promotion codes, discounts and tax rates."""

from typing import Any

from django.contrib import admin
from django.contrib.admin import display
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy

from accounts.console.base import ConsoleAdmin, ConsoleInline
from core.console import cells
from subscriptions import services
from subscriptions.models import AppliedTaxRate, Coupon, CouponProduct, Discount, PromotionCode, TaxRate


def _reduction(coupon: Coupon) -> str | SafeString:
    if coupon.percent_off is not None:
        return format_html("{} %", cells.quantity(coupon.percent_off))
    return cells.EMPTY if coupon.amount_off is None else cells.amount(coupon.amount_off, coupon.currency)


def _duration(coupon: Coupon) -> str:
    months = coupon.duration_in_months
    return coupon.get_duration_display() if months is None else f"for {months} month{'' if months == 1 else 's'}"


class CouponProductInline(ConsoleInline):
    model = CouponProduct
    verbose_name_plural = gettext_lazy("applies to")
    fields = ["page"]
    list_select_related = ["environment__company", "product"]


@admin.register(Coupon)
class CouponAdmin(ConsoleAdmin):
    """What a coupon takes off never changes; its name may."""

    wire_prefix = "coupon"
    can_change = True
    list_display = ["__str__", "reduction", "lasts", "times_redeemed", "redeem_by", "environment", "deleted_at"]
    list_filter = ["environment", "environment__mode", "duration"]
    list_select_related = ["environment__company"]
    search_fields = ["name__icontains", "=slug"]
    ordering = ["-created_at", "-pk"]
    fields = [
        "name",
        "environment",
        "slug",
        "reduction",
        "lasts",
        ("times_redeemed", "max_redemptions"),
        "redeem_by",
        "metadata_document",
        "created_at",
        "deleted_at",
    ]
    editable = ("name",)
    inlines = [CouponProductInline]

    def update(self, row: Any, form: Any) -> None:
        services.update_coupon(coupon=row, now=timezone.now(), name=form.cleaned_data["name"])

    @display(description=gettext_lazy("takes off"))
    def reduction(self, row: Coupon) -> str | SafeString:
        return _reduction(row)

    @display(description=gettext_lazy("lasts"))
    def lasts(self, row: Coupon) -> str:
        return _duration(row)

    @display(description=gettext_lazy("metadata"))
    def metadata_document(self, row: Coupon) -> str | SafeString:
        return cells.document(row.metadata)


@admin.register(CouponProduct)
class CouponProductAdmin(ConsoleAdmin):
    wire_parents = {"coupon": "coupon", "prod": "product"}
    searches_text = False
    list_display = ["coupon", "product", "environment"]
    list_filter = ["environment", "environment__mode"]
    list_select_related = ["environment__company", "coupon", "product"]
    search_fields = ["product__name"]
    search_help_text = gettext_lazy("The id of a coupon (coupon_…) or a product (prod_…).")
    ordering = ["-pk"]
    fields = ["coupon", "product", "environment"]


@admin.register(PromotionCode)
class PromotionCodeAdmin(ConsoleAdmin):
    wire_prefix = "promo"
    wire_parents = {"coupon": "coupon", "cus": "customer"}
    can_change = True
    list_display = ["code", "coupon", "customer", "active", "times_redeemed", "expires_at", "environment"]
    list_filter = ["environment", "environment__mode", "active"]
    list_select_related = ["environment__company", "coupon", "customer"]
    search_fields = ["code__iexact"]
    ordering = ["-created_at", "-pk"]
    fields = [
        "code",
        "active",
        "coupon",
        "environment",
        "customer",
        ("times_redeemed", "max_redemptions"),
        "expires_at",
        "first_time_transaction",
        "minimum",
        "created_at",
    ]
    editable = ("active",)

    def update(self, row: Any, form: Any) -> None:
        services.update_promotion_code(promotion_code=row, now=timezone.now(), active=form.cleaned_data["active"])

    @display(description=gettext_lazy("minimum amount"))
    def minimum(self, row: PromotionCode) -> str | SafeString:
        if row.minimum_amount is None:
            return cells.EMPTY
        return cells.amount(row.minimum_amount, row.minimum_amount_currency)


@admin.register(Discount)
class DiscountAdmin(ConsoleAdmin):
    wire_prefix = "di"
    wire_parents = {"coupon": "coupon", "cus": "customer", "sub": "subscription", "si": "subscription_item"}
    searches_text = False
    list_display = ["coupon", "customer", "subscription", "start_at", "end_at", "used_at", "removed_at", "environment"]
    list_filter = ["environment", "environment__mode", "removed_at"]
    list_select_related = ["environment__company", "coupon", "customer", "subscription__customer"]
    search_fields = ["coupon__name"]
    search_help_text = gettext_lazy("The id of a discount (di_…), coupon, customer, subscription or subscription item.")
    ordering = ["-start_at", "-pk"]
    fields = [
        "coupon",
        "promotion_code",
        "environment",
        "customer",
        "subscription",
        "subscription_item",
        "position",
        ("start_at", "end_at"),
        ("used_at", "removed_at"),
    ]


@admin.register(TaxRate)
class TaxRateAdmin(ConsoleAdmin):
    """What a rate comes to never changes; its labels may."""

    wire_prefix = "txr"
    can_add = can_change = True
    list_display = ["display_name", "rate", "inclusive", "country", "jurisdiction", "active", "environment"]
    list_filter = ["environment", "environment__mode", "active", "inclusive"]
    list_select_related = ["environment__company"]
    search_fields = ["display_name__icontains", "jurisdiction__icontains"]
    ordering = ["-created_at", "-pk"]
    fields = [
        "display_name",
        "rate",
        "inclusive",
        "active",
        "environment",
        ("country", "state"),
        "jurisdiction",
        "tax_type",
        "description",
        "created_at",
    ]
    editable = ("display_name", "active", "country", "state", "jurisdiction", "description")
    add_fieldsets = (
        (None, {"fields": ("environment", "display_name", "percentage", "inclusive", "country", "jurisdiction")}),
    )

    def create(self, form: Any) -> TaxRate:
        return services.create_tax_rate(now=timezone.now(), **form.cleaned_data)

    def update(self, row: Any, form: Any) -> None:
        changes = {name: form.cleaned_data[name] for name in form.changed_data}
        services.update_tax_rate(tax_rate=row, now=timezone.now(), **changes)

    @display(description=gettext_lazy("percentage"), ordering="percentage")
    def rate(self, row: TaxRate) -> SafeString:
        return format_html("{} %", cells.quantity(row.percentage))


@admin.register(AppliedTaxRate)
class AppliedTaxRateAdmin(ConsoleAdmin):
    wire_parents = {"txr": "tax_rate", "cus": "customer", "sub": "subscription", "si": "subscription_item"}
    searches_text = False
    list_display = ["tax_rate", "customer", "subscription", "subscription_item", "environment"]
    list_filter = ["environment", "environment__mode"]
    list_select_related = [
        "environment__company",
        "tax_rate",
        "customer",
        "subscription__customer",
        "subscription_item__price__product",
    ]
    search_fields = ["tax_rate__display_name"]
    search_help_text = gettext_lazy("The id of a tax rate (txr_…), customer, subscription or subscription item.")
    ordering = ["-pk"]
    fields = ["tax_rate", "environment", "customer", "subscription", "subscription_item", "position"]
