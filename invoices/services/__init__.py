"""Every write to invoices, and to subscriptions where money is due for it."""

from invoices.services.amending import ProrationBehavior
from invoices.services.balances import adjust_balance, set_balance, update_balance_transaction
from invoices.services.bargaining import TermsOfItem, change_terms
from invoices.services.beginning import SubscriptionTerms
from invoices.services.changing import SubscriptionWords, update_subscription
from invoices.services.clocks import (
    advance_test_clock,
    delete_expired_test_clocks,
    delete_test_clock,
    run_test_clock,
    run_test_clocks,
)
from invoices.services.closing import GRACE
from invoices.services.collecting import mark_invoice_uncollectible, void_invoice
from invoices.services.editing import (
    DraftWords,
    add_item_to_draft,
    change_item_of_draft,
    credit_balance_for_draft,
    discounts_of_draft,
    edit_words,
    redeem_for_draft,
    remove_item_from_draft,
    set_taxes_of_draft,
    take_discount_off_draft,
    undo_edit,
)
from invoices.services.figuring import (
    Figure,
    ask_for_unbilled_usage,
    bills_somebody,
    compute_revenue_figures,
    revenue_figures,
    unbilled_usage,
)
from invoices.services.finalizing import finalize_invoice, recount_draft
from invoices.services.items import ItemTerms, create_invoice_item, remove_invoice_item, update_invoice_item
from invoices.services.linking import close_link, replace_link
from invoices.services.mailing import send_credit_note, send_invoice, send_mails
from invoices.services.manual import DraftTerms, InvoiceWords, create_invoice, currency_of, delete_draft, update_invoice
from invoices.services.noting import (
    CreditNoteTerms,
    DraftedCreditNote,
    LineCredit,
    issue_credit_note,
    preview_credit_note,
    update_credit_note,
    void_credit_note,
)
from invoices.services.parallel import WorkerLost, forecast_billing_side_by_side, run_billing_side_by_side
from invoices.services.paying import pay_invoice_out_of_band, record_payment, reverse_payment
from invoices.services.previewing import PreviewedInvoice, billed_next, preview_invoice
from invoices.services.recharging import (
    DayLimits,
    Purchase,
    credit_to_come,
    find_or_create_auto_recharge,
    recharge,
    recharge_credit,
    recharged_on_day,
    set_auto_recharge,
    set_recharge_offer,
)
from invoices.services.recounting import RECOUNTED_DAYS, recount_invoiced_usage
from invoices.services.rehearsing import Rehearsal, Touched, recount_drafts, rehearse
from invoices.services.retention import drop_expired_usage
from invoices.services.revising import reissue_invoice, revise_invoice
from invoices.services.running import BillingRun, Forecasts, count_due, forecast_billing, run_billing
from invoices.services.scheduling import (
    cancel_schedule,
    create_schedule,
    release_schedule,
    schedule_subscription,
    update_schedule,
)
from invoices.services.stepping import (
    close_due_periods,
    escalate_due_invoices,
    finalize_due_drafts,
    remind_of_due_invoices,
    start_due_schedules,
)
from invoices.services.subscribing import (
    cancel_subscription,
    delete_customer,
    start_subscription,
)
from invoices.services.sweeping import CHUNK, Swept
from invoices.services.timing import (
    cancel_later,
    change_pending_interval,
    change_trial_end,
    collect_again,
    pause_collection,
    pause_subscription,
    resume_subscription,
)
from invoices.services.trying import preview_after
from invoices.services.verifying import VERIFIED_DAYS, resolve_verification, verify_invoice, verify_invoices
from invoices.services.what_ifs import create_what_if, delete_what_if, run_what_ifs

__all__ = [
    "CHUNK",
    "GRACE",
    "RECOUNTED_DAYS",
    "VERIFIED_DAYS",
    "BillingRun",
    "CreditNoteTerms",
    "DayLimits",
    "DraftTerms",
    "DraftWords",
    "DraftedCreditNote",
    "Figure",
    "Forecasts",
    "InvoiceWords",
    "ItemTerms",
    "LineCredit",
    "PreviewedInvoice",
    "ProrationBehavior",
    "Purchase",
    "Rehearsal",
    "SubscriptionTerms",
    "SubscriptionWords",
    "Swept",
    "TermsOfItem",
    "Touched",
    "WorkerLost",
    "add_item_to_draft",
    "adjust_balance",
    "advance_test_clock",
    "ask_for_unbilled_usage",
    "billed_next",
    "bills_somebody",
    "cancel_later",
    "cancel_schedule",
    "cancel_subscription",
    "change_item_of_draft",
    "change_pending_interval",
    "change_terms",
    "change_trial_end",
    "close_due_periods",
    "close_link",
    "collect_again",
    "compute_revenue_figures",
    "count_due",
    "create_invoice",
    "create_invoice_item",
    "create_schedule",
    "create_what_if",
    "credit_balance_for_draft",
    "credit_to_come",
    "currency_of",
    "delete_customer",
    "delete_draft",
    "delete_expired_test_clocks",
    "delete_test_clock",
    "delete_what_if",
    "discounts_of_draft",
    "drop_expired_usage",
    "edit_words",
    "escalate_due_invoices",
    "finalize_due_drafts",
    "finalize_invoice",
    "find_or_create_auto_recharge",
    "forecast_billing",
    "forecast_billing_side_by_side",
    "issue_credit_note",
    "mark_invoice_uncollectible",
    "pause_collection",
    "pause_subscription",
    "pay_invoice_out_of_band",
    "preview_after",
    "preview_credit_note",
    "preview_invoice",
    "recharge",
    "recharge_credit",
    "recharged_on_day",
    "record_payment",
    "recount_draft",
    "recount_drafts",
    "recount_invoiced_usage",
    "redeem_for_draft",
    "rehearse",
    "reissue_invoice",
    "release_schedule",
    "remind_of_due_invoices",
    "remove_invoice_item",
    "remove_item_from_draft",
    "replace_link",
    "resolve_verification",
    "resume_subscription",
    "revenue_figures",
    "reverse_payment",
    "revise_invoice",
    "run_billing",
    "run_billing_side_by_side",
    "run_test_clock",
    "run_test_clocks",
    "run_what_ifs",
    "schedule_subscription",
    "send_credit_note",
    "send_invoice",
    "send_mails",
    "set_auto_recharge",
    "set_balance",
    "set_recharge_offer",
    "set_taxes_of_draft",
    "start_due_schedules",
    "start_subscription",
    "take_discount_off_draft",
    "unbilled_usage",
    "undo_edit",
    "update_balance_transaction",
    "update_credit_note",
    "update_invoice",
    "update_invoice_item",
    "update_schedule",
    "update_subscription",
    "verify_invoice",
    "verify_invoices",
    "void_credit_note",
    "void_invoice",
]
