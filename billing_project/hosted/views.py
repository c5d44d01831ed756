"""``/i/<token>``: an invoice for whoever pays it. The link is all that it takes, so nothing of it may leak or stay behind."""

import base64
from collections.abc import Callable
from functools import wraps
from http import HTTPStatus

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.models import CompanyLogo
from core.typesetting import TypesettingFailed
from invoices.documents import document_of, print_invoice
from invoices.links import invoice_of
from invoices.models import Invoice

_HEADERS = {
    # The page brings nothing of others, runs nothing, sends nothing and stands in no frame.
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    # What is a secret stays out of caches, search engines and other sites' logs.
    "Cache-Control": "no-store, private",
    "X-Robots-Tag": "noindex, nofollow, noarchive",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_RETRY_AFTER_SECONDS = "5"

_View = Callable[[HttpRequest, Invoice, str], HttpResponse]


def _by_token(view: _View) -> Callable[[HttpRequest, str], HttpResponse]:
    """For whom a link opens an invoice. Whatever opens nothing is answered alike: wrong, closed, or of a draft."""

    @require_safe
    @wraps(view)
    def answer(request: HttpRequest, token: str) -> HttpResponse:
        invoice = invoice_of(token)
        if invoice is None:
            response = render(request, "hosted/missing.html", status=HTTPStatus.NOT_FOUND)
        else:
            response = view(request, invoice, token)
        for name, value in _HEADERS.items():
            response[name] = value
        return response

    return answer


@_by_token
def invoice_page(request: HttpRequest, invoice: Invoice, token: str) -> HttpResponse:
    logo = CompanyLogo.objects.filter(company=invoice.environment.company_id).first()
    status, tone = _status(invoice)
    context = {
        "document": document_of(invoice),
        "token": token,
        "logo": _data_uri(logo) if logo else "",
        "status": status,
        "tone": tone,
    }
    return render(request, "hosted/invoice.html", context)


@_by_token
def invoice_pdf(request: HttpRequest, invoice: Invoice, token: str) -> HttpResponse:  # noqa: ARG001 (as all of them)
    try:
        printed = print_invoice(invoice)
    except TypesettingFailed:
        response = render(request, "hosted/busy.html", status=HTTPStatus.SERVICE_UNAVAILABLE)
        response["Retry-After"] = _RETRY_AFTER_SECONDS
        return response
    response = HttpResponse(printed, content_type="application/pdf")
    response["Content-Disposition"] = f'inline; filename="invoice-{invoice.number}.pdf"'
    return response


def _status(invoice: Invoice) -> tuple[str, str]:
    """What the page says of an invoice's state, and how loudly."""
    match invoice.status:
        case Invoice.Status.PAID:
            return "Paid", "good"
        case Invoice.Status.VOID:
            return "Void", "plain"
        case _ if invoice.due_at is not None and invoice.due_at < invoice.customer.now(timezone.now()):
            return "Past due", "bad"
        case _:
            return "Open", "open"


def _data_uri(logo: CompanyLogo) -> str:
    kind = "jpeg" if logo.format == CompanyLogo.Format.JPEG else logo.format
    return f"data:image/{kind};base64,{base64.b64encode(bytes(logo.image)).decode()}"
