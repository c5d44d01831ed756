"""What is taken off an invoice and what taxes are asked for it: from discounts and rates to rows beside its lines.

Which ones is decided when an invoice is drafted and kept with the draft, until somebody says otherwise; what they come to
is computed again whenever its lines are, by :mod:`invoices.totals`. An invoice item brings discounts and rates of its own. Lines that true up an earlier period stand under what that period was billed with: its
percentages, its taxes, and of an amount off the part that had been taken off what is given back.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from itertools import chain
from types import MappingProxyType
from typing import TypeAlias
from uuid import UUID

from django.db.models import Q

from core.related import rows_of
from invoices.drafting import check_amount
from invoices.models import (
    Invoice,
    InvoiceDiscount,
    InvoiceItem,
    InvoiceLine,
    InvoiceTaxRate,
    ItemDiscount,
    ItemTaxRate,
    LineDiscount,
    LineTax,
)
from invoices.totals import Amount, Reduction, Tax, Totals, total_up
from subscriptions.models import AppliedTaxRate, Coupon, Discount, Subscription, TaxRate

# What :func:`reduce` sets, beside what is due.
TOTALS = ("subtotal", "subtotal_inclusive_tax", "inclusive_tax", "exclusive_tax", "total")

# With all that is said of a discount.
_OF_DISCOUNT = ("discount__coupon", "discount__customer", "discount__promotion_code")

TaxRates: TypeAlias = Sequence[TaxRate]


@dataclass(slots=True)
class Terms:
    """The discounts and tax rates of subscriptions, their items, their customers and invoice items, by the id of what has
    them.

    :ivar asked_by_default: what taxes are asked of what has none of its own, where that is not the subscription's to say
    """

    discounts: dict[UUID, list[Discount]]
    tax_rates: dict[UUID, list[TaxRate]]
    asked_by_default: TaxRates | None = None

    def discounts_of(self, subscription: Subscription, at: datetime) -> list[Discount]:
        """What runs at an instant: those of items, then the subscription's own, or else its customer's."""
        of_items = [discount for item in rows_of(subscription, "items") for discount in self._running(item.pk, at)]
        own = self._running(subscription.pk, at)
        return of_items + (own or self._running(subscription.customer_id, at))

    def discounts_of_customer(self, customer_id: UUID, at: datetime) -> list[Discount]:
        """What runs at an instant for all that a customer is billed."""
        return self._running(customer_id, at)

    def discounts_of_line(self, line: InvoiceLine) -> Sequence[Discount]:
        """Those of the invoice item that a line puts onto its invoice; those of a subscription's items run, and are above."""
        return () if line.invoice_item_id is None else self.discounts.get(line.invoice_item_id, ())

    def tax_rates_of(self, line: InvoiceLine) -> TaxRates:
        """An item's own, or else what is asked by default."""
        return self._first(line.invoice_item_id, line.subscription_item_id) or self.default_tax_rates_of(line.invoice)

    def default_tax_rates_of(self, invoice: Invoice) -> TaxRates:
        """A subscription's, or else the customer's, unless somebody said otherwise."""
        if self.asked_by_default is not None:
            return self.asked_by_default
        return self._first(invoice.subscription_id, invoice.customer_id)

    def _first(self, *owners: UUID | None) -> TaxRates:
        return next((self.tax_rates[owner] for owner in owners if owner in self.tax_rates), ())

    def _running(self, owner: UUID, at: datetime) -> list[Discount]:
        return [discount for discount in self.discounts.get(owner, ()) if discount.is_running(at)]


