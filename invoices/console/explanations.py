"""The console's explanation of an invoice line: from its amount back to price, tiers, period and events."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, OuterRef, Sum
from django.http import Http404, HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.console.base import ConsoleAdmin
from accounts.console.walls import permits
from core.console.theme import Button, add_buttons
from core.periods import ceil_hour, floor_hour
from credits.models import LedgerEntry
from invoices import services
from invoices.models import Invoice, InvoiceLine, InvoiceVerification
from invoices.steps import Change, change_between, price_words, steps_of
from invoices.true_ups import late_usage
from usage.models import EventAdjustment, MeterEvent

MOST_EVENTS = 20


@dataclass(frozen=True, slots=True)
class Comparison:
    """The line of the period before, of the same subscription item, and what has changed since."""

    before: InvoiceLine
    change: Change


class ExplainedLines(ConsoleAdmin):
    """Invoice lines, each with a page that explains it and can have it computed again."""

    def get_urls(self) -> list[URLPattern]:
        own = path(
            "<path:object_id>/explain/", self.admin_site.admin_view(self.explain_view), name=self._url_name("explain")
        )
        return [own, *super().get_urls()]

    def leads(self, request: HttpRequest, row: Any) -> list[Button]:  # noqa: ARG002
        return [Button(_("Explain this line"), self._url("explain", row.pk), "troubleshoot")]

    def explain_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """The explanation (GET); its invoice computed again and compared (POST)."""
        line = self.get_object(request, unquote(object_id))
        if line is None:
            raise Http404
        may_verify = line.invoice.status != Invoice.Status.DRAFT and permits(
            request, "invoices.change_invoiceverification", line
        )
        if request.method == "POST":
            if not may_verify:
                raise PermissionDenied
            self._verify(request, line)
            return HttpResponseRedirect(request.path)
        context = {
            **self.admin_site.each_context(request),
            **explanation(line),
            "title": _("Explain this line"),
            "opts": self.opts,
            "object": line,
            "may_verify": may_verify,
            "may_see_events": permits(request, "usage.view_meterevent", line),
        }
        add_buttons(
            context,
            [
                Button(_("The line's record"), self._url("change", line.pk), "list_alt"),
                Button(_("Invoice"), reverse("admin:invoices_invoice_change", args=[line.invoice_id]), "receipt_long"),
            ],
        )
        return TemplateResponse(request, "console/explain_line.html", context)

    def _verify(self, request: HttpRequest, line: InvoiceLine) -> None:
        found = services.verify_invoice(invoice=line.invoice, now=timezone.now())
        self.log_change(request, line.invoice, "Computed again")
        if found.is_equal:
            self.message_user(request, _("Computed again: everything on the invoice comes out the same."))
        else:
            self.message_user(request, _("Computed again: it comes out different."), messages.ERROR)


def explanation(line: Any) -> dict[str, Any]:
    """What the page is made from.

    :param line: with its invoice, customer, price and item
    """
    invoice = line.invoice
    of_line = {"environment": line.environment_id, "line": line.pk}
    # What a void invoice gave back is in the ledger, too.
    credit = (
        LedgerEntry.objects.filter(environment=line.environment_id, invoice_id=invoice.pk, invoice_line_id=line.pk)
        .order_by()
        .aggregate(taken=Sum("amount"))["taken"]
    )
    discounts = [
        (one.discount, -one.amount) for one in line.discounts.filter(**of_line).select_related("discount__coupon")
    ]
    taxes = list(line.taxes.filter(**of_line).select_related("tax_rate"))
    credit = int(credit or 0)
    added = sum(tax.amount for tax in taxes if not tax.tax_rate.inclusive)
    is_metered = "meter" in line.basis
    return {
        "line": line,
        "invoice": invoice,
        "currency": invoice.currency,
        "basis": line.basis,
        "is_metered": is_metered,
        "read_at": datetime.fromisoformat(line.basis["read_at"]) if is_metered else None,
        "event_count": int(line.basis["event_count"]) if is_metered else 0,
        "used": line.basis.get("used"),
        "price_words": price_words(line.price) if line.price else "",
        "steps": steps_of(line, invoice.currency),
        "discounts": discounts,
        "taxes": taxes,
        "credit": credit,
        "comes_to": line.amount + sum(amount for _discount, amount in discounts) + credit + added,
        "comparison": _comparison(line),
        "late": late_usage(line),
        "verification": _verification(line),
        **(_events(line) if is_metered else {}),
    }


def _comparison(line: Any) -> Comparison | None:
    if line.subscription_item_id is None or line.trues_up_id is not None:
        return None
    before = (
        InvoiceLine.objects.filter(
            environment=line.environment_id,
            subscription_item=line.subscription_item_id,
            period_end__lte=line.period_start,
            trues_up__isnull=True,
            invoice_item__isnull=True,
        )
        .exclude(invoice__status=Invoice.Status.VOID)
        .select_related("invoice", "price__product")
        .prefetch_related("price__tiers")
        .order_by("-period_end", "-pk")
        .first()
    )
    return Comparison(before, change_between(before, line)) if before else None


def _verification(line: Any) -> dict[str, Any] | None:
    found = InvoiceVerification.objects.filter(invoice=line.invoice_id).first()
    if found is None:
        return None
    return {
        "at": found.verified_at,
        "is_equal": found.is_equal,
        # Of this line, and of the invoice's totals.
        "differences": [one for one in found.differences if one["line"] in ("", str(line.pk))],
        "elsewhere": sum(one["line"] not in ("", str(line.pk)) for one in found.differences),
    }


def _events(line: Any) -> dict[str, Any]:
    """The newest events of the line's period, with what became of each, and where the others are."""
    canceled = EventAdjustment.objects.filter(environment=OuterRef("environment"), event_id=OuterRef("pk"))
    which = {"environment": line.environment_id, "meter": line.basis["meter"], "customer": line.basis["customer"]}
    events = (
        MeterEvent.objects.filter(timestamp__gte=line.period_start, timestamp__lt=line.period_end, **which)
        .annotate(is_canceled=Exists(canceled))
        .order_by("-timestamp")
    )
    ids = {f"{name}__id__exact": value for name, value in which.items()}
    span = {"timestamp__gte": line.period_start.isoformat(), "timestamp__lt": line.period_end.isoformat()}
    hours = {"hour__gte": floor_hour(line.period_start), "hour__lt": ceil_hour(line.period_end)}
    return {
        "events": list(events[:MOST_EVENTS]),
        "events_link": f"{reverse('admin:usage_meterevent_changelist')}?{urlencode({**ids, **span})}",
        "summaries_link": f"{reverse('admin:usage_usagesummary_changelist')}?"
        + urlencode({**ids, **{name: at.isoformat() for name, at in hours.items()}}),
    }
