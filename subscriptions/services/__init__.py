"""Every write to products, prices and subscriptions.

``create_subscription``, ``advance_subscriptions`` and ``end_subscription`` know nothing of money that is due for them;
:mod:`invoices.services` calls them and bills.
"""

from subscriptions.services.changing import ItemChange, change_instant, change_items
from subscriptions.services.coupons import (
    create_coupon,
    create_promotion_code,
    delete_coupon,
    update_coupon,
    update_promotion_code,
)
from subscriptions.services.discounts import (
    NewDiscount,
    Purchase,
    bind_discounts,
    set_customer_discount,
    set_discounts,
)
from subscriptions.services.items import MAX_ITEMS, AddedItem, NewItem, check_added_items, check_collection
from subscriptions.services.lifecycle import create_subscription, end_subscription, invoice_pending_every
from subscriptions.services.prices import NewTier, checked_terms, create_price, delete_price, update_price
from subscriptions.services.products import create_product, delete_product, update_product
from subscriptions.services.schedules import (
    NewPhase,
    ScheduleWords,
    cancel_unstarted_schedules,
    check_phases,
    collection_of,
    new_schedule,
    say,
    schedule_told,
    write_phases,
)
from subscriptions.services.taxes import (
    checked_tax_rates,
    create_tax_rate,
    set_customer_tax_rates,
    set_tax_rates,
    update_tax_rate,
)
from subscriptions.services.telling import told
from subscriptions.services.waking import (
    advance_subscriptions,
    become,
    begin_period,
    conclude,
    current_period,
    next_period,
    resume_collection,
    store,
    take_step,
)

__all__ = [
    "MAX_ITEMS",
    "AddedItem",
    "ItemChange",
    "NewDiscount",
    "NewItem",
    "NewPhase",
    "NewTier",
    "Purchase",
    "ScheduleWords",
    "advance_subscriptions",
    "become",
    "begin_period",
    "bind_discounts",
    "cancel_unstarted_schedules",
    "change_instant",
    "change_items",
    "check_added_items",
    "check_collection",
    "check_phases",
    "checked_tax_rates",
    "checked_terms",
    "collection_of",
    "conclude",
    "create_coupon",
    "create_price",
    "create_product",
    "create_promotion_code",
    "create_subscription",
    "create_tax_rate",
    "current_period",
    "delete_coupon",
    "delete_price",
    "delete_product",
    "end_subscription",
    "invoice_pending_every",
    "new_schedule",
    "next_period",
    "resume_collection",
    "say",
    "schedule_told",
    "set_customer_discount",
    "set_customer_tax_rates",
    "set_discounts",
    "set_tax_rates",
    "store",
    "take_step",
    "told",
    "update_coupon",
    "update_price",
    "update_product",
    "update_promotion_code",
    "update_tax_rate",
    "write_phases",
]
