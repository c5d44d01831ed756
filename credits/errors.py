"""Every reason for which something about credit is refused."""

from datetime import datetime
from uuid import UUID

from core.errors import BillingError


class CreditAmountInvalid(BillingError):
    """A grant gives something, or it is none."""

    def __init__(self, amount: int) -> None:
        self.amount = amount
        super().__init__(f"a credit grant's amount must be positive, not {amount}")


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
