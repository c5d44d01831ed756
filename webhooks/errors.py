"""Every refusal of the outbox."""

from core.errors import BillingError


class WebhookUrlInvalid(BillingError):
    """Messages cannot, or must not, be sent to the address."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"Invalid URL: {reason}")


class EventTypeInvalid(BillingError):
    """What an endpoint shall listen to is no type of event."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"{name!r} is no type of event; name types such as invoice.paid, or * alone for all")


class EventNotForEndpoint(BillingError):
    """The event cannot be sent to the endpoint: it is disabled or gone."""

    def __init__(self) -> None:
        super().__init__("The webhook endpoint is disabled or deleted; enable it to send it events.")


class DestinationRefused(BillingError):
    """A name stands for an address that messages must not go to, or for none."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)