@dataclass(slots=True)
class Reduced:
    """What an invoice's discounts and taxes came to: rows that are not stored yet.

    :ivar used_up: discounts that are for once and have taken something off
    """

    discounts: list[InvoiceDiscount] = field(default_factory=list)
    tax_rates: list[InvoiceTaxRate] = field(default_factory=list)
    line_discounts: list[LineDiscount] = field(default_factory=list)
    line_taxes: list[LineTax] = field(default_factory=list)
    used_up: list[Discount] = field(default_factory=list)

    def taken_off(self) -> dict[UUID, int]:
        """What all discounts together took off lines, by their ids."""
        taken: dict[UUID, int] = defaultdict(int)
        for row in self.line_discounts:
            taken[row.line_id] += row.amount
        return taken


def read_terms(
    environment_id: UUID,
    subscriptions: Sequence[Subscription],
    *,
    lock: bool,
    customer_id: UUID | None = None,
    items: Sequence[InvoiceItem] = (),
) -> Terms:
    """Read the discounts and tax rates of subscriptions of one environment, in as many queries however many they are.

    :param items: invoice items whose own are read, too
    :param customer_id: whose general ones are read, too, subscriptions or none
    :param lock: hold discounts that can be used up until the transaction's end, so that each is used by one invoice
    """
    customers = {subscription.customer_id for subscription in subscriptions} | ({customer_id} - {None})
    parts = [item.pk for subscription in subscriptions for item in rows_of(subscription, "items")]
    owned = Q(customer__in=customers) & (
        Q(subscription__isnull=True, subscription_item__isnull=True)
        | Q(subscription__in=subscriptions)
        | Q(subscription_item__in=parts)
    )
    discounts = list(
        Discount.objects.in_place()
        .filter(owned, environment=environment_id, bound_to="")
        .select_related("coupon")
        .prefetch_related("coupon__applies_to")
    )
    if lock:
        discounts = _still_there(discounts)
    rates = AppliedTaxRate.objects.filter(
        Q(customer__in=customers) | Q(subscription__in=subscriptions) | Q(subscription_item__in=parts),
        environment=environment_id,
    ).select_related("tax_rate")
    terms = Terms(defaultdict(list), defaultdict(list))
    for discount in discounts:
        terms.discounts[discount.owner_id].append(discount)
    for applied in rates:
        terms.tax_rates[applied.owner_id].append(applied.tax_rate)
    if items:
        for row in _discounts_of_items(item.pk for item in items):
            terms.discounts[row.item_id].append(row.discount)
        for asked in ItemTaxRate.objects.filter(item__in=items).select_related("tax_rate"):
            terms.tax_rates[asked.item_id].append(asked.tax_rate)
    terms.discounts, terms.tax_rates = dict(terms.discounts), dict(terms.tax_rates)
    return terms


def _discounts_of_items(items: Iterable[UUID]) -> Iterable[ItemDiscount]:
    rows = ItemDiscount.objects.filter(item__in=list(items)).order_by("item", "position")
    return rows.select_related("discount__coupon").prefetch_related("discount__coupon__applies_to")


@dataclass(slots=True)
class Billed:
    """What the lines that are trued up were billed with."""

    discounts: dict[UUID | None, list[LineDiscount]]
    taxes: dict[UUID | None, list[LineTax]]


def read_billed(lines: Iterable[InvoiceLine]) -> Billed:
    """Read what true-ups among lines of any invoices stand under, in as many queries however many they are."""
    billed = Billed(defaultdict(list), defaultdict(list))
    originals = [line.trues_up_id for line in lines if line.trues_up_id is not None]
    if originals:
        for discount in LineDiscount.objects.filter(line__in=originals).select_related("discount__coupon", "line"):
            billed.discounts[discount.line_id].append(discount)
        for tax in LineTax.objects.filter(line__in=originals).select_related("tax_rate"):
            billed.taxes[tax.line_id].append(tax)
    return billed


