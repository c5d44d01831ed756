"""An invoice on paper."""

from dataclasses import asdict
from typing import Literal

from accounts.models import CompanyLogo
from core.typesetting import typeset
from invoices.documents.contents import document_of
from invoices.models import Invoice

# As Unicode has one code for what is drawn differently in each of these countries.
_HAN = {"JP": "JP", "KR": "KR", "TW": "TC", "HK": "HK", "MO": "HK"}


def print_invoice(invoice: Invoice, *, output: Literal["pdf", "png"] = "pdf") -> bytes:
    """An invoice as a PDF. A final one's is the same, byte by byte, for as long as it says the same.

    :raises core.typesetting.TypesettingFailed: if it cannot be made, or not in time
    """
    document = document_of(invoice)
    logo = CompanyLogo.objects.filter(company=invoice.environment.company_id).first()
    data = {
        **asdict(document),
        "han": _HAN.get(document.country.upper(), "SC"),
        # JSON has no bytes.
        "logo": None if logo is None else {"bytes": list(bytes(logo.image)), "format": logo.format},
    }
    return typeset("invoice.typ", data, created_at=invoice.finalized_at or invoice.created_at, output=output)
