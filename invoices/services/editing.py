"""People change drafts by hand, and take it back.

Each change goes through the service that programs use, too. Beside it is kept what the changed part of the draft was
before and is since: undoing puts the one in place of the other, and is refused where the draft is no longer as the change
left it. Edits of different parts do not stand in each other's way.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from typing import Any, TypedDict, Unpack
from uuid import UUID

from django.db import transaction
from django.utils.text import Truncator

from accounts.clocks import hold_clock
from core.money import format_amount, plain
from invoices.errors import DraftEditStale, InvoiceNotDraft
from invoices.models import DraftEdit, Invoice, InvoiceItem, InvoiceLine
from invoices.services.agreeing import change_tax_rates_of_invoice, restore_discounts_of_invoice
from invoices.services.balances import adjust_balance
from invoices.services.finalizing import add_up_again, locked_draft
from invoices.services.items import (
    ItemTerms,
    create_invoice_item,
    remove_invoice_item,
    restore_invoice_item,
    update_invoice_item,
)
from invoices.services.manual import update_invoice
from subscriptions.models import Discount, TaxRate
from subscriptions.services import NewDiscount
from webhooks.kinds import Kind
from webhooks.services import record, take_snapshots

Part = DraftEdit.Part

_WORDS = {"description": "memo", "footer": "footer", "days_until_due": "days until due"}
_MOST_SAID = 60
_EXACT = ("quantity", "unit_amount", "exact_amount")
_COLUMNS = ("price_id", "description", *_EXACT, "amount", "is_discountable", "basis")


class DraftWords(TypedDict, total=False):
    """What is said on a draft, and how long the customer has to pay it; the days only where it is sent."""

    description: str
    footer: str
    days_until_due: int


@transaction.atomic
def edit_words(*, invoice: Invoice, now: datetime, recorded_by: str, **words: Unpack[DraftWords]) -> Invoice:
    """Change what is said on a draft.

    :raises InvoiceNotDraft: if it is final
    :raises BillingError: whatever :func:`update_invoice` refuses
    """
    with _edited(invoice, Part.WORDS, now=now, by=recorded_by) as edit:
        days = words.pop("days_until_due", None)
        terms = None if days is None else {"days_until_due": days}
        update_invoice(invoice=edit.invoice, now=now, terms=terms, **words)  # type: ignore[arg-type,misc]
        said, is_said = edit.before or {}, _words_of(edit.invoice)
        changed = [name for name in _WORDS if said[name] != is_said[name]]
        # What stayed as it was may be changed by others without standing in the way of an undo.
        edit.before = {name: said[name] for name in changed}
        edit.says = f"{', '.join(_WORDS[name] for name in changed)} changed"
    return edit.invoice


@transaction.atomic
def add_item_to_draft(*, invoice: Invoice, now: datetime, recorded_by: str, **terms: Unpack[ItemTerms]) -> InvoiceItem:
    """Put a charge onto a draft, or something that is given back.

    :raises InvoiceNotDraft: if it is final
    :raises BillingError: whatever :func:`create_invoice_item` refuses
    """
    with _edited(invoice, Part.ITEM, now=now, by=recorded_by) as edit:
        draft = edit.invoice
        item = create_invoice_item(
            environment=draft.environment,
            customer=draft.customer,
            currency=draft.currency,
            invoice=draft,
            now=now,
            **terms,
        )
        edit.item, edit.says = item, f"“{_short(item)}” added, {_amount(item)}"
    return item


@transaction.atomic
def change_item_of_draft(
    *, item: InvoiceItem, now: datetime, recorded_by: str, **terms: Unpack[ItemTerms]
) -> InvoiceItem:
    """Change an item that is on a draft.

    :raises InvoiceNotDraft: if it is on none, or on a final invoice
    :raises BillingError: whatever :func:`update_invoice_item` refuses
    """
    with _edited(_draft_of(item), Part.ITEM, now=now, by=recorded_by, item=item) as edit:
        old = _amount(item)
        item = update_invoice_item(item=item, now=now, **terms)
        edit.says = f"“{_short(item)}” changed, {old} to {_amount(item)}"
    return item


@transaction.atomic
def remove_item_from_draft(*, item: InvoiceItem, now: datetime, recorded_by: str) -> None:
    """Take an item off a draft.

    :raises InvoiceNotDraft: if it is on none, or on a final invoice
    :raises BillingError: whatever :func:`remove_invoice_item` refuses
    """
    with _edited(_draft_of(item), Part.ITEM, now=now, by=recorded_by, item=item) as edit:
        edit.says = f"“{_short(item)}” removed, {_amount(item)}"
        remove_invoice_item(item=item, now=now)


@transaction.atomic
def redeem_for_draft(*, invoice: Invoice, given: NewDiscount, now: datetime, recorded_by: str) -> Invoice:
    """Redeem a coupon or a promotion code for a draft, beside the discounts that it has.

    :raises InvoiceNotDraft: if it is final
    :raises BillingError: whatever :func:`bind_discounts` refuses
    """
    with _edited(invoice, Part.DISCOUNTS, now=now, by=recorded_by) as edit:
        present = [NewDiscount(discount=one) for one in discounts_of_draft(edit.invoice)]
        update_invoice(invoice=edit.invoice, now=now, terms={"discounts": [*present, given]})
        what = f"promotion code “{given.promotion_code}”" if given.promotion_code else f"coupon “{given.coupon}”"
        edit.says = f"{what} applied"
    return edit.invoice


@transaction.atomic
def take_discount_off_draft(*, invoice: Invoice, discount: Discount, now: datetime, recorded_by: str) -> Invoice:
    """Have a discount take nothing off a draft; what is for once takes something off the next invoice instead.

    :raises InvoiceNotDraft: if it is final
    """
    with _edited(invoice, Part.DISCOUNTS, now=now, by=recorded_by) as edit:
        others = [NewDiscount(discount=one) for one in discounts_of_draft(edit.invoice) if one.pk != discount.pk]
        update_invoice(invoice=edit.invoice, now=now, terms={"discounts": others})
        edit.says = f"discount “{discount}” taken off"
    return edit.invoice


@transaction.atomic
def set_taxes_of_draft(*, invoice: Invoice, tax_rates: Iterable[TaxRate], now: datetime, recorded_by: str) -> Invoice:
    """Ask these rates, and no others, for what is on a draft and has none of its own.

    :raises InvoiceNotDraft: if it is final
    :raises BillingError: whatever :func:`checked_tax_rates` refuses
    """
    rates = list(tax_rates)
    with _edited(invoice, Part.TAXES, now=now, by=recorded_by) as edit:
        was = ", ".join(str(row) for row in edit.invoice.default_tax_rates.select_related("tax_rate"))
        update_invoice(invoice=edit.invoice, now=now, terms={"tax_rates": rates})
        edit.says = f"taxes changed, {was or 'none'} to {', '.join(map(str, rates)) or 'none'}"
    return edit.invoice


@transaction.atomic
def credit_balance_for_draft(
    *, invoice: Invoice, amount: int, now: datetime, recorded_by: str, description: str = ""
) -> Invoice:
    """Put an amount onto the customer's balance, which pays the draft when it becomes final, and then what comes next.

    :param amount: minor units of the draft's currency to the customer's credit; below zero it is asked back
    :raises InvoiceNotDraft: if it is final
    :raises BillingError: whatever :func:`adjust_balance` refuses
    """
    with _edited(invoice, Part.BALANCE, now=now, by=recorded_by) as edit:
        draft = edit.invoice
        adjust_balance(
            customer=draft.customer, amount=-amount, currency=draft.currency, now=now, description=description
        )
        edit.before, edit.after = {"amount": 0}, {"amount": -amount}
        edit.says = f"{format_amount(amount, draft.currency)} put onto the customer's balance"
    return edit.invoice


@transaction.atomic
def undo_edit(*, edit: DraftEdit, now: datetime, recorded_by: str) -> DraftEdit:
    """Have the part of a draft that was changed be as it was before.

    :returns: the edit as it is now
    :raises InvoiceNotDraft: if the draft is final
    :raises DraftEditStale: if it was undone before, or the same part was changed since
    :raises BillingError: if what was there cannot be there any more
    """
    hold_clock(edit.invoice.customer, now=now)
    draft = locked_draft(edit.invoice)
    # The draft's lock makes this the only one; what another has done by now is seen.
    edit = DraftEdit.objects.select_related("item__customer__test_clock", "item__invoice").get(pk=edit.pk)
    edit.invoice = draft
    if edit.undone_at is not None:
        raise DraftEditStale(edit.says, f"that was done by {edit.undone_by} before")
    # A balance is a sum: what came since does not matter.
    if edit.part != Part.BALANCE and _state(edit) != edit.after:
        raise DraftEditStale(edit.says, "it was changed again since")
    _put_back(edit, now)
    edit.undone_at, edit.undone_by = now, recorded_by
    edit.save(update_fields=["undone_at", "undone_by"])
    return edit


def discounts_of_draft(draft: Invoice) -> list[Discount]:
    """The discounts that a draft stands under as a whole."""
    rows = draft.discounts.select_related("discount__coupon").order_by("position")
    return [row.discount for row in rows if not row.discount.is_of_item]


@contextmanager
def _edited(
    invoice: Invoice, part: DraftEdit.Part, *, now: datetime, by: str, item: InvoiceItem | None = None
) -> Iterator[DraftEdit]:
    """Hold a draft, let something be changed on it, and keep what that was. What comes to nothing is not kept.

    :raises InvoiceNotDraft: if it is final
    """
    hold_clock(invoice.customer, now=now)
    edit = DraftEdit(invoice=locked_draft(invoice), part=part, item=item, edited_at=now, edited_by=by)
    edit.environment_id = edit.invoice.environment_id
    edit.before = _state(edit)
    yield edit
    if part != Part.BALANCE:
        edit.after = _state(edit)
    if edit.after != edit.before:
        edit.says = Truncator(edit.says[:1].upper() + edit.says[1:]).chars(DraftEdit.SAYS_LENGTH)
        edit.save(force_insert=True)


def _state(edit: DraftEdit) -> dict[str, Any] | None:
    """What the edit's part of its draft is now, as JSON keeps it."""
    match edit.part:
        case Part.WORDS:
            # Once changed, only what was changed is looked at.
            words = _words_of(edit.invoice)
            return {name: words[name] for name in (words if edit.before is None else edit.before)}
        case Part.ITEM:
            return None if edit.item is None else _state_of_item(edit.invoice, edit.item)
        case Part.DISCOUNTS:
            rows = edit.invoice.discounts.select_related("discount").order_by("position")
            return {str(row.discount_id): row.position for row in rows if not row.discount.is_of_item}
        case Part.TAXES:
            return {str(row.tax_rate_id): row.position for row in edit.invoice.default_tax_rates.order_by("position")}
    return None


