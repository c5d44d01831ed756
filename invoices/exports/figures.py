"""Revenue numbers, each as the rows that make it up; docs/revenue.md defines them. They are read as of an instant."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import chain, islice
from uuid import UUID

from django.db.models import BigIntegerField, Count, DateTimeField, F, OuterRef, Q, Subquery, Sum, Value
from django.db.models.functions import Coalesce, TruncMonth

from accounts.models import Customer, Environment
from core.ids import spell
from core.spreadsheets import Cell, main_units
from credits.models import CreditGrant, LedgerEntry
from invoices.exports.prices import KnownPrice, Prices
from invoices.models import CreditNote, Invoice, InvoiceLine, Payment
from invoices.revenue import Commitment, by_the_month, committed, movements
from invoices.totals import round_half_away
from subscriptions.models import ItemTerm, Price, SubscriptionItem
from subscriptions.pricing import rate
from subscriptions.statuses import Status

_CHUNK = 2_000
_NEVER_BEGUN = [Status.INCOMPLETE, Status.INCOMPLETE_EXPIRED]
# Days past due, and what a column of the ageing is called up to them.
_BUCKETS = ((0, "not due"), (30, "1-30 days"), (60, "31-60 days"), (90, "61-90 days"))


def mrr_rows(environment: Environment, at: datetime) -> Iterator[Sequence[Cell]]:
    """A row for each subscription item that is worth something by the month."""
    for item in _committed_items(environment):
        commitment = item.commitment
        if commitment.is_in_force(at) and commitment.monthly:
            currency = commitment.currency
            yield (
                spell("cus", commitment.customer_id),
                item.customer_name,
                spell("sub", item.subscription_id),
                item.price.product.name,
                item.quantity,
                currency.upper(),
                main_units(round_half_away(commitment.monthly), currency),
                commitment.start,
            )


def movement_rows(environment: Environment, since: datetime, until: datetime) -> Iterator[Sequence[Cell]]:
    """A row for each customer whose monthly revenue differs between two instants."""
    names, commitments = {}, []
    for item in _committed_items(environment):
        names[item.commitment.customer_id] = item.customer_name
        commitments.append(item.commitment)
    for one in movements(commitments, since, until):
        before, after = round_half_away(one.before), round_half_away(one.after)
        amounts = (main_units(amount, one.currency) for amount in (before, after, after - before))
        yield (
            spell("cus", one.customer_id),
            names[one.customer_id],
            one.kind.value,
            one.currency.upper(),
            *amounts,
        )


def monthly_revenue(customer: Customer, at: datetime) -> dict[str, int]:
    """One customer's committed MRR, by currency, in minor units."""
    mine = _committed_items(customer.environment, Q(subscription__customer=customer))
    return {
        currency: round_half_away(monthly)
        for (_customer, currency), monthly in committed([item.commitment for item in mine], at).items()
    }


def usage_rows(lines: Q) -> Iterator[Sequence[Cell]]:
    """Metered lines of invoices that stand, summed."""
    keys = ("month", "price__meter__event_name", "price__product__name", "invoice__customer_id", "invoice__customer__name", "invoice__currency")  # fmt: skip
    found = (
        InvoiceLine.objects.filter(lines, price__meter__isnull=False)
        .exclude(invoice__status__in=[Invoice.Status.DRAFT, Invoice.Status.VOID])
        # A period's end is not within it.
        .annotate(month=TruncMonth(F("period_end") - timedelta(microseconds=1)))
        .order_by(*keys)
        .values(*keys)
        .annotate(lines=Count("pk"), units=Sum("quantity"), revenue=Sum("amount"))
    )
    for row in found.iterator(chunk_size=_CHUNK):
        currency = row["invoice__currency"]
        yield (
            f"{row['month']:%Y-%m}",
            row["price__meter__event_name"],
            row["price__product__name"],
            spell("cus", row["invoice__customer_id"]),
            row["invoice__customer__name"],
            row["lines"],
            row["units"],
            currency.upper(),
            main_units(int(row["revenue"]), currency),
        )