def reduce(
    invoice: Invoice,
    lines: Sequence[InvoiceLine],
    *,
    discounts: Sequence[Discount],
    discounts_of_line: Callable[[InvoiceLine], Sequence[Discount]],
    tax_rates_of: Callable[[InvoiceLine], TaxRates],
    billed: Billed,
    credit: Mapping[UUID, int] = MappingProxyType({}),
) -> Reduced:
    """Set an invoice's totals to what its lines come to after discounts and with taxes.

    :param lines: rounded; with their prices loaded
    :param discounts: of the invoice, and of items of its subscription
    :param discounts_of_line: which a line has of its own
    :param billed: what true-ups among them stand under
    :param credit: what credit pays of lines, by their ids
    :returns: the rows that say so
    :raises AmountTooLarge: if the total is beyond what an invoice can hold
    """
    discounts = [one for one in discounts if _is_in(one, invoice.currency)]
    rates = [
        [row.tax_rate for row in billed.taxes[line.trues_up_id]] if line.trues_up_id else tax_rates_of(line)
        for line in lines
    ]
    amounts = [
        Amount(line.amount, [_tax(rate) for rate in mine], credit.get(line.pk, 0))
        for line, mine in zip(lines, rates, strict=True)
    ]
    reductions = [
        _reduction(own, lines, position)
        for position, line in enumerate(lines)
        for own in discounts_of_line(line)
        if _is_in(own, invoice.currency)
    ]
    reductions += [_reduction(discount, lines) for discount in discounts] + _reductions_of_true_ups(lines, billed)
    totals = total_up(amounts, reductions)
    invoice.subtotal = check_amount(totals.subtotal)
    invoice.subtotal_inclusive_tax = totals.subtotal_inclusive_tax
    invoice.inclusive_tax, invoice.exclusive_tax = totals.inclusive_tax, totals.exclusive_tax
    invoice.total = check_amount(totals.total)
    invoice.amount_due = max(invoice.total, 0)
    return _rows(invoice, lines, discounts, totals)


def reduce_by(
    terms: Terms,
    invoice: Invoice,
    lines: Sequence[InvoiceLine],
    *,
    discounts: Sequence[Discount],
    billed: Billed | None = None,
    credit: Mapping[UUID, int] = MappingProxyType({}),
) -> Reduced:
    """:func:`reduce` an invoice that is made now, by terms that were read for it.

    :param discounts: those of the terms that it stands under as a whole
    """
    reduced = reduce(
        invoice,
        lines,
        discounts=discounts,
        discounts_of_line=terms.discounts_of_line,
        tax_rates_of=terms.tax_rates_of,
        billed=read_billed(lines) if billed is None else billed,
        credit=credit,
    )
    reduced.tax_rates = [
        InvoiceTaxRate(environment_id=invoice.environment_id, invoice=invoice, tax_rate=rate, position=position)
        for position, rate in enumerate(terms.default_tax_rates_of(invoice))
    ]
    return reduced


def reduce_all(drafts: Sequence[tuple[Subscription, Invoice, Sequence[InvoiceLine]]], terms: Terms) -> list[Reduced]:
    """Reduce invoices of periods that are over by what ran as each of them ended.

    :raises AmountTooLarge: if a total is beyond what an invoice can hold
    """
    billed = read_billed(chain.from_iterable(lines for _, _, lines in drafts))
    return [
        reduce_by(terms, invoice, lines, discounts=terms.discounts_of(subscription, invoice.period_end), billed=billed)
        for subscription, invoice, lines in drafts
    ]


def store_reduced(reduced: Iterable[Reduced], *, now: datetime) -> None:
    """Store what invoices, which are stored by now, were reduced by."""
    rows = list(reduced)
    InvoiceDiscount.objects.bulk_create(row for one in rows for row in one.discounts)
    InvoiceTaxRate.objects.bulk_create(row for one in rows for row in one.tax_rates)
    LineDiscount.objects.bulk_create(row for one in rows for row in one.line_discounts)
    LineTax.objects.bulk_create(row for one in rows for row in one.line_taxes)
    used_up = [discount.pk for one in rows for discount in one.used_up]
    if used_up:
        Discount.objects.filter(pk__in=used_up, used_at__isnull=True).update(used_at=now)


