"""Customers' balances: what an invoice gives back is kept for the next one, and what is owed beside invoices is added."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from django.db import transaction

from accounts.clocks import hold_clock
from accounts.errors import CustomerDeleted
from accounts.models import Customer
from core.bulk import update_rows
from core.metadata import MetadataChange
from core.money import CURRENCIES
from invoices.drafting import check_amount
from invoices.models import CustomerBalance, CustomerBalanceTransaction, Invoice
from subscriptions.errors import CurrencyUnknown
from webhooks.kinds import Kind as Happening
from webhooks.services import record, take_snapshots

Kind = CustomerBalanceTransaction.Kind


@transaction.atomic
def adjust_balance(
    *,
    customer: Customer,
    amount: int,
    currency: str,
    now: datetime,
    description: str = "",
    metadata: MetadataChange | None = None,
) -> CustomerBalanceTransaction:
    """Change a customer's balance by hand.

    :param amount: minor units; below zero is to the customer's credit
    :param now: the customer's time
    :raises accounts.errors.ClockAdvancing: if the customer's test clock is on the move
    :raises CustomerDeleted: if the customer was deleted
    :raises CurrencyUnknown: what it says
    :raises AmountTooLarge: if the balance would be beyond what can be kept
    :raises TooManyMetadataKeys: if the metadata has more than 50 keys
    """
    balance = _locked_balance(customer, currency, now)
    before = take_snapshots([customer])
    entry = _entry(balance, Kind.ADJUSTMENT, amount, now)
    entry.description = description
    entry.metadata = (metadata or MetadataChange()).applied_to({})
    _store([balance], [entry])
    record(Happening.CUSTOMER_UPDATED, rows=[customer], now=now, before=before)
    return entry


@transaction.atomic
def set_balance(*, customer: Customer, amount: int, currency: str, now: datetime) -> None:
    """Have a customer's balance be an amount, by the adjustment that it takes.

    :raises CustomerDeleted: :raises AmountTooLarge: as :func:`adjust_balance` does
    """
    balance = _locked_balance(customer, currency, now)
    if balance.amount != amount:
        adjust_balance(customer=customer, amount=amount - balance.amount, currency=currency, now=now)


@transaction.atomic
def update_balance_transaction(
    *, entry: CustomerBalanceTransaction, description: str | None = None, metadata: MetadataChange | None = None
) -> CustomerBalanceTransaction:
    """Change the company's own words about an entry, which is all that can be changed.

    :raises TooManyMetadataKeys: if the metadata would have more than 50 keys
    """
    entry = CustomerBalanceTransaction.objects.select_for_update(no_key=True).get(pk=entry.pk)
    if description is not None:
        entry.description = description
    if metadata is not None:
        entry.metadata = metadata.applied_to(entry.metadata)
    entry.save(update_fields=["description", "metadata"])
    return entry


def apply_balances(invoices: Sequence[Invoice]) -> None:
    """Set what is due of invoices that become final, in their order: their totals with the customers' balances.

    A credit pays as much as there is to pay, and what a negative total gives back is kept as credit. What is owed is
    added. The caller holds the invoices' locks, has set ``finalized_at``, and stores the invoices.

    :param invoices: of one environment
    :raises AmountTooLarge: if an amount is beyond what can be kept
    """
    environment_id = invoices[0].environment_id
    # Most customers have no balance, and need none. One that is made at this moment counts for the next invoice.
    keys = {(invoice.customer_id, invoice.currency) for invoice in invoices}
    known = CustomerBalance.objects.filter(environment=environment_id, customer__in={customer for customer, _ in keys})
    wanted = keys & set(known.values_list("customer_id", "currency"))
    wanted |= {(invoice.customer_id, invoice.currency) for invoice in invoices if invoice.total < 0}
    balances = _locked(environment_id, wanted)
    entries = []
    for invoice in invoices:
        balance = balances.get((invoice.customer_id, invoice.currency))
        before = balance.amount if balance else 0
        owed = check_amount(before + invoice.total)
        invoice.starting_balance, invoice.ending_balance = before, min(owed, 0)
        invoice.amount_due = max(owed, 0)
        if balance is not None and invoice.ending_balance != before and invoice.finalized_at is not None:
            change = invoice.ending_balance - before
            entries.append(_entry(balance, Kind.APPLIED_TO_INVOICE, change, invoice.finalized_at, invoice))
    _store(list(balances.values()), entries)


def show_balance(invoice: Invoice) -> None:
    """Let a preview say what would be due with the customer's balance as it is now."""
    balance = CustomerBalance.objects.filter(
        environment=invoice.environment_id, customer=invoice.customer_id, currency=invoice.currency
    ).first()
    invoice.starting_balance = balance.amount if balance else 0
    owed = invoice.starting_balance + invoice.total
    invoice.amount_due, invoice.ending_balance = max(owed, 0), min(owed, 0)


