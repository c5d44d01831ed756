"""The console's page of invoices that were computed again."""

from collections.abc import Sequence
from datetime import datetime

from django.contrib import admin
from django.contrib.admin import display
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from accounts.console.base import ConsoleAdmin
from accounts.console.commands import Command
from core.console import cells
from invoices import services
from invoices.models import Invoice, InvoiceVerification


def _resolve(verification: InvoiceVerification, now: datetime) -> None:
    services.resolve_verification(verification=verification, now=now)


def _resolved(verifications: Sequence[InvoiceVerification]) -> str:
    return ngettext(
        "This difference is explained and settled: no alarm any more. It stays on record, and the invoice does not change. "
        "What was billed wrongly is put right by a credit note, or on the next invoice.",
        "These {count} differences are explained and settled: no alarm any more. They stay on record, and the invoices do "
        "not change. What was billed wrongly is put right by credit notes, or on the next invoices.",
        len(verifications),
    ).format(count=len(verifications))


def _verified(found: InvoiceVerification) -> str:
    if found.is_equal:
        return _("computed again, everything on it comes out the same.")
    count = len(found.differences)
    return ngettext(
        "computed again, it comes out different in {count} amount: see its verification.",
        "computed again, it comes out different in {count} amounts: see its verification.",
        count,
    ).format(count=count)


VERIFY = Command[Invoice](
    name="verify",
    title=gettext_lazy("Compute again"),
    icon="fact_check",
    applies=lambda invoice: invoice.status != Invoice.Status.DRAFT,
    consequence=lambda _invoices: _(
        "Usage is counted from the events, rated anew and added up, and held against what was billed. The invoice stays as "
        "it is; a difference is an alarm until somebody settles it."
    ),
    run=lambda invoice, _now: services.verify_invoice(invoice=invoice, now=timezone.now()),
    done=_verified,
)


@admin.register(InvoiceVerification)
class InvoiceVerificationAdmin(ConsoleAdmin):
    """Each should be equal: what differs is an alarm until somebody has explained it."""

    names_environment = True
    wire_parents = {"in": "invoice"}
    searches_text = False
    list_display = ["invoice", "outcome", "environment", "line_count", "uncounted", "verified_at", "resolved_at"]
    list_filter = [
        "environment",
        "environment__mode",
        "is_equal",
        ("resolved_at", admin.EmptyFieldListFilter),
    ]
    list_select_related = ["environment__company", "invoice__customer"]
    search_fields = ["=invoice__number"]
    search_help_text = gettext_lazy("The id of an invoice (in_…).")
    ordering = ["-verified_at", "-pk"]
    fields = [
        "invoice",
        "environment",
        "outcome",
        "line_count",
        "uncounted",
        "differences_document",
        "verified_at",
        "resolved_at",
    ]
    commands = [
        Command[InvoiceVerification](
            name="resolve",
            title=gettext_lazy("Settle"),
            icon="check",
            applies=lambda verification: not verification.is_equal and verification.resolved_at is None,
            consequence=_resolved,
            run=_resolve,
            done=gettext_lazy("settled."),
        )
    ]

    @display(description=gettext_lazy("outcome"))
    def outcome(self, row: InvoiceVerification) -> str:
        return _("equal") if row.is_equal else _("{count} differ").format(count=len(row.differences))

    @display(description=gettext_lazy("differences"))
    def differences_document(self, row: InvoiceVerification) -> str | SafeString:
        return cells.document(row.differences)
