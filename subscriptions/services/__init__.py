"""Every write to products, prices and subscriptions.

``create_subscription``, ``advance_subscriptions`` and ``end_subscription`` know nothing of money that is due for them;
:mod:`invoices.services` calls them and bills.
"""

from subscriptions.services.items import MAX_ITEMS, NewItem
from subscriptions.services.lifecycle import (
    advance_subscriptions,
    create_subscription,
    end_subscription,
    next_period,
)
from subscriptions.services.prices import NewTier, create_price, delete_plan, update_price
from subscriptions.services.products import create_product, delete_product, update_product

__all__ = [
    "MAX_ITEMS",
    "NewItem",
    "NewTier",
    "advance_subscriptions",
    "create_price",
    "create_product",
    "create_subscription",
    "delete_plan",
    "delete_product",
    "end_subscription",
    "next_period",
    "update_price",
    "update_product",
]