def give_back_to_balance(invoice: Invoice, *, now: datetime) -> None:
    """Undo what a voided invoice did to its customer's balance. The caller holds the invoice's lock."""
    change = invoice.starting_balance - (invoice.ending_balance or 0)
    if invoice.ending_balance is None or change == 0:
        return
    key = invoice.customer_id, invoice.currency
    balance = _locked(invoice.environment_id, {key})[key]
    _store([balance], [_entry(balance, Kind.UNAPPLIED_FROM_INVOICE, change, now, invoice)])


def credit_balance(invoice: Invoice, amount: int, *, now: datetime) -> CustomerBalanceTransaction:
    """Put what a credit note gives back onto the balance of an invoice's customer. The caller holds the invoice's lock.

    :raises AmountTooLarge: if the balance would be beyond what can be kept
    """
    key = invoice.customer_id, invoice.currency
    balance = _locked(invoice.environment_id, {key})[key]
    entry = _entry(balance, Kind.CREDIT_NOTE, -amount, now, invoice)
    _store([balance], [entry])
    return entry


def _locked_balance(customer: Customer, currency: str, now: datetime) -> CustomerBalance:
    if currency not in CURRENCIES:
        raise CurrencyUnknown(currency)
    hold_clock(customer, now=now)
    # Held, so that the customer is not deleted meanwhile; not the full lock, which whoever refers to it would wait for.
    if Customer.objects.select_for_update(no_key=True).get(pk=customer.pk).deleted_at is not None:
        raise CustomerDeleted(customer.pk)
    return _locked(customer.environment_id, {(customer.pk, currency)})[customer.pk, currency]


def _locked(environment_id: UUID, keys: set[tuple[UUID, str]]) -> dict[tuple[UUID, str], CustomerBalance]:
    """The balances of customers in currencies, made where there are none, and held until the transaction ends.

    They are locked after everything but the numbers of invoices, and in the order of their ids.
    """
    if not keys:
        return {}
    CustomerBalance.objects.bulk_create(
        [
            CustomerBalance(environment_id=environment_id, customer_id=customer_id, currency=currency)
            for customer_id, currency in sorted(keys)
        ],
        ignore_conflicts=True,
    )
    rows = CustomerBalance.objects.filter(
        environment=environment_id, customer__in={customer_id for customer_id, _ in keys}
    )
    locked = {(row.customer_id, row.currency): row for row in rows.order_by("pk").select_for_update(no_key=True)}
    return {key: locked[key] for key in keys}


def _entry(
    balance: CustomerBalance, kind: str, amount: int, now: datetime, invoice: Invoice | None = None
) -> CustomerBalanceTransaction:
    balance.amount = check_amount(balance.amount + amount)
    balance.transaction_count += 1
    return CustomerBalanceTransaction(
        environment_id=balance.environment_id,
        balance=balance,
        customer_id=balance.customer_id,
        invoice=invoice,
        position=balance.transaction_count,
        kind=kind,
        amount=amount,
        ending_balance=balance.amount,
        currency=balance.currency,
        created_at=now,
    )


def _store(balances: Sequence[CustomerBalance], entries: Sequence[CustomerBalanceTransaction]) -> None:
    if entries:
        update_rows(balances, ["amount", "transaction_count"])
        CustomerBalanceTransaction.objects.bulk_create(entries)
