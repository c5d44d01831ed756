"""The address under which whoever has it sees an invoice: no login, and nothing to guess.

A link is an invoice's id with 160 bits that only this instance can compute, from its secret key and how many links the
invoice has had. So none is stored, and a copy of the database opens nothing; another key ends all of them. An invoice's
credit notes are below it: whoever sees the one sees the others.
"""

import base64
import binascii
from uuid import UUID

from django.conf import settings
from django.utils.crypto import constant_time_compare, salted_hmac

from invoices.models import CreditNote, HostedLink, Invoice

PATH = "/i/"
_ID_BYTES, _PROOF_BYTES = 16, 20
_LENGTH = 4 * (_ID_BYTES + _PROOF_BYTES) // 3
_FIRST = 1


def token_of(invoice: Invoice) -> str | None:
    """What opens an invoice's page; None for a draft, and where the link was closed."""
    if invoice.status == Invoice.Status.DRAFT:
        return None
    link = _link_of(invoice)
    if link is not None and not link.is_open:
        return None
    return _token(invoice.pk, link.number if link else _FIRST)


def page_address(invoice: Invoice) -> str | None:
    """Where the payer sees the invoice; None as above, and where this instance does not know its own address."""
    token = token_of(invoice)
    return f"{settings.PUBLIC_URL}{PATH}{token}" if token and settings.PUBLIC_URL else None


def pdf_address(invoice: Invoice) -> str | None:
    return pdf_below(page_address(invoice))


def pdf_below(page: str | None) -> str | None:
    """Where the document of an invoice or a credit note is, by the address of its page."""
    return f"{page}/pdf" if page else None


def note_page_address(note: CreditNote) -> str | None:
    """Where the payer sees a credit note; None where its invoice is not to be seen."""
    page = page_address(note.invoice)
    return f"{page}/credit-notes/{note.sequence}" if page else None


def note_pdf_address(note: CreditNote) -> str | None:
    return pdf_below(note_page_address(note))


def invoice_of(token: str) -> Invoice | None:
    """The final invoice that a token opens. For whatever opens nothing the answer is the same."""
    identifier = _id_in(token)
    if identifier is None:
        return None
    found = Invoice.objects.select_related("hosted_link", "environment__company", "customer", "subscription")
    invoice = found.filter(pk=identifier).exclude(status=Invoice.Status.DRAFT).first()
    expected = token_of(invoice) if invoice else None
    # Compared in any case, so that the time tells no more than the answer.
    is_right = constant_time_compare(token, expected or _token(identifier, 0))
    return invoice if is_right and expected is not None else None


def note_of(invoice: Invoice, sequence: int) -> CreditNote | None:
    """An invoice's credit note by its place among them."""
    note = CreditNote.objects.filter(environment=invoice.environment_id, invoice=invoice, sequence=sequence)
    found = note.select_related("environment").first()
    if found is not None:
        # With all that a token's invoice brings.
        found.invoice = invoice
    return found


def _link_of(invoice: Invoice) -> HostedLink | None:
    return getattr(invoice, "hosted_link", None)


def _token(identifier: UUID, number: int) -> str:
    proof = salted_hmac("invoices.links", f"{identifier}/{number}", algorithm="sha256").digest()[:_PROOF_BYTES]
    return base64.urlsafe_b64encode(identifier.bytes + proof).decode()


def _id_in(token: str) -> UUID | None:
    if len(token) != _LENGTH or not token.isascii():
        return None
    try:
        return UUID(bytes=base64.b64decode(token, altchars=b"-_", validate=True)[:_ID_BYTES])
    except (binascii.Error, ValueError):
        return None
