"""Every reason for which something about products, prices or subscriptions is refused."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from core.errors import BillingError, NotFound


class ProductHasPrices(BillingError):
    """A product goes only while nothing was ever priced by it."""

    def __init__(self, product_id: UUID) -> None:
        self.product_id = product_id
        super().__init__("The product cannot be deleted: it has prices.")


class ProductIdTaken(BillingError):
    def __init__(self, slug: str) -> None:
        self.slug = slug
        super().__init__(f"Product already exists: '{slug}'")


class CurrencyUnknown(BillingError):
    def __init__(self, currency: str) -> None:
        self.currency = currency
        super().__init__(f"Not a currency that can be billed in: '{currency}'")


class UnitAmountInvalid(BillingError):
    """Below zero, with more than 12 decimal places, or too large to be stored."""

    def __init__(self, unit_amount: Decimal) -> None:
        self.unit_amount = unit_amount
        super().__init__(f"Not an amount from zero up with at most 12 decimal places: {unit_amount}")


class UnitAmountMissing(BillingError):
    def __init__(self) -> None:
        super().__init__("A price needs the amount of a unit, unless it has tiers.")


class UnitAmountNotAllowed(BillingError):
    def __init__(self) -> None:
        super().__init__("A price with tiers has no amount of its own: each tier has one.")


class TiersMissing(BillingError):
    def __init__(self) -> None:
        super().__init__("A tiered price needs its tiers.")


class TiersModeMissing(BillingError):
    def __init__(self) -> None:
        super().__init__("Tiers need a mode: graduated or volume.")


class TooManyTiers(BillingError):
    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(f"A price has at most {limit} tiers.")


class TierInvalid(BillingError):
    """:ivar position: the tier's place in the caller's list, from 0"""

    def __init__(self, position: int, message: str) -> None:
        self.position = position
        super().__init__(message)


class PackageInvalid(BillingError):
    def __init__(self) -> None:
        super().__init__("A package has at least one unit, and is rounded up or down where it is not full.")


class PackageNotAllowed(BillingError):
    def __init__(self) -> None:
        super().__init__("A price with tiers cannot be sold in packages.")


class PlanNotRecurring(BillingError):
    def __init__(self) -> None:
        super().__init__("A plan is billed period by period: it needs an interval.")


class PriceIdTaken(BillingError):
    def __init__(self, slug: str) -> None:
        self.slug = slug
        super().__init__(f"Plan already exists: '{slug}'")


class TaxBehaviorFixed(BillingError):
    """Whether taxes are in a price can be said once."""

    def __init__(self, tax_behavior: str) -> None:
        self.tax_behavior = tax_behavior
        super().__init__(f"The price's tax behavior is {tax_behavior} and cannot be changed any more.")


class DefaultPriceInUse(BillingError):
    def __init__(self, price_id: UUID) -> None:
        self.price_id = price_id
        super().__init__("The price is its product's default price: give the product another one first.")


class DefaultPriceUnusable(BillingError):
    def __init__(self, price_id: UUID) -> None:
        self.price_id = price_id
        super().__init__("A product's default price is an active price of its own.")


class IntervalInvalid(BillingError):
    """No known interval, a count below one, or more than three years in all."""

    def __init__(self, interval: str, interval_count: int) -> None:
        self.interval = interval
        self.interval_count = interval_count
        super().__init__(f"A price recurs every 1 day to 3 years, not every {interval_count} {interval}.")


class MeterMissing(BillingError):
    def __init__(self) -> None:
        super().__init__("A metered price needs the meter that counts its quantity.")


class MeterNotAllowed(BillingError):
    def __init__(self) -> None:
        super().__init__("Only a metered price has a meter; this one is licensed.")


class MeterInactive(BillingError):
    """An inactive meter counts nothing, so nothing new may be priced by it."""

    def __init__(self, meter_id: UUID) -> None:
        self.meter_id = meter_id
        super().__init__("The meter is not active.")


class MeteredPriceNotRecurring(BillingError):
    def __init__(self) -> None:
        super().__init__("A metered price is billed period by period: it must be recurring.")


class LookupKeyTaken(BillingError):
    def __init__(self, lookup_key: str) -> None:
        self.lookup_key = lookup_key
        super().__init__(f"Another price already uses the lookup key '{lookup_key}'.")


class ItemRefused(BillingError):
    """Something about one item of a subscription.

    :ivar position: the item's place in the caller's list, from 0
    """

    def __init__(self, position: int, message: str) -> None:
        self.position = position
        super().__init__(message)


class ItemsMissing(BillingError):
    def __init__(self) -> None:
        super().__init__("A subscription needs at least one item.")


class TooManyItems(BillingError):
    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(f"A subscription has at most {limit} items.")


class PriceInactive(ItemRefused):
    def __init__(self, position: int) -> None:
        super().__init__(position, "The price is inactive: it can be used for nothing new.")


class PriceNotRecurring(ItemRefused):
    def __init__(self, position: int) -> None:
        super().__init__(position, "The price is a one-time price; a subscription needs recurring ones.")


class PriceRepeated(ItemRefused):
    def __init__(self, position: int) -> None:
        super().__init__(position, "The price is in the subscription already; each price may be in it once.")


class PriceMissing(ItemRefused):
    def __init__(self, position: int) -> None:
        super().__init__(position, "A new item needs a price.")


class ItemRepeated(ItemRefused):
    def __init__(self, position: int) -> None:
        super().__init__(position, "The item is changed by another entry of the list already.")


class MeterRepeated(ItemRefused):
    """Two items on one meter would bill the same usage twice."""

    def __init__(self, position: int) -> None:
        super().__init__(position, "Another item's price already bills the usage of this price's meter.")


class CurrencyMismatch(ItemRefused):
    def __init__(self, position: int, currency: str) -> None:
        self.currency = currency
        super().__init__(position, f"All prices of a subscription have one currency; the first one's is {currency}.")


class IntervalMismatch(ItemRefused):
    def __init__(self, position: int) -> None:
        super().__init__(position, "All prices of a subscription recur at the same interval.")


class QuantityNotAllowed(ItemRefused):
    def __init__(self, position: int) -> None:
        super().__init__(position, "A metered price takes no quantity: its meter counts it.")


class QuantityInvalid(ItemRefused):
    """Below zero, or beyond what can be stored."""

    def __init__(self, position: int, quantity: int) -> None:
        self.quantity = quantity
        super().__init__(position, f"Not a quantity: {quantity}")


class StartNotInPast(BillingError):
    def __init__(self, start_at: datetime) -> None:
        self.start_at = start_at
        super().__init__("The date that a subscription is backdated to must be in the past.")


class AnchorInPast(BillingError):
    def __init__(self, anchor_at: datetime) -> None:
        self.anchor_at = anchor_at
        super().__init__("The billing cycle anchor must not be in the past.")


class AnchorTooFar(BillingError):
    """The first period ends at the anchor, so the anchor is at most one interval away."""

    def __init__(self, anchor_at: datetime) -> None:
        self.anchor_at = anchor_at
        super().__init__("The billing cycle anchor must not be later than one interval from now.")


class AnchorConfigNotAllowed(BillingError):
    """Days and weeks have no day of the month."""

    def __init__(self) -> None:
        super().__init__("Only prices that recur by months or years can be billed on a day of the month.")


class TrialEndInPast(BillingError):
    def __init__(self, trial_end_at: datetime) -> None:
        self.trial_end_at = trial_end_at
        super().__init__("The end of the trial must be in the future.")


class TooManySubscriptions(BillingError):
    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(f"A customer on a test clock has at most {limit} subscriptions.")


class PendingIntervalInvalid(BillingError):
    """What waits is invoiced every day at most, and once a year at least."""

    def __init__(self, interval: str, count: int) -> None:
        super().__init__(f"Pending items are invoiced every 1 day to 1 year, not every {count} {interval}.")


class AnchorInTrial(BillingError):
    """Boundaries are counted from the trial's end, whenever that is."""

    def __init__(self) -> None:
        super().__init__("The billing cycle anchor of a trial is its end: end the trial instead.")