def read_reduced(invoice: Invoice) -> Reduced:
    """What a stored invoice was reduced by."""
    of_lines = {"line__invoice": invoice}
    return Reduced(
        discounts=list(InvoiceDiscount.objects.filter(invoice=invoice).select_related(*_OF_DISCOUNT)),
        tax_rates=list(InvoiceTaxRate.objects.filter(invoice=invoice).select_related("tax_rate")),
        line_discounts=list(
            LineDiscount.objects.filter(**of_lines).select_related(*_OF_DISCOUNT).order_by("line__position", "position")
        ),
        line_taxes=list(
            LineTax.objects.filter(**of_lines).select_related("tax_rate").order_by("line__position", "position")
        ),
    )


def reduce_again(
    lines: Mapping[Invoice, Sequence[InvoiceLine]],
    *,
    credit: Mapping[UUID, int] = MappingProxyType({}),
    asked: Mapping[UUID, TaxRates] = MappingProxyType({}),
) -> None:
    """Compute drafts' discounts, taxes and totals from their lines as they are now. The caller holds the drafts' locks.

    :param lines: :param credit: :param asked: as of :func:`compute_again`
    :raises AmountTooLarge: if a total is beyond what an invoice can hold
    """
    drafts = list(lines)
    reduced = compute_again(lines, credit=credit, asked=asked)
    # What was taken away altogether has left rows.
    LineDiscount.objects.filter(line__invoice__in=drafts).delete()
    if any(one.line_discounts for one in reduced):
        LineDiscount.objects.bulk_create(row for one in reduced for row in one.line_discounts)
    taxes = LineTax.objects.filter(line__invoice__in=drafts)
    if asked or any(one.line_taxes for one in reduced):
        taxes.delete()
        LineTax.objects.bulk_create(row for one in reduced for row in one.line_taxes)


def compute_again(
    lines: Mapping[Invoice, Sequence[InvoiceLine]],
    *,
    credit: Mapping[UUID, int] = MappingProxyType({}),
    asked: Mapping[UUID, TaxRates] = MappingProxyType({}),
) -> list[Reduced]:
    """What stored invoices come to by the discounts that they have and the taxes that their lines were asked before.

    It sets their totals in memory, and stores nothing.

    :param credit: what credit pays of lines, by their ids
    :param asked: what taxes are asked of lines that are new, or shall be asked others, by their ids
    :returns: the rows that say so, by invoice
    :raises AmountTooLarge: if a total is beyond what an invoice can hold
    """
    invoices = list(lines)
    discounts: dict[UUID, list[Discount]] = defaultdict(list)
    for row in (
        InvoiceDiscount.objects.filter(invoice__in=invoices)
        .select_related("discount__coupon")
        .prefetch_related("discount__coupon__applies_to")
    ):
        discounts[row.invoice_id].append(row.discount)
    rates: dict[UUID, list[TaxRate]] = defaultdict(list)
    for tax in LineTax.objects.filter(line__invoice__in=invoices).select_related("tax_rate"):
        rates[tax.line_id].append(tax.tax_rate)
    rates.update((line, list(others)) for line, others in asked.items())
    of_items: dict[UUID | None, list[Discount]] = defaultdict(list)
    for own in _discounts_of_items(
        one.invoice_item_id for one in chain.from_iterable(lines.values()) if one.invoice_item_id
    ):
        of_items[own.item_id].append(own.discount)
    billed = read_billed(chain.from_iterable(lines.values()))
    return [
        reduce(
            invoice,
            mine,
            discounts=discounts.get(invoice.pk, ()),
            discounts_of_line=lambda line: of_items.get(line.invoice_item_id, ()),
            tax_rates_of=lambda line: rates.get(line.pk, ()),
            billed=billed,
            credit=credit,
        )
        for invoice, mine in lines.items()
    ]


