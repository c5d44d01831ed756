"""What is sold and to whom: products, prices, subscriptions and their items."""

from subscriptions.models.catalog import (
    Interval,
    Price,
    PriceQuerySet,
    PriceTier,
    Product,
    ProductQuerySet,
    TaxBehavior,
    TiersMode,
    UsageType,
)
from subscriptions.models.subscriptions import (
    ItemTerm,
    Subscription,
    SubscriptionItem,
    SubscriptionItemQuerySet,
    SubscriptionQuerySet,
)

__all__ = [
    "Interval",
    "ItemTerm",
    "Price",
    "PriceQuerySet",
    "PriceTier",
    "Product",
    "ProductQuerySet",
    "Subscription",
    "SubscriptionItem",
    "SubscriptionItemQuerySet",
    "SubscriptionQuerySet",
    "TaxBehavior",
    "TiersMode",
    "UsageType",
]
