"""Who bills whom: names and addresses, which stay on an invoice as they were when it became final."""

from typing import Any, TypedDict

from accounts.models import Company, Customer
from invoices.models import Invoice


class Seller(TypedDict):
    name: str
    address: list[str]


class Buyer(TypedDict):
    name: str
    email: str
    phone: str
    address: dict[str, Any] | None


class Parties(TypedDict):
    seller: Seller
    buyer: Buyer


def present_parties(company: Company, customer: Customer) -> Parties:
    """What would be printed now."""
    return {
        "seller": {"name": company.name, "address": company.postal_address.splitlines()},
        "buyer": {
            "name": customer.name,
            "email": customer.email,
            "phone": customer.phone,
            "address": customer.address,
        },
    }


def parties_of(invoice: Invoice) -> Parties:
    """A draft's are those of the day. So are those of an invoice from before they were kept."""
    kept: Parties | None = invoice.parties
    return kept or present_parties(invoice.environment.company, invoice.customer)