def _still_there(discounts: list[Discount]) -> list[Discount]:
    """Without those that another invoice has used up meanwhile; the others are held."""
    once = [discount.pk for discount in discounts if discount.coupon.duration == Coupon.Duration.ONCE]
    if not once:
        return discounts
    held = Discount.objects.in_place().select_for_update(no_key=True, of=("self",)).filter(pk__in=once).order_by("pk")
    still = set(held.values_list("pk", flat=True))
    return [discount for discount in discounts if discount.pk in still or discount.pk not in once]


def _tax(rate: TaxRate) -> Tax:
    return Tax(rate, Decimal(rate.percentage), rate.inclusive)


def _is_in(discount: Discount, currency: str) -> bool:
    return discount.coupon.currency in {"", currency}


def _reduction(discount: Discount, lines: Sequence[InvoiceLine], only: int | None = None) -> Reduction:
    """
    :param only: the position of the one line whose own discount it is
    """
    percent = discount.coupon.percent_off
    if only is None:
        fitting = [position for position, line in enumerate(lines) if _fits(discount, line)]
    else:
        fitting = [only] if _is_for(discount, lines[only]) else []
    return Reduction(
        discount,
        frozenset(fitting),
        percent_off=None if percent is None else Fraction(percent),
        amount_off=discount.coupon.amount_off,
        is_of_item=discount.is_of_item,
    )


def _fits(discount: Discount, line: InvoiceLine) -> bool:
    return discount.subscription_item_id in {None, line.subscription_item_id} and _is_for(discount, line)


def _is_for(discount: Discount, line: InvoiceLine) -> bool:
    if not line.is_discountable or line.trues_up_id is not None:
        return False
    products = {product.pk for product in discount.coupon.applies_to.all()}
    return not products or (line.price is not None and line.price.product_id in products)


def _reductions_of_true_ups(lines: Sequence[InvoiceLine], billed: Billed) -> list[Reduction]:
    reductions = []
    for position, line in enumerate(lines):
        left = None
        for row in billed.discounts[line.trues_up_id] if line.trues_up_id else ():
            left = row.line.amount if left is None else left
            percent = row.discount.coupon.percent_off
            share = None if percent is None else Fraction(percent)
            if share is None and line.amount < 0 and left:
                share = Fraction(100 * row.amount, left)
            left -= row.amount
            if share is not None:
                of_item = row.discount.is_of_item
                reductions.append(Reduction(row.discount, frozenset({position}), share, is_of_item=of_item))
    return reductions


def _rows(invoice: Invoice, lines: Sequence[InvoiceLine], discounts: Sequence[Discount], totals: Totals) -> Reduced:
    reduced = Reduced()
    environment_id = invoice.environment_id
    taken: dict[Discount, int] = defaultdict(int)
    for position, discount in enumerate(discounts):
        reduced.discounts.append(
            InvoiceDiscount(environment_id=environment_id, invoice=invoice, discount=discount, position=position)
        )
    for line, total in zip(lines, totals.lines, strict=True):
        for position, (key, amount) in enumerate(total.discounts.items()):
            if amount and isinstance(key, Discount):
                taken[key] += amount
                reduced.line_discounts.append(
                    LineDiscount(
                        environment_id=environment_id, line=line, discount=key, position=position, amount=amount
                    )
                )
        for position, taxed in enumerate(total.taxes):
            if isinstance(taxed.tax.key, TaxRate):
                reduced.line_taxes.append(
                    LineTax(
                        environment_id=environment_id,
                        line=line,
                        tax_rate=taxed.tax.key,
                        position=position,
                        taxable_amount=taxed.taxable,
                        amount=taxed.amount,
                    )
                )
    for discount in discounts:
        if discount.coupon.duration == Coupon.Duration.ONCE and not discount.bound_to and taken[discount] > 0:
            # Seen by the next invoice of the same transaction, too.
            discount.used_at = invoice.created_at
            reduced.used_up.append(discount)
    return reduced
