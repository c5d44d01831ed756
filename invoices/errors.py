"""Every reason for which something about invoices is refused."""

from decimal import Decimal
from uuid import UUID

from core.errors import BillingError


class InvoiceStateRefused(BillingError):
    """The invoice's status allows no such step. Two processes at once: the second one is told this.

    :ivar status: what the invoice is now
    """

    def __init__(self, status: str, message: str) -> None:
        self.status = status
        super().__init__(message)


class InvoiceNotDraft(InvoiceStateRefused):
    """Only a draft can be finalized."""

    def __init__(self, status: str) -> None:
        super().__init__(status, f"The invoice is no draft any more: it is {status}.")


class InvoiceNotOpen(InvoiceStateRefused):
    """Only an open invoice can be paid or voided."""

    def __init__(self, status: str) -> None:
        super().__init__(status, f"The invoice must be open, and is {status}.")


class NoUpcomingInvoice(BillingError):
    """Nothing will be billed: no subscription, or one that has ended."""

    def __init__(self, *, customer_id: UUID | None = None, subscription_id: UUID | None = None) -> None:
        self.customer_id = customer_id
        self.subscription_id = subscription_id
        super().__init__("There is no upcoming invoice.")


class AmountTooLarge(BillingError):
    """An amount beyond what an invoice can hold (63 bits of minor units)."""

    def __init__(self, amount: Decimal) -> None:
        self.amount = amount
        super().__init__(f"The amount is too large for an invoice: {amount:.6g}")


class ItemCurrencyMismatch(BillingError):
    """An invoice, and a subscription, has one currency for all that is on it."""

    def __init__(self, currency: str) -> None:
        self.currency = currency
        super().__init__(f"The item must be in the currency of what it is for: {currency}.")


class ItemCustomerMismatch(BillingError):
    def __init__(self) -> None:
        super().__init__("The invoice, or the subscription, is another customer's.")


class ItemPriceRefused(BillingError):
    """A recurring price is billed by a subscription, and an inactive one for nothing new."""

    def __init__(self) -> None:
        super().__init__("An invoice item takes an active one-time price.")


class ItemOnFinalInvoice(BillingError):
    """What is on a final invoice can no longer be changed or taken off."""

    def __init__(self) -> None:
        super().__init__("The item is on an invoice that is final.")


class ProrationNotEditable(BillingError):
    """What a proration comes to follows from the change that made it."""

    def __init__(self) -> None:
        super().__init__("The amount, price and period of a proration cannot be changed.")


class InvoiceNotDeletable(BillingError):
    """Only a draft that was made by hand goes; that of a subscription is voided once it is final."""

    def __init__(self) -> None:
        super().__init__("Only drafts that belong to no subscription can be deleted.")


class ProrationDateOutsidePeriod(BillingError):
    def __init__(self) -> None:
        super().__init__("The proration date must lie within the current billing period.")