class CancelAtInPast(BillingError):
    def __init__(self, cancel_at: datetime) -> None:
        self.cancel_at = cancel_at
        super().__init__("The date to cancel at must be in the future.")


class ResumesInPast(BillingError):
    def __init__(self, resumes_at: datetime) -> None:
        self.resumes_at = resumes_at
        super().__init__("The date at which collection resumes must be in the future.")


class NotPaused(BillingError):
    """Only what is paused can be resumed.

    :ivar status: what the subscription is now
    """

    def __init__(self, status: str) -> None:
        self.status = status
        super().__init__(f"The subscription is not paused: it is {status}.")


class CancellationsExclusive(BillingError):
    def __init__(self) -> None:
        super().__init__("Cancel either at a date or at the end of the period, not both.")


class DaysUntilDueMissing(BillingError):
    def __init__(self) -> None:
        super().__init__("Invoices that are sent need the number of days until they are due.")


class DaysUntilDueNotAllowed(BillingError):
    def __init__(self) -> None:
        super().__init__("Only invoices that are sent have a number of days until they are due.")


class SubscriptionEnded(NotFound):
    """The subscription is over. Cancelling it again finds nothing to cancel."""

    def __init__(self, subscription_id: UUID) -> None:
        super().__init__("subscription", str(subscription_id))


