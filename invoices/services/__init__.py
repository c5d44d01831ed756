"""Every write to invoices, and to subscriptions where money is due for it."""

from invoices.services.balances import adjust_balance, set_balance, update_balance_transaction
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

__all__ = [
    "GRACE",
    "RECOUNTED_DAYS",
    "PreviewedInvoice",
    "SubscriptionTerms",
    "Swept",
    "adjust_balance",
    "advance_test_clock",
    "cancel_later",
    "cancel_subscription",
    "change_trial_end",
    "close_due_periods",
    "collect_again",
    "delete_customer",
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
    "preview_invoice",
    "recount_invoiced_usage",
    "resume_subscription",
    "run_test_clock",
    "run_test_clocks",
    "set_balance",
    "start_subscription",
    "update_balance_transaction",
    "void_invoice",
]
