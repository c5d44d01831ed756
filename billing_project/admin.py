"""What the console's pages of one app say of another's, where the first may not know the second."""

from typing import Any

from django.contrib import admin
from django.contrib.admin import display
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import Customer
from billing_project.console.backfill_pages import BackfillPages
from billing_project.console.customer_page import CustomerPages
from billing_project.console.event_debugger import DebuggedEvents
from billing_project.console.meter_explorer import ExploredMeters
from core.console import cells
from invoices.models import InvoiceLine
from invoices.tracing import Trace, trace
from meters.models import Meter
from usage.models import Backfill, MeterEvent

admin.site.unregister(MeterEvent)
admin.site.unregister(Customer)
admin.site.unregister(Meter)
admin.site.register(Backfill, BackfillPages)
admin.site.register(Customer, CustomerPages)
admin.site.register(Meter, ExploredMeters)


@admin.register(MeterEvent)
class BilledEventAdmin(DebuggedEvents):
    """An event with the invoice lines that it is billed on."""

    fields = [*DebuggedEvents.fields[:-2], "billing", *DebuggedEvents.fields[-2:]]

    @display(description=gettext_lazy("billing"))
    def billing(self, row: MeterEvent) -> str | SafeString:
        traces = trace(row)
        if not traces:
            return _("No subscription of the customer bills this meter at that time.")
        return format_html_join(SafeString("<br>"), "{}", ((self._sentence(found),) for found in traces))

    def _sentence(self, found: Trace) -> SafeString:
        words = found.fate.value[0].upper() + found.fate.value[1:]
        lines = [line for line in (found.true_up, found.line) if line is not None]
        return format_html(
            '<span class="facts"><span>{}</span>{}</span>',
            words,
            format_html_join("", "<span>{}</span>", ((self._line(line),) for line in lines)),
        )

    def _line(self, line: Any) -> SafeString:
        page: InvoiceLine = line
        return format_html(
            '<a href="{}">{}</a>, {}, {}',
            reverse(f"{self.admin_site.name}:invoices_invoiceline_explain", args=[page.pk]),
            _("late usage") if page.trues_up_id else _("line"),
            page.invoice.number or _("of a draft"),
            cells.period(page.period),
        )
