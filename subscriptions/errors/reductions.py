"""Every reason for which something about coupons, discounts or tax rates is refused."""

from decimal import Decimal
from uuid import UUID

from core.errors import BillingError


class CouponIdTaken(BillingError):
    def __init__(self, slug: str) -> None:
        self.slug = slug
        super().__init__(f"Coupon already exists: '{slug}'")


class CouponReductionInvalid(BillingError):
    def __init__(self) -> None:
        super().__init__(
            "A coupon takes off either a percentage above 0 and up to 100, with at most 4 decimal places, or an amount."
        )


class CouponCurrencyNotAllowed(BillingError):
    def __init__(self) -> None:
        super().__init__("Only an amount off has a currency.")


class CouponDurationInvalid(BillingError):
    def __init__(self) -> None:
        super().__init__("A repeating coupon, and no other, has a number of months.")


class RedeemByInvalid(BillingError):
    def __init__(self) -> None:
        super().__init__("A coupon can be redeemed until some time in the future.")


class CouponInvalid(BillingError):
    """Deleted, past its time, or redeemed as often as it may be."""

    def __init__(self, coupon_id: UUID) -> None:
        self.coupon_id = coupon_id
        super().__init__("The coupon has expired, or was redeemed as often as it may be.")


class CouponCurrencyMismatch(BillingError):
    def __init__(self, currency: str) -> None:
        self.currency = currency
        super().__init__(f"The coupon takes off an amount in {currency}, which is not the currency of what is bought.")


class PromotionCodeTaken(BillingError):
    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(f"An active promotion code with `code: {code}` already exists.")


class PromotionOutlivesCoupon(BillingError):
    """:ivar limit: what is wider than the coupon's: ``max_redemptions`` or ``expires_at``"""

    def __init__(self, limit: str) -> None:
        self.limit = limit
        super().__init__("A promotion code cannot be redeemed longer or more often than its coupon.")


class MinimumNeedsCurrency(BillingError):
    def __init__(self) -> None:
        super().__init__("A minimum amount needs its currency, and a currency its amount.")


class PromotionCodeRefused(BillingError):
    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


class PromotionCodeInvalid(PromotionCodeRefused):
    """Closed, past its time, or redeemed as often as it may be; or its coupon is."""

    def __init__(self, code: str) -> None:
        super().__init__(code, "The promotion code has expired, is inactive, or was redeemed as often as it may be.")


class PromotionCodeNotYours(PromotionCodeRefused):
    def __init__(self, code: str) -> None:
        super().__init__(code, "The promotion code is for another customer.")


class PromotionCodeNotFirst(PromotionCodeRefused):
    def __init__(self, code: str) -> None:
        super().__init__(code, "The promotion code is for customers who were never billed before.")


class MinimumAmountNotReached(PromotionCodeRefused):
    def __init__(self, code: str) -> None:
        super().__init__(code, "What is bought does not reach the promotion code's minimum amount.")


class TooManyDiscounts(BillingError):
    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(f"At most {limit} discounts are taken off one thing.")


class CustomerHasOneDiscount(BillingError):
    def __init__(self) -> None:
        super().__init__("A customer has one discount at a time.")


class DiscountForeign(BillingError):
    def __init__(self) -> None:
        super().__init__("A discount that is to stay is not among those that are there.")


class TaxPercentageInvalid(BillingError):
    def __init__(self, percentage: Decimal) -> None:
        self.percentage = percentage
        super().__init__(f"Not a percentage from 0 to 100 with at most 4 decimal places: {percentage}")


class TaxRateInactive(BillingError):
    def __init__(self, tax_rate_id: UUID) -> None:
        self.tax_rate_id = tax_rate_id
        super().__init__("The tax rate is inactive: it can be used for nothing new.")


class TooManyTaxRates(BillingError):
    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(f"At most {limit} tax rates are asked for one thing.")
