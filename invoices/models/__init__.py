"""Invoices, and what is kept beside them."""

from invoices.models.documents import (
    Invoice,
    InvoiceLine,
    InvoiceLineQuerySet,
    InvoiceNumbering,
    InvoiceQuerySet,
)
from invoices.models.failures import BillingFailure, BillingFailureQuerySet

__all__ = [
    "BillingFailure",
    "BillingFailureQuerySet",
    "Invoice",
    "InvoiceLine",
    "InvoiceLineQuerySet",
    "InvoiceNumbering",
    "InvoiceQuerySet",
]
