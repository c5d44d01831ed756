"""How credit is spread over what it may pay for. Pure: no database, no clock."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Spendable:
    """What is left of a grant, and what it may be spent on.

    :ivar balance: what can be spent of it: of what is reserved, nothing
    :ivar prices: what it pays for; None for all metered prices
    """

    grant_id: UUID
    balance: int
    priority: int
    expires_at: datetime | None
    promotional: bool
    effective_at: datetime
    created_at: datetime
    prices: frozenset[UUID] | None = None

    @property
    def order(self) -> tuple[object, ...]:
        """Sorts grants into the order in which they are used up.

        Source: Stripe, "Billing credits": by priority, then what expires earliest, promotional before paid, then what
        became effective and was created earliest. Ids, which ascend, settle what is left.
        """
        return (
            self.priority,
            self.expires_at or _NEVER,
            not self.promotional,
            self.effective_at,
            self.created_at,
            self.grant_id,
        )

    def is_usable(self, at: datetime) -> bool:
        return self.effective_at <= at and (self.expires_at is None or at < self.expires_at)

    def pays_for(self, price_id: UUID) -> bool:
        return self.prices is None or price_id in self.prices


@dataclass(frozen=True, slots=True)
class PayableLine:
    """A line over a metered price, with what is due for it after discounts and before tax."""

    line_id: UUID
    price_id: UUID
    amount: int


@dataclass(frozen=True, slots=True)
class PayableInvoice:
    """An invoice of one customer, as far as credit may pay for it.

    :ivar lines: in the invoice's order; those that credit cannot pay for are left out
    :ivar most: the sum of all its lines after discounts and before tax. Lines may give something back, and credit must
        not take an invoice below zero.
    :ivar at: the instant at which grants must be usable
    """

    invoice_id: UUID
    customer_id: UUID
    currency: str
    lines: Sequence[PayableLine]
    most: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Share:
    """What one grant pays for one line: more than nothing."""

    grant_id: UUID
    line_id: UUID
    amount: int


def spread(grants: Iterable[Spendable], invoice: PayableInvoice) -> list[Share]:
    """Spend grants on an invoice: each in its turn, on the lines that it pays for, from the first one on.

    :param grants: of the invoice's customer and currency
    """
    due = {line.line_id: max(line.amount, 0) for line in invoice.lines}
    room = max(invoice.most, 0)
    shares = []
    for grant in sorted(grants, key=lambda one: one.order):
        if not grant.is_usable(invoice.at):
            continue
        left = grant.balance
        for line in invoice.lines:
            amount = min(left, due[line.line_id], room)
            if amount > 0 and grant.pays_for(line.price_id):
                shares.append(Share(grant.grant_id, line.line_id, amount))
                left -= amount
                room -= amount
                due[line.line_id] -= amount
    return shares


@dataclass(frozen=True, slots=True)
class Part:
    """What one grant gives toward an amount: more than nothing."""

    grant_id: UUID
    amount: int


def take(grants: Iterable[Spendable], amount: int) -> list[Part]:
    """Take an amount from grants, each in its turn. Together the parts are less where the grants do not suffice.

    :param grants: of one customer and currency, in any order; which of them may be used, the caller has seen to
    :param amount: more than nothing
    """
    parts = []
    for grant in sorted(grants, key=lambda one: one.order):
        part = min(amount, grant.balance)
        if part > 0:
            parts.append(Part(grant.grant_id, part))
            amount -= part
    return parts
