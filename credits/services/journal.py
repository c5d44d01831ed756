"""The one way into the ledger: under the customer's lock, an entry and the balance that it leaves, together."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from core.bulk import change, insertion, run
from core.db import Statement, run_together
from credits.applying import Spendable
from credits.models import CreditAccount, CreditGrant, CreditReservation, EventCharge, LedgerEntry
from webhooks.kinds import Kind
from webhooks.services import record

_LOCK = f"""
    SELECT customer_id FROM {CreditAccount._meta.db_table} WHERE environment_id = %s AND customer_id = ANY(%s)
     ORDER BY customer_id FOR NO KEY UPDATE
"""  # noqa: S608, SLF001 (a name of ours)


def locking(environment_id: UUID, customer_ids: Iterable[UUID]) -> Statement:
    """The statement of :func:`lock_accounts`, to be sent together with those that need the lock."""
    return Statement(_LOCK, [environment_id, list(customer_ids)])


def lock_accounts(environment_id: UUID, customer_ids: Iterable[UUID]) -> list[UUID]:
    """Hold the credit of customers until the commit, always in the same order. Read grants after this, not before.

    :returns: those of the customers who were ever given credit
    """
    # As a plain statement, since it stands before whatever happens to credit: composing it takes longer than running it.
    [held] = run_together([locking(environment_id, customer_ids)])
    return [pk for (pk,) in held]


def hold_credit(environment_id: UUID, customer_id: UUID) -> None:
    """The same for one customer, be there any credit yet or not."""
    account = CreditAccount(customer_id=customer_id, environment_id=environment_id)
    CreditAccount.objects.bulk_create([account], ignore_conflicts=True)
    lock_accounts(environment_id, [customer_id])


class Journal:
    """Entries that are written together, in their order, however many grants they are of.

    Whoever makes one holds the accounts of the grants' customers, and has read each grant once, after that.
    """

    def __init__(self) -> None:
        self._entries: list[LedgerEntry] = []

    def enter(
        self,
        grant: CreditGrant,
        kind: LedgerEntry.Kind,
        amount: int,
        *,
        now: datetime,
        effective_at: datetime | None = None,
        invoice_id: UUID | None = None,
        invoice_line_id: UUID | None = None,
        charge: EventCharge | None = None,
        reservation: CreditReservation | None = None,
        gives_back: LedgerEntry | None = None,
    ) -> None:
        """Change a grant's balance, here at once and in the database with :meth:`write`.

        :param amount: negative where something is taken
        :param now: the customer's time
        :param effective_at: the instant that it counts from, if that is not ``now``
        """
        grant.balance += amount
        grant.entry_count += 1
        self._entries.append(
            LedgerEntry(
                environment_id=grant.environment_id,
                customer_id=grant.customer_id,
                grant=grant,
                number=grant.entry_count,
                kind=kind,
                amount=amount,
                balance=grant.balance,
                effective_at=effective_at or now,
                created_at=now,
                invoice_id=invoice_id,
                invoice_line_id=invoice_line_id,
                charge=charge,
                reservation=reservation,
                gives_back=gives_back,
            )
        )

    def write(self) -> list[LedgerEntry]:
        """Store what was entered, and tell of it."""
        for statement in self.statements():
            run(statement)
        self.tell()
        return self._entries

    def statements(self) -> list[Statement]:
        """What stores the entries. Whoever runs it himself lets :meth:`tell` follow."""
        if not self._entries:
            return []
        grants = {entry.grant_id: entry.grant for entry in self._entries}
        return [insertion(self._entries), change(list(grants.values()), ["balance", "entry_count"])]

    def tell(self) -> None:
        """Tell of the entries, once they are stored."""
        # Customers on test clocks live at times of their own.
        written_at: dict[datetime, list[LedgerEntry]] = defaultdict(list)
        for entry in self._entries:
            # What events burn and calls commit, thousands of them, is not told one by one.
            if entry.charge_id is None and entry.reservation_id is None:
                entry.environment = entry.grant.environment
                written_at[entry.created_at].append(entry)
        for now, at_once in written_at.items():
            record(Kind.CREDIT_TRANSACTION_CREATED, rows=at_once, now=now)


def as_spendable(grant: CreditGrant) -> Spendable:
    """A grant as the arithmetic knows it."""
    return Spendable(
        grant_id=grant.pk,
        balance=grant.available,
        priority=grant.priority,
        expires_at=grant.expires_at,
        promotional=grant.category == CreditGrant.Category.PROMOTIONAL,
        effective_at=grant.effective_at,
        created_at=grant.created_at,
        prices=grant.price_ids,
    )
