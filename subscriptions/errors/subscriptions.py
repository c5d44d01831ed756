"""Every reason for which something about subscriptions and their items is refused."""

from datetime import datetime
from uuid import UUID

from core.errors import BillingError, NotFound


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
