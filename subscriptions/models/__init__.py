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
from subscriptions.models.discounts import (
    Coupon,
    CouponProduct,
    CouponQuerySet,
    Discount,
    DiscountQuerySet,
    PromotionCode,
    PromotionCodeQuerySet,
)
from subscriptions.models.schedules import (
    PhaseDiscount,
    PhaseItem,
    PhaseTaxRate,
    SchedulePhase,
    SubscriptionSchedule,
    SubscriptionScheduleQuerySet,
)
from subscriptions.models.subscriptions import (
    ItemTerm,
    Subscription,
    SubscriptionItem,
    SubscriptionItemQuerySet,
    SubscriptionQuerySet,
)
from subscriptions.models.taxes import AppliedTaxRate, TaxRate, TaxRateQuerySet

__all__ = [
    "AppliedTaxRate",
    "Coupon",
    "CouponProduct",
    "CouponQuerySet",
    "Discount",
    "DiscountQuerySet",
    "Interval",
    "ItemTerm",
    "PhaseDiscount",
    "PhaseItem",
    "PhaseTaxRate",
    "Price",
    "PriceQuerySet",
    "PriceTier",
    "Product",
    "ProductQuerySet",
    "PromotionCode",
    "PromotionCodeQuerySet",
    "SchedulePhase",
    "Subscription",
    "SubscriptionItem",
    "SubscriptionItemQuerySet",
    "SubscriptionQuerySet",
    "SubscriptionSchedule",
    "SubscriptionScheduleQuerySet",
    "TaxBehavior",
    "TaxRate",
    "TaxRateQuerySet",
    "TiersMode",
    "UsageType",
]
