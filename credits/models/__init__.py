"""Credit that customers were given, and the ledger of all that became of it.

An amount is a whole number of the currency's smallest units, of any size. Credit in money pays for invoices; credit in a
currency of the company's own is burned by the events of its meters. Grants know nothing of invoices: what was paid by
them is referred to by its bare id.
"""

from credits.models.charges import BurnMark, EventCharge, EventChargeQuerySet
from credits.models.grants import (
    DEFAULT_PRIORITY,
    MOST_AMOUNT,
    CreditAccount,
    CreditGrant,
    CreditGrantQuerySet,
    CreditHold,
    GrantedPrice,
)
from credits.models.ledger import LedgerEntry, LedgerEntryQuerySet
from credits.models.reservations import CreditReservation, CreditReservationQuerySet

__all__ = [
    "DEFAULT_PRIORITY",
    "MOST_AMOUNT",
    "BurnMark",
    "CreditAccount",
    "CreditGrant",
    "CreditGrantQuerySet",
    "CreditHold",
    "CreditReservation",
    "CreditReservationQuerySet",
    "EventCharge",
    "EventChargeQuerySet",
    "GrantedPrice",
    "LedgerEntry",
    "LedgerEntryQuerySet",
]
