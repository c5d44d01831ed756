"""The console's way to invoices and credit notes as payers see them: in print, and on their pages."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.contrib.admin import display
from django.contrib.admin.utils import unquote
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.console.base import ConsoleAdmin
from accounts.console.commands import Command
from invoices import services
from invoices.links import token_of
from invoices.models import HostedLink, Invoice

LINK_COMMANDS = [
    Command[Invoice](
        name="replace_link",
        title=gettext_lazy("New link"),
        icon="add_link",
        applies=lambda invoice: invoice.status != Invoice.Status.DRAFT,
        consequence=lambda _invoices: _(
            "The payer's page gets a new address. The ones before open nothing any more, wherever they were sent."
        ),
        run=lambda invoice, now: services.replace_link(invoice=invoice, now=now),
        done=gettext_lazy("has a new link."),
    ),
    Command[Invoice](
        name="close_link",
        title=gettext_lazy("Close link"),
        icon="link_off",
        applies=lambda invoice: token_of(invoice) is not None,
        consequence=lambda _invoices: _("The payer's page opens for nobody any more, until there is a new link."),
        run=lambda invoice, now: services.close_link(invoice=invoice, now=now),
        done=gettext_lazy("its link is closed."),
        warns=True,
    ),
]


class PrintedPages(ConsoleAdmin):
    """The console's page of what is printed, with its documents.

    :cvar print: makes the PDF of a row; drafts are printed here alone, and say that they are drafts
    :cvar page_of: where the payer sees a row, if anywhere
    """

    print: Callable[[Any], bytes]
    page_of: Callable[[Any], str | None]

    def get_urls(self) -> list[URLPattern]:
        printed = path("<path:object_id>/pdf/", self.admin_site.admin_view(self.pdf_view), name=self._url_name("pdf"))
        return [printed, *super().get_urls()]

    def pdf_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.get_object(request, unquote(object_id))
        if row is None:
            raise Http404
        answer = HttpResponse(type(self).print(row), content_type="application/pdf")
        name = str(self.opts.verbose_name).replace(" ", "-")
        answer["Content-Disposition"] = f'inline; filename="{name}-{row.number or "draft"}.pdf"'
        answer["Cache-Control"] = "no-store"
        return answer

    @display(description=gettext_lazy("documents"))
    def documents_column(self, row: Any) -> SafeString:
        printed = format_html(
            '<a class="tb-link" href="{}">PDF</a>', reverse(f"admin:{self._url_name('pdf')}", args=[row.pk])
        )
        page = type(self).page_of(row)
        if page is None:
            return printed
        return format_html('{}, <a class="tb-link" href="{}" rel="noreferrer">the payer\'s page</a>', printed, page)


@admin.register(HostedLink)
class HostedLinkAdmin(ConsoleAdmin):
    """Links that were replaced or closed, on the page of their invoice."""

    wire_parents = {"in": "invoice"}
    searches_text = False
    list_display = ["invoice", "environment", "number", "is_open", "changed_at"]
    list_filter = ["environment", "environment__mode", "is_open", "changed_at"]
    list_select_related = ["environment__company", "invoice"]
    search_fields = ["invoice__number"]
    search_help_text = gettext_lazy("The id of an invoice (in_…).")
    ordering = ["-changed_at", "-pk"]
    fields = ["invoice", "environment", "number", "is_open", "changed_at"]
