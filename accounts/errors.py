"""Every refusal of the accounts."""

from datetime import datetime
from uuid import UUID

from core.errors import BillingError


class CompanyNameInvalid(BillingError):
    """A company's name is empty or too long."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__("a company's name has 1 to 200 characters")


class CompanyNameTaken(BillingError):
    """Another company has that name."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"there is a company named {name!r} already")


class CompanyNotFound(BillingError):
    """No company of that name or id."""

    def __init__(self, name_or_id: str) -> None:
        self.name_or_id = name_or_id
        super().__init__(f"there is no company {name_or_id!r}")


class TimeZoneUnknown(BillingError):
    """No zone of that name. They are named like Europe/Berlin."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"there is no time zone {name!r}; they are named like Europe/Berlin")


class OverdueDaysMissing(BillingError):
    def __init__(self) -> None:
        super().__init__("say after how many days an open invoice has its consequence")


class LogoRefused(BillingError):
    """A picture that no document can carry."""


class ScopesInvalid(BillingError):
    """A key would open nothing, or something that does not exist."""

    def __init__(self, scopes: list[str]) -> None:
        self.scopes = scopes
        super().__init__(f"unknown scopes: {', '.join(scopes)}" if scopes else "a key needs at least one scope")


class ApiKeyUnknown(BillingError):
    """The secret opens nothing: it never did, or the key was revoked."""

    def __init__(self, secret: str) -> None:
        self.secret = secret
        super().__init__("unknown API key")


class ApiKeyExpired(BillingError):
    """The key's time is over."""

    def __init__(self, secret: str) -> None:
        self.secret = secret
        super().__init__("expired API key")


class AddressNotAllowed(BillingError):
    """The key may not be used from the caller's network address."""

    def __init__(self, address: str) -> None:
        self.address = address
        super().__init__(f"the API key may not be used from {address or 'an unknown address'}")


class SessionUnknown(BillingError):
    """The token opens nothing: it is no session's, or the session's key was revoked."""

    def __init__(self, token: str) -> None:
        self.secret = token
        super().__init__("unknown session token")


class SessionExpired(BillingError):
    """The session's minutes are over."""

    def __init__(self) -> None:
        super().__init__("The session has expired. Open a new one.")


class LicenseRequired(BillingError):
    """The company has no license in force for what was asked."""

    def __init__(self, product: str) -> None:
        self.product = product
        super().__init__(f"the company has no license in force for {product!r}")


class CustomerDeleted(BillingError):
    """The customer was deleted and cannot be changed any more."""

    def __init__(self, customer_id: UUID) -> None:
        self.customer_id = customer_id
        super().__init__("the customer was deleted")


class ClocksOnlyInTest(BillingError):
    """Live customers live by the wall."""

    def __init__(self) -> None:
        super().__init__("Test clocks are for test environments only.")


class ClockAdvancing(BillingError):
    """Nothing that lives by the clock can be changed until it has arrived."""

    def __init__(self, clock_id: UUID) -> None:
        self.clock_id = clock_id
        super().__init__("The test clock is advancing. Wait until it is ready, and try again.")


class ClockNotAhead(BillingError):
    """A clock goes forward only, and not too far at once.

    :ivar furthest: how far it may go now
    """

    def __init__(self, frozen_at: datetime, target_at: datetime, furthest: datetime) -> None:
        self.frozen_at = frozen_at
        self.target_at = target_at
        self.furthest = furthest
        super().__init__(
            "A test clock is advanced to a time after the one it shows, by at most two intervals of its customers' "
            f"shortest subscription: until {furthest:%Y-%m-%d %H:%M:%S} UTC for now."
        )


class TooManyCustomers(BillingError):
    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(f"A test clock has at most {limit} customers.")


class IdempotencyKeyInUse(BillingError):
    """The first request with the key has not been answered yet."""

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(f"another request with the idempotency key {key!r} is in progress")


class IdempotencyKeyReused(BillingError):
    """The key belongs to a request with another path or other parameters."""

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(f"the idempotency key {key!r} belongs to a different request")


class DidInvalid(BillingError):
    """What is given as a decentralized identifier is none."""

    def __init__(self, text: str) -> None:
        self.text = text[:100]
        super().__init__(f"no decentralized identifier: {self.text!r}")


class DidTaken(BillingError):
    """Another customer of the environment has the decentralized identifier."""

    def __init__(self, did: str) -> None:
        self.did = did
        super().__init__(f"another customer has the decentralized identifier {did!r}")


class ApprovalRefused(BillingError):
    """What has to do with a second person, who is met in the console only."""


class ApprovalAskedAlready(ApprovalRefused):
    """The same waits for a second person."""

    def __init__(self, title: str) -> None:
        self.title = title
        super().__init__(f"{title}: this waits for a second person already")


class ApprovalByAsker(ApprovalRefused):
    """Nobody lets be done what they asked for themselves."""

    def __init__(self) -> None:
        super().__init__("you asked for this yourself, so somebody else has to decide")


class ApprovalClosed(ApprovalRefused):
    """There is nothing to decide any more.

    :ivar state: what has become of it
    """

    def __init__(self, state: str) -> None:
        self.state = state
        super().__init__(f"there is nothing to decide any more: {state}")


class ApprovalOfAnother(ApprovalRefused):
    """Only who asked for something withdraws it."""

    def __init__(self) -> None:
        super().__init__("somebody else asked for this: reject it instead")


class ApprovalOvertaken(ApprovalRefused):
    """What was asked about is not what it was, so nothing was done.

    :ivar changes: then and now
    """

    def __init__(self, changes: str) -> None:
        self.changes = changes
        super().__init__(f"nothing was done, as it has changed since this was asked: {changes}. Ask again.")
