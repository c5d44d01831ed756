"""Every write to invoices, and to subscriptions where money is due for it."""

from invoices.services.balances import adjust_balance, set_balance, update_balance_transaction
from invoices.services.bargaining import change_terms
from invoices.services.changing import ProrationBehavior, SubscriptionWords, update_subscription
from invoices.services.clocks import (
    advance_test_clock,
    delete_expired_test_clocks,
    delete_test_clock,
    run_test_clock,
    run_test_clocks,
)
from invoices.services.closing import GRACE
from invoices.services.collecting import mark_invoice_uncollectible, pay_invoice_out_of_band, void_invoice
from invoices.services.finalizing import finalize_invoice
from invoices.services.items import ItemTerms, create_invoice_item, remove_invoice_item, update_invoice_item
from invoices.services.manual import DraftTerms, InvoiceWords, create_invoice, currency_of, delete_draft, update_invoice
from invoices.services.previewing import PreviewedInvoice, preview_invoice
from invoices.services.recounting import RECOUNTED_DAYS, recount_invoiced_usage
from invoices.services.retention import drop_expired_usage
from invoices.services.stepping import close_due_periods, escalate_due_invoices, finalize_due_drafts
from invoices.services.subscribing import (
    SubscriptionTerms,
    cancel_subscription,
    delete_customer,
    start_subscription,
)
from invoices.services.sweeping import Swept
from invoices.services.timing import (
    cancel_later,
    change_trial_end,
    collect_again,
    pause_collection,
    pause_subscription,
    resume_subscription,
)
from invoices.services.trying import preview_after

__all__ = [
    "GRACE",
    "RECOUNTED_DAYS",
    "DraftTerms",
    "InvoiceWords",
    "ItemTerms",
    "PreviewedInvoice",
    "ProrationBehavior",
    "SubscriptionTerms",
    "SubscriptionWords",
    "Swept",
    "adjust_balance",
    "advance_test_clock",
    "cancel_later",
    "cancel_subscription",
    "change_terms",
    "change_trial_end",
    "close_due_periods",
    "collect_again",
    "create_invoice",
    "create_invoice_item",
    "currency_of",
    "delete_customer",
    "delete_draft",
    "delete_expired_test_clocks",
    "delete_test_clock",
    "drop_expired_usage",
    "escalate_due_invoices",
    "finalize_due_drafts",
    "finalize_invoice",
    "mark_invoice_uncollectible",
    "pause_collection",
    "pause_subscription",
    "pay_invoice_out_of_band",
    "preview_after",
    "preview_invoice",
    "recount_invoiced_usage",
    "remove_invoice_item",
    "resume_subscription",
    "run_test_clock",
    "run_test_clocks",
    "set_balance",
    "start_subscription",
    "update_balance_transaction",
    "update_invoice",
    "update_invoice_item",
    "update_subscription",
    "void_invoice",
]
