"""Every refusal of the meters."""

from core.errors import BillingError


class EventNameTaken(BillingError):
    """An active meter of the environment already counts events of that name."""

    def __init__(self, event_name: str) -> None:
        self.event_name = event_name
        super().__init__(f"an active meter already counts events named {event_name!r}")
