"""Revenue numbers, each as the rows that make it up; docs/revenue.md defines them. They are read as of an instant."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from django.db.models import BigIntegerField, Count, F, OuterRef, Q, Subquery, Sum
from django.db.models.functions import Coalesce, TruncMonth

from accounts.models import Customer, Environment
from core.ids import spell
from core.spreadsheets import Cell, main_units
from credits.models import CreditGrant, LedgerEntry
from invoices.models import CreditNote, Invoice, InvoiceLine, Payment
from invoices.revenue import Commitment, by_the_month, committed, movements
from invoices.totals import round_half_away
from subscriptions.models import ItemTerm, Price, Subscription, SubscriptionItem
from subscriptions.pricing import rate
from subscriptions.statuses import Status

_CHUNK = 2_000
_NEVER_BEGUN = [Status.INCOMPLETE, Status.INCOMPLETE_EXPIRED]
# Days past due, and what a column of the ageing is called up to them.
_BUCKETS = ((0, "not due"), (30, "1-30 days"), (60, "31-60 days"), (90, "61-90 days"))


def mrr_rows(environment: Environment, at: datetime) -> Iterator[Sequence[Cell]]:
    """A row for each subscription item that is worth something by the month."""
    for item, commitment in _commitments(environment):
        if commitment.is_in_force(at) and commitment.monthly:
            currency = commitment.currency
            yield (
                spell("cus", commitment.customer_id),
                item.subscription.customer.name,
                spell("sub", item.subscription_id),
                item.price.product.name,
                item.quantity,
                currency.upper(),
                main_units(round_half_away(commitment.monthly), currency),
                commitment.start,
            )


def movement_rows(environment: Environment, since: datetime, until: datetime) -> Iterator[Sequence[Cell]]:
    """A row for each customer whose monthly revenue differs between two instants."""
    moved = movements([commitment for _, commitment in _commitments(environment)], since, until)
    names = dict(Customer.objects.filter(pk__in={one.customer_id for one in moved}).values_list("pk", "name"))
    for one in moved:
        before, after = round_half_away(one.before), round_half_away(one.after)
        amounts = (main_units(amount, one.currency) for amount in (before, after, after - before))
        name = names.get(one.customer_id, "")
        yield spell("cus", one.customer_id), name, one.kind.value, one.currency.upper(), *amounts


def monthly_revenue(customer: Customer, at: datetime) -> dict[str, int]:
    """One customer's committed MRR, by currency, in minor units."""
    mine = _commitments(customer.environment, Q(subscription__customer=customer))
    return {
        currency: round_half_away(monthly)
        for (_customer, currency), monthly in committed([commitment for _item, commitment in mine], at).items()
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
        .exclude(Q(voided_at__lt=at) | Q(uncollectible_at__lt=at))
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


def _commitments(
    environment: Environment, whose: Q | None = None
) -> Iterator[tuple[SubscriptionItem | ItemTerm, Commitment]]:
    """What every licensed item is worth and was worth: as it is now, and each of its terms before.

    :param whose: of these items and terms only
    """
    licensed = Q(whose or Q(), environment=environment, price__meter__isnull=True, quantity__isnull=False)
    related = ("price__product", "subscription__customer")
    items = SubscriptionItem.objects.present().filter(licensed).exclude(subscription__status__in=_NEVER_BEGUN)
    for item in items.select_related(*related).prefetch_related("price__tiers").iterator(chunk_size=_CHUNK):
        yield from _worth(item, item.subscription, item.price, item.quantity, item.effective_at, None)
    terms = ItemTerm.objects.filter(licensed).exclude(subscription__status__in=_NEVER_BEGUN)
    for term in terms.select_related(*related).prefetch_related("price__tiers").iterator(chunk_size=_CHUNK):
        yield from _worth(term, term.subscription, term.price, term.quantity, term.starts_at, term.ends_at)


def _worth(
    item: SubscriptionItem | ItemTerm,
    subscription: Subscription,
    price: Price,
    quantity: int | None,
    start: datetime,
    end: datetime | None,
) -> Iterator[tuple[SubscriptionItem | ItemTerm, Commitment]]:
    start = max(filter(None, (start, subscription.start_at, subscription.trial_end_at)))
    end = min(filter(None, (end, subscription.ended_at)), default=None)
    if price.interval and (end is None or start < end):
        amount = Fraction(rate(price.terms, Decimal(quantity or 0)).amount)
        monthly = by_the_month(amount, price.interval, price.interval_count or 1)
        yield item, Commitment(subscription.customer_id, price.currency, monthly, start, end)
