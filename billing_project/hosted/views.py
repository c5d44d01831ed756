"""``/i/<token>``: an invoice, and its credit notes, for whoever pays it. The link is all that it takes, so nothing of it may leak or stay behind."""

import base64
from collections.abc import Callable, Sequence
from functools import partial, wraps
from http import HTTPStatus
from typing import TypeVar

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.models import CompanyLogo, Environment
from core.typesetting import TypesettingFailed
from invoices.documents import Document, document_of, document_of_note, print_credit_note, print_invoice
from invoices.links import invoice_of, note_of
from invoices.models import CreditNote, Invoice

_HEADERS = {
    # What is a secret stays out of caches, search engines and other sites' logs.
    "Cache-Control": "no-store, private",
    "X-Robots-Tag": "noindex, nofollow, noarchive",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_RETRY_AFTER_SECONDS = "5"

# What a link leads to: the invoice, or one of its credit notes.
_Shown = TypeVar("_Shown", Invoice, CreditNote)
_View = Callable[[HttpRequest, _Shown, str], HttpResponse]


def _by_token(view: "_View[Invoice]") -> Callable[[HttpRequest, str], HttpResponse]:
    """For whom a link opens an invoice. Whatever opens nothing is answered alike: wrong, closed, or of a draft."""

    @require_safe
    @wraps(view)
    def answer(request: HttpRequest, token: str) -> HttpResponse:
        return _answer(request, invoice_of(token), token, view)

    return answer


def _note_by_token(view: "_View[CreditNote]") -> Callable[[HttpRequest, str, int], HttpResponse]:
    """The same of a credit note, by the link of its invoice."""

    @require_safe
    @wraps(view)
    def answer(request: HttpRequest, token: str, sequence: int) -> HttpResponse:
        invoice = invoice_of(token)
        return _answer(request, None if invoice is None else note_of(invoice, sequence), token, view)

    return answer


def _answer(request: HttpRequest, shown: _Shown | None, token: str, view: "_View[_Shown]") -> HttpResponse:
    if shown is None:
        response = render(request, "hosted/missing.html", status=HTTPStatus.NOT_FOUND)
    else:
        response = view(request, shown, token)
    for name, value in _HEADERS.items():
        response[name] = value
    return response


@_by_token
def invoice_page(request: HttpRequest, invoice: Invoice, token: str) -> HttpResponse:
    notes = [
        (f"Credit note {note.number}", reverse("hosted-credit-note", args=[token, note.sequence]))
        for note in invoice.credit_notes.standing().order_by("sequence")
    ]
    pdf = reverse("hosted-invoice-pdf", args=[token])
    return _page(request, document_of(invoice), invoice.environment, _status(invoice), pdf=pdf, related=notes)


@_note_by_token
def note_page(request: HttpRequest, note: CreditNote, token: str) -> HttpResponse:
    status = ("Void", "plain") if note.status == CreditNote.Status.VOID else ("Issued", "good")
    pdf = reverse("hosted-credit-note-pdf", args=[token, note.sequence])
    back = (f"Invoice {note.invoice.number}", reverse("hosted-invoice", args=[token]))
    return _page(request, document_of_note(note), note.environment, status, pdf=pdf, related=[back])


@_by_token
def invoice_pdf(request: HttpRequest, invoice: Invoice, token: str) -> HttpResponse:  # noqa: ARG001 (as all of them)
    return _pdf(request, partial(print_invoice, invoice), name=f"invoice-{invoice.number}")


@_note_by_token
def note_pdf(request: HttpRequest, note: CreditNote, token: str) -> HttpResponse:  # noqa: ARG001 (as all of them)
    return _pdf(request, partial(print_credit_note, note), name=f"credit-note-{note.number}")


def _page(
    request: HttpRequest,
    document: Document,
    environment: Environment,
    status: tuple[str, str],
    *,
    pdf: str,
    related: Sequence[tuple[str, str]],
) -> HttpResponse:
    """
    :param related: other pages of the same link, by what they are called
    """
    logo = CompanyLogo.objects.filter(company=environment.company_id).first()
    words, tone = status
    context = {
        "document": document,
        "pdf": pdf,
        "related": related,
        "logo": _data_uri(logo) if logo else "",
        "status": words,
        "tone": tone,
    }
    return render(request, "hosted/document.html", context)


def _pdf(request: HttpRequest, print_: Callable[[], bytes], *, name: str) -> HttpResponse:
    try:
        printed = print_()
    except TypesettingFailed:
        response = render(request, "hosted/busy.html", status=HTTPStatus.SERVICE_UNAVAILABLE)
        response["Retry-After"] = _RETRY_AFTER_SECONDS
        return response
    response = HttpResponse(printed, content_type="application/pdf")
    response["Content-Disposition"] = f'inline; filename="{name}.pdf"'
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