def ageing_rows(environment: Environment, at: datetime) -> Iterator[Sequence[Cell]]:
    """A row for each invoice of which something was still to be paid at an instant."""
    mine = {"invoice": OuterRef("pk")}
    paid = Payment.objects.filter(received_at__lt=at, **mine).order_by().values("invoice").annotate(all=Sum("amount"))
    noted = CreditNote.objects.filter(Q(voided_at=None) | Q(voided_at__gte=at), created_at__lt=at, **mine)
    credited = noted.order_by().values("invoice").annotate(all=Sum("pre_payment_amount"))
    invoices = (
        Invoice.objects.filter(environment=environment, finalized_at__lt=at)
        # What is paid by now, and was by then, needs no adding up: that is nearly all of them.
        .exclude(Q(voided_at__lt=at) | Q(uncollectible_at__lt=at) | Q(status=Invoice.Status.PAID, paid_at__lt=at))
        .annotate(
            left=F("amount_due")
            - Coalesce(Subquery(paid.values("all")), 0, output_field=BigIntegerField())
            - Coalesce(Subquery(credited.values("all")), 0, output_field=BigIntegerField())
        )
        .filter(left__gt=0)
        .order_by("finalized_at", "pk")
    )
    names = ("number", "customer_id", "customer__name", "currency", "finalized_at", "due_at", "left")
    for row in invoices.values(*names).iterator(chunk_size=_CHUNK):
        currency = row["currency"]
        # What has no day to be paid by is due when it is issued.
        late = (at - (row["due_at"] or row["finalized_at"])).days
        bucket = next((name for most, name in _BUCKETS if late <= most), "over 90 days")
        yield (
            row["number"],
            spell("cus", row["customer_id"]),
            row["customer__name"],
            row["finalized_at"],
            row["due_at"],
            max(late, 0),
            bucket,
            currency.upper(),
            main_units(int(row["left"]), currency),
        )


def liability_rows(environment: Environment, at: datetime) -> Iterator[Sequence[Cell]]:
    """A row for each grant of money that something was left of at an instant, by what was booked before it."""
    booked = LedgerEntry.objects.filter(grant=OuterRef("pk"), created_at__lt=at).order_by().values("grant")
    grants = (
        CreditGrant.objects.filter(environment=environment, own_currency=None)
        .annotate(left=Subquery(booked.annotate(all=Sum("amount")).values("all")))
        .filter(left__gt=0)
        .order_by("created_at", "pk")
    )
    names = ("pk", "customer_id", "customer__name", "name", "category", "currency", "expires_at", "left")
    for row in grants.values(*names).iterator(chunk_size=_CHUNK):
        currency = row["currency"]
        yield (
            spell("credgr", row["pk"]),
            spell("cus", row["customer_id"]),
            row["customer__name"],
            row["name"],
            row["category"],
            row["expires_at"],
            currency.upper(),
            main_units(int(row["left"]), currency),
        )


@dataclass(frozen=True, slots=True)
class _CommittedItem:
    commitment: Commitment
    customer_name: str
    subscription_id: UUID
    price: Price
    quantity: int


def _committed_items(environment: Environment, whose: Q | None = None) -> Iterator[_CommittedItem]:
    """What every licensed item is worth and was worth: as it is now, and each of its terms before.

    :param whose: of these items and terms only
    """
    licensed = Q(whose or Q(), environment=environment, price__meter__isnull=True, quantity__isnull=False)
    licensed &= ~Q(subscription__status__in=_NEVER_BEGUN) & ~Q(price__interval="")
    # fmt: off
    columns = (
        "subscription__customer", "subscription__customer__name", "subscription", "price", "quantity",
        "subscription__start_at", "subscription__trial_end_at", "subscription__ended_at",
    )
    # fmt: on
    items = SubscriptionItem.objects.present().filter(licensed).order_by("subscription_id", "created_at", "pk")
    terms = ItemTerm.objects.filter(licensed).order_by("subscription_id", "starts_at", "pk")
    rows = chain(
        items.values_list(*columns, "effective_at", Value(None, DateTimeField())).iterator(chunk_size=_CHUNK),
        terms.values_list(*columns, "starts_at", "ends_at").iterator(chunk_size=_CHUNK),
    )
    prices = Prices(environment)
    # Few prices in few quantities make up a large book.
    monthly: dict[tuple[UUID, int], Fraction] = {}
    while some := list(islice(rows, _CHUNK)):
        prices.bring(row[3] for row in some)
        for customer_id, name, subscription_id, price_id, quantity, begun, trial_end, ended, since, until in some:
            start = max(filter(None, (since, begun, trial_end)))
            end = min(filter(None, (until, ended)), default=None)
            if end is not None and end <= start:
                continue
            known = prices[price_id]
            key = price_id, quantity
            if key not in monthly:
                monthly[key] = _by_the_month(known, quantity)
            commitment = Commitment(customer_id, known.row.currency, monthly[key], start, end)
            yield _CommittedItem(commitment, name, subscription_id, known.row, quantity)


def _by_the_month(price: KnownPrice, quantity: int) -> Fraction:
    amount = Fraction(rate(price.terms, Decimal(quantity)).amount)
    return by_the_month(amount, price.row.interval, price.row.interval_count or 1)
