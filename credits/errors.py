"""Every reason for which something about credit is refused."""

from datetime import datetime
from uuid import UUID

from core.errors import BillingError


class CreditAmountInvalid(BillingError):
    """A grant gives something, or it is none."""

    def __init__(self, amount: int) -> None:
        self.amount = amount
        super().__init__(f"a credit grant's amount must be positive, not {amount}")


class CreditAmountTooLarge(BillingError):
    """More than credit can be counted in.

    :param most: smallest units
    """

    def __init__(self, most: int) -> None:
        super().__init__(f"an amount of credit must have at most {len(str(most)) - 1} digits in smallest units")


class CreditCurrencyUnknown(BillingError):
    """No such currency."""

    def __init__(self, currency: str) -> None:
        self.currency = currency
        super().__init__(f"unknown currency: {currency}")


class CreditScopeEmpty(BillingError):
    """A grant for certain prices names none."""

    def __init__(self) -> None:
        super().__init__("a credit grant for certain prices must name at least one")


class CreditPriceNotMetered(BillingError):
    """Credit pays for metered prices only.

    :ivar position: of the price among those named, from 0
    """

    def __init__(self, position: int, price_id: UUID) -> None:
        self.position = position
        self.price_id = price_id
        super().__init__("credit pays for metered prices only, and this price has no meter")


class CreditExpiryInvalid(BillingError):
    """A grant cannot end before it begins, nor in the past."""

    def __init__(self, expires_at: datetime, after: datetime) -> None:
        self.expires_at = expires_at
        self.after = after
        super().__init__(f"the expiry must come after {after:%Y-%m-%d %H:%M:%S} UTC")


class CreditGrantEnded(BillingError):
    """Nothing can be done about this grant any more. Two processes at once: the second one is told this."""


class CreditGrantVoided(CreditGrantEnded):
    """The grant was voided."""

    def __init__(self, grant_id: UUID) -> None:
        self.grant_id = grant_id
        super().__init__("the credit grant was voided")


class CreditGrantExpired(CreditGrantEnded):
    """The grant has expired."""

    def __init__(self, grant_id: UUID) -> None:
        self.grant_id = grant_id
        super().__init__("the credit grant has expired")


class CreditGrantInUse(BillingError):
    """Some of the grant has paid for something: it can expire, and cannot be made undone."""

    def __init__(self, grant_id: UUID) -> None:
        self.grant_id = grant_id
        super().__init__("a credit grant that was used cannot be voided; it can be expired")


class CreditGrantReserved(BillingError):
    """Some of the grant is reserved: it cannot be made undone before that has ended."""

    def __init__(self, grant_id: UUID) -> None:
        self.grant_id = grant_id
        super().__init__("a credit grant of which some is reserved cannot be voided; release that first")


class CreditInsufficient(BillingError):
    """The customer has less credit than shall be reserved.

    :ivar available: what there is, for a reader
    """

    def __init__(self, available: str) -> None:
        self.available = available
        super().__init__(f"the customer's credit does not suffice: {available} can be reserved")


class CreditReservationEnded(BillingError):
    """The reservation holds nothing any more. Two processes at once: the second one is told this."""

    def __init__(self, reservation_id: UUID, state: str) -> None:
        self.reservation_id = reservation_id
        self.state = state
        super().__init__(f"the credit reservation has ended: it is {state}")


class CreditReservationExceeded(BillingError):
    """No more can be committed than is still reserved, and no less than something."""

    def __init__(self, reserved: str) -> None:
        super().__init__(f"what is committed must be more than nothing, and at most what is still reserved: {reserved}")


class CreditReservationCurrencyMismatch(BillingError):
    """A reservation is committed in the currency that it is in."""

    def __init__(self) -> None:
        super().__init__("what is committed must be in the reservation's currency")


class CreditReservationTooLong(BillingError):
    """A reservation lasts for a second at least and seven days at most."""

    def __init__(self) -> None:
        super().__init__("a credit reservation lasts for one second at least and seven days at most")
