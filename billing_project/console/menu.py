"""The console's menu: what the person may see, in the order of their day."""

from typing import Any

from django.apps import apps
from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.console.walls import permits
from billing_project.console.import_page import may_import
from billing_project.console.meter_explorer import PERMISSION as EXPLORING
from invoices.console.exports import PERMISSION

GROUPS: tuple[tuple[Any, tuple[tuple[str, str], ...]], ...] = (
    (
        gettext_lazy("Billing"),
        (
            ("invoices.Invoice", "receipt_long"),
            ("invoices.Payment", "payments"),
            ("invoices.CreditNote", "undo"),
            ("invoices.InvoiceItem", "pending_actions"),
            ("invoices.BillingFailure", "report"),
            ("invoices.InvoiceVerification", "fact_check"),
            ("invoices.InvoiceMail", "mail"),
            ("credits.CreditGrant", "redeem"),
            ("subscriptions.Subscription", "autorenew"),
            ("accounts.Customer", "groups"),
        ),
    ),
    (
        gettext_lazy("Catalog"),
        (
            ("subscriptions.Product", "inventory_2"),
            ("subscriptions.Price", "sell"),
            ("invoices.WhatIf", "query_stats"),
            ("subscriptions.Coupon", "loyalty"),
            ("subscriptions.PromotionCode", "redeem"),
            ("subscriptions.TaxRate", "percent"),
        ),
    ),
    (
        gettext_lazy("Usage"),
        (
            ("meters.Meter", "speed"),
            ("usage.UsageSummary", "bar_chart"),
            ("usage.MeterEvent", "stream"),
            ("usage.EventRejection", "unpublished"),
            ("usage.EventAdjustment", "undo"),
            ("usage.Backfill", "upload_file"),
            ("usage.RecountDifference", "rule"),
            ("webhooks.Event", "campaign"),
            ("webhooks.WebhookEndpoint", "webhook"),
            ("webhooks.Delivery", "send"),
        ),
    ),
    (
        gettext_lazy("Access"),
        (
            ("accounts.Company", "apartment"),
            ("accounts.Membership", "badge"),
            ("accounts.User", "person"),
            ("accounts.ApiKey", "key"),
            ("accounts.License", "verified"),
            ("accounts.ApprovalRequest", "how_to_reg"),
            ("accounts.ApprovalRule", "policy"),
            ("audit.Entry", "history"),
            ("accounts.ApiRequest", "api"),
        ),
    ),
    (
        gettext_lazy("Records"),
        (
            ("invoices.InvoiceLine", "list_alt"),
            ("invoices.DraftEdit", "edit_note"),
            ("invoices.WhatIfOutcome", "query_stats"),
            ("credits.LedgerEntry", "menu_book"),
            ("credits.EventCharge", "local_fire_department"),
            ("credits.CreditReservation", "bookmark"),
            ("credits.CreditHold", "lock"),
            ("invoices.AutoRecharge", "autorenew"),
            ("invoices.RechargeOffer", "local_offer"),
            ("invoices.Recharge", "bolt"),
            ("meters.Currency", "toll"),
            ("credits.CreditAccount", "account_circle"),
            ("credits.GrantedPrice", "price_check"),
            ("invoices.CustomerBalance", "account_balance"),
            ("invoices.CustomerBalanceTransaction", "swap_vert"),
            ("subscriptions.Discount", "local_offer"),
            ("subscriptions.CouponProduct", "category"),
            ("subscriptions.AppliedTaxRate", "request_quote"),
            ("invoices.InvoiceDiscount", "receipt"),
            ("invoices.InvoiceTaxRate", "request_quote"),
            ("invoices.ItemDiscount", "receipt"),
            ("invoices.ItemTaxRate", "request_quote"),
            ("invoices.LineDiscount", "remove_circle"),
            ("invoices.LineTax", "add_circle"),
            ("invoices.CreditNoteLine", "list_alt"),
            ("invoices.CreditNoteLineDiscount", "remove_circle"),
            ("invoices.CreditNoteLineTax", "add_circle"),
            ("subscriptions.PriceTier", "stacked_bar_chart"),
            ("subscriptions.SubscriptionItem", "format_list_bulleted"),
            ("subscriptions.ItemTerm", "history"),
            ("invoices.InvoiceNumbering", "tag"),
            ("invoices.HostedLink", "link"),
            ("invoices.Export", "download"),
            ("accounts.CustomerNote", "sticky_note_2"),
            ("accounts.CompanyLogo", "image"),
            ("accounts.LicenseNotice", "notifications"),
            ("accounts.Environment", "lan"),
            ("accounts.TestClock", "schedule"),
            ("accounts.IdempotencyRecord", "repeat"),
            ("usage.DirtyHour", "calculate"),
            ("usage.Watermark", "water"),
            ("credits.BurnMark", "water"),
            ("usage.DroppedMonth", "auto_delete"),
        ),
    ),
)


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """The groups of the menu, in the theme's shape, without what the person may not see."""
    pages = _pages(request)
    # Their addresses lie below those of lists, which the theme would take to be open as well.
    lists: dict[str, Any] = {"active": False} if any(request.path.startswith(page["link"]) for page in pages) else {}
    groups = [
        {"title": title, "separator": True, "collapsible": place == len(GROUPS) - 1, "items": items}
        for place, (title, entries) in enumerate(GROUPS)
        if (items := [_item(label, icon) | lists for label, icon in entries if _is_visible(label, request)])
    ]
    start = {"title": _("Start"), "icon": "home", "link": reverse("admin:index")}
    return [{"items": [start, *pages]}, *groups]


def _pages(request: HttpRequest) -> list[dict[str, Any]]:
    """Pages that are no list of rows."""
    pages = []
    if permits(request, PERMISSION):
        pages.append({"title": _("Revenue"), "icon": "monitoring", "link": reverse("admin:invoices_invoice_revenue")})
        pages.append({"title": _("Exports"), "icon": "download", "link": reverse("admin:invoices_invoice_export")})
    if may_import(request):
        pages.append({"title": _("Import"), "icon": "upload", "link": reverse("console-import")})
    if permits(request, EXPLORING):
        link = reverse("admin:meters_meter_explorer")
        pages.append({"title": _("Meter explorer"), "icon": "bar_chart", "link": link})
    if permits(request, "usage.view_meterevent"):
        link = reverse("admin:usage_meterevent_debugger")
        pages.append({"title": _("Event debugger"), "icon": "troubleshoot", "link": link})
    return pages


def _is_visible(label: str, request: HttpRequest) -> bool:
    return admin.site.get_model_admin(apps.get_model(label)).has_view_permission(request)


def _item(label: str, icon: str) -> dict[str, Any]:
    options = apps.get_model(label)._meta  # noqa: SLF001 (Django's own name for it)
    return {
        "title": capfirst(str(options.verbose_name_plural)),
        "icon": icon,
        "link": reverse(f"admin:{options.app_label}_{options.model_name}_changelist"),
    }
