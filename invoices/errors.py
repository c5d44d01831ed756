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
