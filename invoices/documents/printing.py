"""Invoices and credit notes on paper."""

from dataclasses import asdict
from datetime import datetime
from typing import Literal
from uuid import UUID

from accounts.models import CompanyLogo
from core.typesetting import typeset
from invoices.documents.contents import Document, document_of
from invoices.documents.notes import document_of_note
from invoices.models import CreditNote, Invoice

# As Unicode has one code for what is drawn differently in each of these countries.
_HAN = {"JP": "JP", "KR": "KR", "TW": "TC", "HK": "HK", "MO": "HK"}
_Output = Literal["pdf", "png"]


def print_invoice(invoice: Invoice, *, output: _Output = "pdf") -> bytes:
    """An invoice as a PDF. A final one's is the same, byte by byte, for as long as it says the same.

    :raises core.typesetting.TypesettingFailed: if it cannot be made, or not in time
    """
    made_at = invoice.finalized_at or invoice.created_at
    return _print(document_of(invoice), invoice.environment.company_id, made_at, output)


def print_credit_note(note: CreditNote, *, output: _Output = "pdf") -> bytes:
    """A credit note as a PDF, which is the same, byte by byte, for as long as it says the same.

    :raises core.typesetting.TypesettingFailed: if it cannot be made, or not in time
    """
    return _print(document_of_note(note), note.environment.company_id, note.created_at, output)


def _print(document: Document, company_id: UUID, made_at: datetime, output: _Output) -> bytes:
    logo = CompanyLogo.objects.filter(company=company_id).first()
    data = {
        **asdict(document),
        "han": _HAN.get(document.country.upper(), "SC"),
        # JSON has no bytes.
        "logo": None if logo is None else {"bytes": list(bytes(logo.image)), "format": logo.format},
    }
    return typeset("invoice.typ", data, created_at=made_at, output=output)
