"""Every write to invoices, and to subscriptions where money is due for it."""

from invoices.services.balances import adjust_balance, set_balance, update_balance_transaction
from invoices.services.closing import GRACE, close_due_periods
from invoices.services.finalizing import (
    finalize_due_drafts,
    finalize_invoice,
    pay_invoice_out_of_band,
    void_invoice,
)
from invoices.services.previewing import PreviewedInvoice, preview_invoice
from invoices.services.recounting import RECOUNTED_DAYS, recount_invoiced_usage
from invoices.services.retention import drop_expired_usage
from invoices.services.subscribing import (
    SubscriptionTerms,
    cancel_subscription,
    delete_customer,
    start_subscription,
)
from invoices.services.sweeping import Swept

__all__ = [
    "GRACE",
    "RECOUNTED_DAYS",
    "PreviewedInvoice",
    "SubscriptionTerms",
    "Swept",
    "adjust_balance",
    "cancel_subscription",
    "close_due_periods",
    "delete_customer",
    "drop_expired_usage",
    "finalize_due_drafts",
    "finalize_invoice",
    "pay_invoice_out_of_band",
    "preview_invoice",
    "recount_invoiced_usage",
    "set_balance",
    "start_subscription",
    "update_balance_transaction",
    "void_invoice",
]
