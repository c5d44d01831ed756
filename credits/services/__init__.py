"""Every write to credit grants and their ledger."""

from credits.services.applying import apply_credit, customers_with_credit, give_back_credit, preview_credit
from credits.services.burning import burn_credit, follow_events, settle_customer, settle_waiting
from credits.services.expiring import expire_due_grants, expire_grants_on_clock
from credits.services.granting import create_grant, expire_grant, update_grant, void_grant
from credits.services.holding import let_lapse
from credits.services.journal import hold_credit
from credits.services.reserving import (
    DEFAULT_DURATION,
    LONGEST_DURATION,
    commit_reservation,
    expire_due_reservations,
    expire_reservations_on_clock,
    find_reservation,
    release_reservation,
    reserve_credit,
)

__all__ = [
    "DEFAULT_DURATION",
    "LONGEST_DURATION",
    "apply_credit",
    "burn_credit",
    "commit_reservation",
    "create_grant",
    "customers_with_credit",
    "expire_due_grants",
    "expire_due_reservations",
    "expire_grant",
    "expire_grants_on_clock",
    "expire_reservations_on_clock",
    "find_reservation",
    "follow_events",
    "give_back_credit",
    "hold_credit",
    "let_lapse",
    "preview_credit",
    "release_reservation",
    "reserve_credit",
    "settle_customer",
    "settle_waiting",
    "update_grant",
    "void_grant",
]
