"""What invoice items and invoices have of their own: discounts, and taxes that are asked for them.

An item's discounts come before its invoice's, and its rates stand instead of those that the invoice asks by default. Both
are there once the row itself is stored; what they come to, :mod:`invoices.reducing` says.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from uuid import UUID

from django.db import transaction

from invoices.models import (
    Invoice,
    InvoiceDiscount,
    InvoiceItem,
    InvoiceLine,
    InvoiceTaxRate,
    ItemDiscount,
    ItemTaxRate,
    LineDiscount,
)
from invoices.reducing import TaxRates, read_terms
from subscriptions.errors import CouponCurrencyMismatch, CouponInvalid, DiscountForeign, PromotionCodeRefused
from subscriptions.models import Coupon, Discount, DiscountQuerySet, TaxRate
from subscriptions.services import NewDiscount, Purchase, bind_discounts, checked_tax_rates

NOT_TO_BE_HAD = (CouponInvalid, CouponCurrencyMismatch, PromotionCodeRefused, DiscountForeign)


def is_first_purchase(customer_id: UUID, *, on: UUID | None = None) -> bool:
    """Whether a customer was never billed before.

    :param on: the id of the invoice that is at hand, which does not count
    """
    billed = Invoice.objects.filter(customer=customer_id).exclude(status=Invoice.Status.VOID)
    others = billed if on is None else billed.exclude(pk=on)
    return not others.exists()


def give_item_terms(
    item: InvoiceItem,
    *,
    discounts: Sequence[NewDiscount] | None = None,
    tax_rates: Sequence[TaxRate] | None = None,
    now: datetime,
    is_agreed: bool = False,
) -> None:
    """Give an invoice item discounts and tax rates instead of those it has; what is None is left. The caller holds its lock.

    A promotion code's minimum is held against the item's amount.

    :param is_agreed: the rates were taken when they could be asked: it does not matter that some are closed by now
    :raises BillingError: whatever :func:`bind_discounts` and :func:`checked_tax_rates` refuse
    """
    if discounts is not None:
        present = [row.discount for row in item.discounts.select_related("discount__coupon")]
        bound = bind_discounts(
            customer=item.customer,
            given=discounts,
            present=present,
            bound_to=Discount.Bound.INVOICE_ITEM,
            now=now,
            purchase=Purchase(
                item.currency, item.amount, is_first=is_first_purchase(item.customer_id, on=item.invoice_id)
            ),
        )
        item.discounts.all().delete()
        ItemDiscount.objects.bulk_create(
            ItemDiscount(environment_id=item.environment_id, item=item, discount=discount, position=position)
            for position, discount in enumerate(bound)
        )
    if tax_rates is not None:
        before = set(item.tax_rates.values_list("tax_rate", flat=True))
        checked = checked_tax_rates(tax_rates, item.environment_id, before=before, is_agreed=is_agreed)
        item.tax_rates.all().delete()
        ItemTaxRate.objects.bulk_create(
            ItemTaxRate(environment_id=item.environment_id, item=item, tax_rate=rate, position=position)
            for position, rate in enumerate(checked)
        )


def redeem_what_can_be_had(wanted: Sequence[NewDiscount], redeem: Callable[[Sequence[NewDiscount]], object]) -> None:
    """Redeem what was planned, without what has expired since: that must not keep anybody from a bill."""
    had: list[NewDiscount] = []
    try:
        with transaction.atomic():
            redeem(wanted)
    except NOT_TO_BE_HAD:
        for new in wanted:
            with suppress(*NOT_TO_BE_HAD), transaction.atomic():
                redeem([*had, new])
                transaction.set_rollback(True)
                had.append(new)
        redeem(had)


def bind_to_invoice(
    invoice: Invoice,
    given: Sequence[NewDiscount],
    *,
    present: Iterable[Discount],
    lines: Iterable[InvoiceLine],
    now: datetime,
) -> list[Discount]:
    """Redeem for an invoice as a whole. A promotion code's minimum is held against what is on it by now.

    :param present: what it has, or would have, of its own, its subscription's or its customer's; what is not given goes
    :raises BillingError: whatever :func:`bind_discounts` refuses
    """
    return bind_discounts(
        customer=invoice.customer,
        given=given,
        present=present,
        bound_to=Discount.Bound.INVOICE,
        now=now,
        purchase=Purchase(
            invoice.currency,
            sum(line.amount for line in lines),
            is_first=is_first_purchase(invoice.customer_id, on=invoice.pk),
        ),
    )


def change_discounts_of_invoice(draft: Invoice, given: Sequence[NewDiscount], *, now: datetime) -> None:
    """Give a draft these discounts as a whole, instead of those it has; what its items have stays theirs.

    The caller holds its lock, and adds it up again.

    :raises BillingError: whatever :func:`bind_discounts` refuses
    """
    rows = list(draft.discounts.select_related("discount__coupon"))
    mine = [row.discount for row in rows if not row.discount.is_of_item]
    bound = bind_to_invoice(draft, given, present=mine, lines=draft.lines.all(), now=now)
    give_back_discounts(draft, [one for one in mine if one not in bound])
    InvoiceDiscount.objects.filter(invoice=draft, discount__in=mine).delete()
    InvoiceDiscount.objects.bulk_create(
        InvoiceDiscount(environment_id=draft.environment_id, invoice=draft, discount=discount, position=position)
        for position, discount in enumerate(bound, start=len(rows))
    )


def restore_discounts_of_invoice(draft: Invoice, positions: Mapping[UUID, int], *, now: datetime) -> None:
    """Have a draft stand under the discounts, as a whole, that it stood under before, each at its place.

    The caller holds its lock, and adds it up again.

    :param positions: by the ids of discounts that the draft has, or had
    :raises DiscountForeign: if one of them was taken away, or used up by another invoice, meanwhile
    """
    mine = [row.discount for row in draft.discounts.select_related("discount") if not row.discount.is_of_item]
    present = {discount.pk for discount in mine}
    gone = [discount for discount in mine if discount.pk not in positions]
    Discount.objects.filter(pk__in=[one.pk for one in gone]).exclude(bound_to="").update(removed_at=now)
    give_back_discounts(draft, [one for one in gone if not one.bound_to])
    back = Discount.objects.select_for_update(no_key=True, of=("self",)).filter(pk__in=positions.keys() - present)
    locked = list(back.select_related("coupon").order_by("pk"))
    users = _users_of(locked)
    for discount in locked:
        if discount.bound_to:
            discount.removed_at = None
        # What a revision lets go is used up by what it revises, and by nothing else, until that is void.
        elif discount.removed_at is not None or (
            discount.used_at is not None and users[discount.pk] != {draft.revises_id}
        ):
            raise DiscountForeign
        elif discount.coupon.duration == Coupon.Duration.ONCE:
            discount.used_at = discount.used_at or draft.created_at
        discount.save(update_fields=["removed_at", "used_at"])
    InvoiceDiscount.objects.filter(invoice=draft, discount__in=mine).delete()
    InvoiceDiscount.objects.bulk_create(
        InvoiceDiscount(environment_id=draft.environment_id, invoice=draft, discount_id=pk, position=position)
        for pk, position in positions.items()
    )


def give_back_discounts(invoice: Invoice, discounts: Iterable[Discount]) -> None:
    """Have what is for once, and was used up by an invoice that it is taken from, take something off the next one instead.

    What another invoice stands under stays used up. So a revision gives nothing back before what it revises is void.
    """
    named = [discount.pk for discount in discounts]
    if not named:
        return
    used = Discount.objects.filter(pk__in=named, used_at__isnull=False, removed_at=None)
    # Held, so that none is given back once another invoice has it.
    locked = list(used.select_for_update(no_key=True).order_by("pk"))
    users = _users_of(locked)
    general = Discount.objects.general().filter(customer=invoice.customer_id)
    for discount in locked:
        # Another may have taken its place meanwhile: a customer has one at a time.
        is_taken = discount.owner_id == invoice.customer_id and general.in_place().exists()
        if users[discount.pk] <= {invoice.pk} and not is_taken:
            Discount.objects.filter(pk=discount.pk).update(used_at=None)


def discounts_of(invoices: Sequence[Invoice]) -> DiscountQuerySet:
    """What any of these invoices was made with, each once."""
    rows = InvoiceDiscount.objects.filter(invoice__in=invoices)
    return Discount.objects.filter(pk__in=rows.values("discount"))


def _users_of(discounts: Iterable[Discount]) -> dict[UUID, set[UUID | None]]:
    """The invoices that discounts take something off, by discount; without those that are void, and without late usage,
    which stands under what its period had.
    """
    users: dict[UUID, set[UUID | None]] = {discount.pk: set() for discount in discounts}
    taken = LineDiscount.objects.filter(discount__in=users, line__trues_up=None)
    standing = taken.exclude(line__invoice__status=Invoice.Status.VOID)
    for discount_id, invoice_id in standing.values_list("discount", "line__invoice"):
        users[discount_id].add(invoice_id)
    return users


def change_tax_rates_of_invoice(
    draft: Invoice, tax_rates: Sequence[TaxRate], *, is_agreed: bool = False
) -> dict[UUID, TaxRates]:
    """Ask these rates for what is on a draft and has none of its own. The caller holds its lock, and adds it up again.

    :param is_agreed: they were asked before: it does not matter that some are closed by now
    :returns: what its lines are asked now, by their ids
    :raises BillingError: whatever :func:`checked_tax_rates` refuses
    """
    before = set(draft.default_tax_rates.values_list("tax_rate", flat=True))
    checked = checked_tax_rates(tax_rates, draft.environment_id, before=before, is_agreed=is_agreed)
    draft.default_tax_rates.all().delete()
    InvoiceTaxRate.objects.bulk_create(
        InvoiceTaxRate(environment_id=draft.environment_id, invoice=draft, tax_rate=rate, position=position)
        for position, rate in enumerate(checked)
    )
    return asked_of(draft, list(draft.lines.select_related("invoice_item")))


def asked_of(draft: Invoice, lines: Sequence[InvoiceLine]) -> dict[UUID, TaxRates]:
    """What taxes lines of a draft are to be asked: their items' own, or else what the draft asks by default."""
    items = [line.invoice_item for line in lines if line.invoice_item is not None]
    subscriptions = [] if draft.subscription is None else [draft.subscription]
    terms = read_terms(draft.environment_id, subscriptions, lock=False, items=items)
    terms.asked_by_default = [row.tax_rate for row in draft.default_tax_rates.select_related("tax_rate")]
    for line in lines:
        line.invoice = draft
    return {line.pk: terms.tax_rates_of(line) for line in lines}
