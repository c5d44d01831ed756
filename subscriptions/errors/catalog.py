"""Every reason for which something about products, prices, tiers or plans is refused."""

from decimal import Decimal
from uuid import UUID

from core.errors import BillingError


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
