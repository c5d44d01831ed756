"""Every reason for which something about invoices is refused."""

from decimal import Decimal
from uuid import UUID

from core.errors import BillingError
from core.money import exponent, format_amount


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


class DraftEditStale(BillingError):
    """An edit of a draft is undone only while the draft is as that edit left it."""

    def __init__(self, says: str, because: str) -> None:
        super().__init__(f"“{says}” cannot be undone: {because}.")


class WhatIfRefused(BillingError):
    """What is asked of another price cannot be answered."""


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


class InvoicePartlySettled(BillingError):
    """What was paid or credited would hang in the air if the invoice were void."""

    def __init__(self) -> None:
        super().__init__(
            "The invoice was paid or credited in part. Reverse its payments and void its credit notes first, or issue a "
            "credit note over the rest."
        )


class InvoiceRevisedAlready(BillingError):
    """One draft at a time takes an invoice's place."""

    def __init__(self) -> None:
        super().__init__("A draft revises the invoice already. Change that one, or delete it first.")


class RevisedInvoiceSettled(BillingError):
    """An invoice that was paid or credited since a draft began to revise it would be void with its payments."""

    def __init__(self) -> None:
        super().__init__(
            "The invoice that this draft revises was paid or credited meanwhile. Reverse that first, or delete the draft."
        )


class PaymentAmountInvalid(BillingError):
    def __init__(self) -> None:
        super().__init__("A payment is above zero.")


class AmountNotWhole(BillingError):
    def __init__(self, currency: str) -> None:
        super().__init__(f"An amount has at most {exponent(currency)} decimal places in {currency.upper()}.")


class PaymentExceedsRemaining(BillingError):
    """More than remains is not taken: whoever paid twice is to be paid back, or has it to their credit, by a choice."""

    def __init__(self, amount: int, remaining: int, currency: str) -> None:
        self.amount = amount
        self.remaining = remaining
        super().__init__(
            f"The payment of {format_amount(amount, currency)} is more than the {format_amount(remaining, currency)} "
            "that remain to be paid."
        )


class PaymentInFuture(BillingError):
    def __init__(self) -> None:
        super().__init__("A payment is recorded once it was received, not before.")


class PaymentNotReversible(BillingError):
    def __init__(self) -> None:
        super().__init__("The payment is reversed already, or is the reversal of another.")


class InvoiceCreditedSince(BillingError):
    """What was given back had been paid: without that payment it would be owed twice."""

    def __init__(self) -> None:
        super().__init__("A credit note has given back what had been paid. The payment cannot be reversed any more.")


class RecipientMissing(BillingError):
    def __init__(self) -> None:
        super().__init__("The customer has no email address that the invoice could be sent to.")


class CreditNoteEmpty(BillingError):
    """Nothing is left to be credited, or nothing was asked for."""

    def __init__(self) -> None:
        super().__init__("Nothing would be credited.")


class CreditLineRefused(BillingError):
    """
    :ivar position: of the line among those to be credited, from 0
    """

    def __init__(self, position: int, message: str) -> None:
        self.position = position
        super().__init__(message)


class CreditLineForeign(CreditLineRefused):
    def __init__(self, position: int) -> None:
        super().__init__(position, "The line is not one of the invoice, or is named twice.")


class CreditExceedsLine(CreditLineRefused):
    """No line is credited beyond what it charged, by all credit notes together."""

    def __init__(self, position: int, left: int, currency: str) -> None:
        super().__init__(position, f"Of this line {format_amount(left, currency)} are left to be credited.")


class CreditExceedsInvoice(BillingError):
    """No invoice is credited beyond its total, by all credit notes together."""

    def __init__(self, left: int, currency: str) -> None:
        self.left = left
        super().__init__(f"Of this invoice {format_amount(left, currency)} are left to be credited.")


class CreditNoteSplitWrong(BillingError):
    """What had been paid already goes back somehow, and what was still to be paid does not."""

    def __init__(self, given: int, wanted: int, currency: str) -> None:
        self.wanted = wanted
        super().__init__(
            f"{format_amount(wanted, currency)} of it had been paid already: refund, balance and what is given back "
            f"elsewhere must come to that together, not to {format_amount(given, currency)}."
        )


class CreditNoteNotVoidable(BillingError):
    """Once money or credit went back to the customer, or the invoice is settled, a credit note stands."""

    def __init__(self) -> None:
        super().__init__(
            "A credit note can be voided once, while its invoice is still to be paid, and if no credit has come back by it."
        )


class RechargePriceMissing(BillingError):
    """Nobody said what is bought."""

    def __init__(self) -> None:
        super().__init__("An automatic recharge needs a price that gives credit of its currency.")


class RechargePriceRefused(BillingError):
    """A recharge is paid once: its price does not recur, and can be had."""

    def __init__(self) -> None:
        super().__init__("The price of an automatic recharge must be one-time and active.")


class RechargeGivesNothing(BillingError):
    def __init__(self) -> None:
        super().__init__("What an automatic recharge gives must be greater than 0.")


class RechargeBoundsInvalid(BillingError):
    """The least of a recharge is above the most, or nothing."""

    def __init__(self) -> None:
        super().__init__("A recharge's least must be greater than 0 and not above its most.")


class RechargeOutOfBounds(BillingError):
    """A recharge would give less or more than one of the currency may.

    :param given: as :meth:`Currency.text` writes it; so are ``least`` and ``most``, empty where there is no such bound
    """

    def __init__(self, given: str, *, least: str, most: str) -> None:
        bounds = [f"{word} {bound}" for word, bound in (("at least", least), ("at most", most)) if bound]
        super().__init__(f"An automatic recharge gives {' and '.join(bounds)}; this one would give {given}.")
