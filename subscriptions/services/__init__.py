"""Every write to products, prices and subscriptions.

``create_subscription``, ``advance_subscriptions`` and ``end_subscription`` know nothing of money that is due for them;
:mod:`invoices.services` calls them and bills.
"""

from subscriptions.services.items import MAX_ITEMS, NewItem
from subscriptions.services.lifecycle import create_subscription, end_subscription
from subscriptions.services.prices import NewTier, create_price, delete_plan, update_price
from subscriptions.services.products import create_product, delete_product, update_product
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
    "NewItem",
    "NewTier",
    "advance_subscriptions",
    "become",
    "begin_period",
    "conclude",
    "create_price",
    "create_product",
    "create_subscription",
    "current_period",
    "delete_plan",
    "delete_product",
    "end_subscription",
    "next_period",
    "resume_collection",
    "store",
    "take_step",
    "told",
    "update_price",
    "update_product",
]
