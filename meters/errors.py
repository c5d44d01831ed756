"""Every refusal of the meters."""

from core.errors import BillingError


class EventNameTaken(BillingError):
    """An active meter of the environment already counts events of that name."""

    def __init__(self, event_name: str) -> None:
        self.event_name = event_name
        super().__init__(f"an active meter already counts events named {event_name!r}")


class EventNameUsed(BillingError):
    """A meter of the environment, active or not, has that name, and the caller wants one that no other ever had."""

    def __init__(self, event_name: str) -> None:
        self.event_name = event_name
        super().__init__(f"a meter with the event name {event_name!r} exists already")


class CurrencyDecimalsInvalid(BillingError):
    """More decimals than an amount can have."""

    def __init__(self, most: int) -> None:
        super().__init__(f"a currency has between 0 and {most} decimals")
