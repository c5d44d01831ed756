"""Every reason for which something about subscription schedules is refused."""

from uuid import UUID

from core.errors import BillingError


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
