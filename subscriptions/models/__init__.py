"""What is sold and to whom: products, prices, subscriptions and their items."""

from subscriptions.models.catalog import Interval, Price, PriceQuerySet, Product, ProductQuerySet, UsageType
from subscriptions.models.subscriptions import Subscription, SubscriptionItem, SubscriptionQuerySet

__all__ = [
    "Interval",
    "Price",
    "PriceQuerySet",
    "Product",
    "ProductQuerySet",
    "Subscription",
    "SubscriptionItem",
    "SubscriptionQuerySet",
    "UsageType",
]