def _words_of(draft: Invoice) -> dict[str, Any]:
    return dict(Invoice.objects.values(*_WORDS).get(pk=draft.pk))


def _state_of_item(draft: Invoice, item: InvoiceItem) -> dict[str, Any] | None:
    stored = InvoiceItem.objects.present().filter(pk=item.pk, invoice=draft).first()
    line = InvoiceLine.objects.filter(environment=draft.environment_id, invoice_item=item.pk).first()
    if stored is None or line is None:
        return None
    state = {name: getattr(stored, name) for name in _COLUMNS}
    for name in _EXACT:
        state[name] = None if state[name] is None else plain(state[name])
    state["price_id"] = stored.price_id and str(stored.price_id)
    return state | {"position": line.position}


def _put_back(edit: DraftEdit, now: datetime) -> None:
    before = dict(edit.before or {})
    draft = edit.invoice
    if edit.part == Part.WORDS:
        days = before.pop("days_until_due", None)
        update_invoice(invoice=draft, now=now, terms=None if days is None else {"days_until_due": days}, **before)
    elif edit.part == Part.BALANCE:
        given = (edit.after or {})["amount"]
        adjust_balance(
            customer=draft.customer, amount=-given, currency=draft.currency, now=now, description="Taken back"
        )
    elif edit.part == Part.DISCOUNTS:
        told = take_snapshots([draft])
        restore_discounts_of_invoice(draft, {UUID(pk): position for pk, position in before.items()}, now=now)
        add_up_again(draft)
        record(Kind.INVOICE_UPDATED, rows=[draft], now=now, before=told)
    elif edit.part == Part.TAXES:
        told = take_snapshots([draft])
        rates = TaxRate.objects.in_bulk(before)
        in_order = [rates[UUID(pk)] for pk in sorted(before, key=lambda pk: before[pk])]
        add_up_again(draft, asked=change_tax_rates_of_invoice(draft, in_order, is_agreed=True))
        record(Kind.INVOICE_UPDATED, rows=[draft], now=now, before=told)
    elif edit.item is not None and not before:
        remove_invoice_item(item=edit.item, now=now)
    elif edit.item is not None:
        position = before.pop("position")
        for name in _EXACT:
            before[name] = None if before[name] is None else Decimal(before[name])
        restore_invoice_item(item=edit.item, invoice=draft, columns=before, position=position, now=now)


def _draft_of(item: InvoiceItem) -> Invoice:
    if item.invoice is None:
        raise InvoiceNotDraft("not there")
    return item.invoice


def _short(item: InvoiceItem) -> str:
    return Truncator(item.description or "item").chars(_MOST_SAID)


def _amount(item: InvoiceItem) -> str:
    return format_amount(item.amount, item.currency)