class StatusMoveRefused(BillingError):
    """The subscription's status allows no such step; :mod:`subscriptions.statuses` says which it does.

    :ivar status: what the subscription is now
    """

    def __init__(self, status: str, following: str) -> None:
        self.status = status
        self.following = following
        super().__init__(f"A subscription that is {status} cannot become {following}.")


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


class ScheduleOver(BillingError):
    def __init__(self, status: str) -> None:
        self.status = status
        super().__init__(f"The subscription schedule is {status}: only one that is not_started or active can change.")


class SubscriptionScheduled(BillingError):
    def __init__(self, subscription_id: UUID) -> None:
        self.subscription_id = subscription_id
        super().__init__("You cannot migrate a subscription that is already attached to a schedule.")


class CancellationScheduled(BillingError):
    """The end of a subscription is its schedule's to say."""

    def __init__(self, schedule_id: UUID) -> None:
        self.schedule_id = schedule_id
        super().__init__(
            "The subscription is managed by a subscription schedule, and updating any cancelation behavior directly is "
            "not allowed. Please update the schedule instead."
        )


class PhasesMissing(BillingError):
    def __init__(self) -> None:
        super().__init__("A subscription schedule has at least one phase.")


class TooManyPhases(BillingError):
    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(f"A subscription schedule can have at most {limit} current and future phases.")


class PhaseStartMissing(BillingError):
    def __init__(self) -> None:
        super().__init__(
            "The subscription schedule update is missing at least one phase with a `start_date` to anchor end dates to."
        )


class PhaseRefused(BillingError):
    """:ivar position: the phase's place in the caller's list"""

    def __init__(self, position: int, message: str) -> None:
        self.position = position
        super().__init__(message)


class PhaseStartFixed(PhaseRefused):
    def __init__(self, position: int) -> None:
        super().__init__(position, "You can not modify the start date of the current phase.")


class PhaseGap(PhaseRefused):
    def __init__(self, position: int) -> None:
        super().__init__(position, "A phase begins where the one before it ends.")


class PhaseEndInvalid(PhaseRefused):
    def __init__(self, position: int) -> None:
        super().__init__(position, "A phase ends after it begins, and the first one not before now.")


class PhaseTrialInvalid(PhaseRefused):
    def __init__(self, position: int) -> None:
        super().__init__(
            position, "A phase's trial ends within the phase, and boundaries count from that end, not from its start."
        )


class PhaseContentRefused(PhaseRefused):
    """:ivar refusal: what is wrong with what the subscription is to be in the phase"""

    def __init__(self, position: int, refusal: BillingError) -> None:
        self.refusal = refusal
        super().__init__(position, str(refusal))


class TooManyAddedItems(BillingError):
    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(f"At most {limit} items can be added to an invoice at once.")


class AddedItemRefused(BillingError):
    """:ivar position: the item's place in the caller's list"""

    def __init__(self, position: int, currency: str) -> None:
        self.position = position
        super().__init__(f"What is billed once has a one-time, active price in {currency}.")
