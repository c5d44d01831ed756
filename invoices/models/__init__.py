"""Invoices, and what is kept beside them."""

from invoices.models.balances import (
    CustomerBalance,
    CustomerBalanceTransaction,
    CustomerBalanceTransactionQuerySet,
)
from invoices.models.credit_notes import (
    CreditNote,
    CreditNoteLine,
    CreditNoteLineDiscount,
    CreditNoteLineTax,
    CreditNoteQuerySet,
)
from invoices.models.documents import (
    Invoice,
    InvoiceLine,
    InvoiceLineQuerySet,
    InvoiceNumbering,
    InvoiceQuerySet,
)
from invoices.models.edits import DraftEdit, DraftEditQuerySet
from invoices.models.exports import Export, ExportQuerySet
from invoices.models.failures import BillingFailure, BillingFailureQuerySet
from invoices.models.figures import RevenueFigure
from invoices.models.items import InvoiceItem, InvoiceItemQuerySet
from invoices.models.links import HostedLink
from invoices.models.mails import InvoiceMail, InvoiceMailQuerySet
from invoices.models.payments import Payment, PaymentQuerySet
from invoices.models.recharges import (
    AutoRecharge,
    AutoRechargeQuerySet,
    Recharge,
    RechargeOffer,
    RechargeOfferQuerySet,
    RechargeQuerySet,
)
from invoices.models.reductions import (
    InvoiceDiscount,
    InvoiceTaxRate,
    ItemDiscount,
    ItemTaxRate,
    LineDiscount,
    LineTax,
)
from invoices.models.verifications import InvoiceVerification, InvoiceVerificationQuerySet
from invoices.models.what_ifs import WhatIf, WhatIfOutcome, WhatIfQuerySet

__all__ = [
    "AutoRecharge",
    "AutoRechargeQuerySet",
    "BillingFailure",
    "BillingFailureQuerySet",
    "CreditNote",
    "CreditNoteLine",
    "CreditNoteLineDiscount",
    "CreditNoteLineTax",
    "CreditNoteQuerySet",
    "CustomerBalance",
    "CustomerBalanceTransaction",
    "CustomerBalanceTransactionQuerySet",
    "DraftEdit",
    "DraftEditQuerySet",
    "Export",
    "ExportQuerySet",
    "HostedLink",
    "Invoice",
    "InvoiceDiscount",
    "InvoiceItem",
    "InvoiceItemQuerySet",
    "InvoiceLine",
    "InvoiceLineQuerySet",
    "InvoiceMail",
    "InvoiceMailQuerySet",
    "InvoiceNumbering",
    "InvoiceQuerySet",
    "InvoiceTaxRate",
    "InvoiceVerification",
    "InvoiceVerificationQuerySet",
    "ItemDiscount",
    "ItemTaxRate",
    "LineDiscount",
    "LineTax",
    "Payment",
    "PaymentQuerySet",
    "Recharge",
    "RechargeOffer",
    "RechargeOfferQuerySet",
    "RechargeQuerySet",
    "RevenueFigure",
    "WhatIf",
    "WhatIfOutcome",
    "WhatIfQuerySet",
]
