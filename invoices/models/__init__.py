"""Invoices, and what is kept beside them."""

from invoices.models.balances import (
    CustomerBalance,
    CustomerBalanceTransaction,
    CustomerBalanceTransactionQuerySet,
)
from invoices.models.documents import (
    Invoice,
    InvoiceLine,
    InvoiceLineQuerySet,
    InvoiceNumbering,
    InvoiceQuerySet,
)
from invoices.models.failures import BillingFailure, BillingFailureQuerySet
from invoices.models.items import InvoiceItem, InvoiceItemQuerySet

__all__ = [
    "BillingFailure",
    "BillingFailureQuerySet",
    "CustomerBalance",
    "CustomerBalanceTransaction",
    "CustomerBalanceTransactionQuerySet",
    "Invoice",
    "InvoiceItem",
    "InvoiceItemQuerySet",
    "InvoiceLine",
    "InvoiceLineQuerySet",
    "InvoiceNumbering",
    "InvoiceQuerySet",
]
