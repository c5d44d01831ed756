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
from invoices.models.reductions import InvoiceDiscount, LineDiscount, LineTax

__all__ = [
    "BillingFailure",
    "BillingFailureQuerySet",
    "CustomerBalance",
    "CustomerBalanceTransaction",
    "CustomerBalanceTransactionQuerySet",
    "Invoice",
    "InvoiceDiscount",
    "InvoiceItem",
    "InvoiceItemQuerySet",
    "InvoiceLine",
    "InvoiceLineQuerySet",
    "InvoiceNumbering",
    "InvoiceQuerySet",
    "LineDiscount",
    "LineTax",
]
