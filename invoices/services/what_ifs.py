"""What a month's usage would have cost at another price.

A report is asked for, and computed in the background: first its customers are gathered, then their usage is read and
rated, some hundreds to a transaction. Where that is broken off, the next sweep goes on. Prices, usage and invoices are
read and never written.
"""

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TypeVar
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet, Sum

from accounts.models import Environment
from core.bulk import insert_rows, update_rows
from core.errors import BillingError, NotFound
from core.money import EXACT
from core.periods import Period
from invoices.drafting import whole_amount
from invoices.errors import WhatIfRefused
from invoices.models import WhatIf, WhatIfOutcome
from invoices.what_ifs import as_document, billed_parts, from_document
from meters.models import Meter
from subscriptions.models import ItemTerm, Price, Subscription, SubscriptionItem
from subscriptions.pricing import PriceTerms, billable_quantity, rate
from subscriptions.statuses import Status
from usage.models import DailySummary
from usage.reports import Usage, UsageQuestion, quantities

logger = logging.getLogger(__name__)

# Customers to a transaction, and so to a statement that reads their usage.
CHUNK = 500

State = WhatIf.State
Row = TypeVar("Row", SubscriptionItem, ItemTerm)


@dataclass(frozen=True, slots=True)
class _Span:
    """A time in which a customer's usage is billed, and by what; by nothing where nobody has a price for it."""

    question: UsageQuestion
    terms: PriceTerms | None


@transaction.atomic
def create_what_if(
    *,
    environment: Environment,
    meter: Meter,
    terms: PriceTerms,
    currency: str,
    period: Period,
    asked_by: str,
    now: datetime,
    price: Price | None = None,
    other_price: Price | None = None,
    name: str = "",
) -> WhatIf:
    """Ask what a month's usage would have cost.

    :param terms: of the price that is held against those that billed it, as ``checked_terms`` makes them
    :param currency: of both
    :param period: taken as one billing period
    :param price: look at its customers only; None: at whoever used the meter or has a price of it in that currency
    :param other_price: the price that the terms are of, if there is one
    :raises NotFound: if something of it is not the environment's
    :raises WhatIfRefused: if price and meter or currency do not go together, or the period has not begun
    """
    for row, kind in ((meter, "meter"), (price, "price"), (other_price, "price")):
        if row is not None and row.environment_id != environment.pk:
            raise NotFound(kind, str(row.pk))
    if price is not None and price.meter_id != meter.pk:
        raise WhatIfRefused("The price does not bill this meter.")
    if any(one is not None and one.currency != currency for one in (price, other_price)):
        raise WhatIfRefused(f"Both prices must be in the same currency: {currency}.")
    if period.start >= now:
        raise WhatIfRefused("The month has not begun: nothing was used in it.")
    return WhatIf.objects.create(
        environment=environment,
        name=name or f"{price or meter}, {period.start:%B %Y}",
        meter=meter,
        price=price,
        other_price=other_price,
        terms=as_document(terms),
        currency=currency,
        period_start=period.start,
        period_end=period.end,
        asked_by=asked_by,
        asked_at=now,
    )


def run_what_ifs(*, now: datetime, chunk: int = CHUNK) -> int:
    """Compute the reports that are asked for, beside other processes that do the same.

    :returns: how many steps were taken
    """
    steps = 0
    while _take_step(now, chunk):
        steps += 1
    return steps


@transaction.atomic
def delete_what_if(*, what_if: WhatIf) -> None:
    """Forget a report."""
    WhatIf.objects.select_for_update().filter(pk=what_if.pk).first()
    WhatIfOutcome.objects.filter(what_if=what_if.pk).delete()
    WhatIf.objects.filter(pk=what_if.pk).delete()


@transaction.atomic
def _take_step(now: datetime, chunk: int) -> bool:
    waiting = WhatIf.objects.unfinished().select_related("environment", "meter", "price").order_by("pk")
    what_if = waiting.select_for_update(skip_locked=True, of=("self",)).first()
    if what_if is None:
        return False
    try:
        with transaction.atomic():
            if what_if.customer_count is None:
                _gather(what_if)
            else:
                _compute(what_if, now, chunk)
    except BillingError as refusal:
        what_if.state, what_if.failure = State.FAILED, str(refusal)
    except Exception:
        # Whatever it is, it must not keep the other reports from being computed.
        logger.exception("what-if price %s failed", what_if.pk)
        what_if.state, what_if.failure = State.FAILED, "Something went wrong; the log says what."
    what_if.save()
    return True


def _gather(what_if: WhatIf) -> None:
    """Write down whose usage is to be looked at."""
    customers = {
        customer
        for rows in (_items(what_if), _terms(what_if))
        for customer in rows.values_list("subscription__customer", flat=True).distinct()
    }
    if what_if.price is None:
        others = _items(what_if, other_currencies=True).values_list("subscription__customer", flat=True)
        used = {"environment": what_if.environment_id, "meter": what_if.meter_id}
        days = DailySummary.objects.filter(day__gte=what_if.period_start, day__lt=what_if.period_end, **used)
        # Who pays for it in another currency cannot be compared.
        customers |= set(days.values_list("customer", flat=True).distinct()) - set(others)
    insert_rows(
        [
            WhatIfOutcome(environment_id=what_if.environment_id, what_if=what_if, customer_id=customer)
            for customer in sorted(customers)
        ]
    )
    what_if.customer_count, what_if.state = len(customers), State.RUNNING


def _compute(what_if: WhatIf, now: datetime, chunk: int) -> None:
    """Rate the usage of some more customers; once there are none left, add up."""
    outcomes = list(WhatIfOutcome.objects.filter(what_if=what_if, quantity__isnull=True).order_by("customer")[:chunk])
    if not outcomes:
        sums = WhatIfOutcome.objects.filter(what_if=what_if).aggregate(now=Sum("amount_now"), then=Sum("amount_then"))
        what_if.amount_now, what_if.amount_then = int(sums["now"] or 0), int(sums["then"] or 0)
        what_if.state, what_if.done_at = State.DONE, now
        return
    spans = _spans(what_if, [outcome.customer_id for outcome in outcomes])
    questions = list(dict.fromkeys(span.question for of_one in spans.values() for span in of_one))
    usage = dict(zip(questions, quantities(what_if.environment_id, questions), strict=True)) if questions else {}
    terms = from_document(what_if.terms)
    for outcome in outcomes:
        _rate(outcome, spans.get(outcome.customer_id, ()), usage, terms)
    update_rows(outcomes, ["quantity", "amount_now", "amount_then", "difference"])
    what_if.done_count += len(outcomes)


def _rate(
    outcome: WhatIfOutcome, spans: Sequence[_Span], usage: Mapping[UsageQuestion, Usage], terms: PriceTerms
) -> None:
    """Line by line, each rounded once, as an invoice has them."""
    quantity, now, then = Decimal(0), 0, 0
    for span in spans:
        used = billable_quantity(usage[span.question].value)
        quantity = EXACT.add(quantity, used)
        now += whole_amount(rate(span.terms, used).amount) if span.terms is not None else 0
        then += whole_amount(rate(terms, used).amount)
    outcome.quantity = quantity
    outcome.amount_now, outcome.amount_then, outcome.difference = now, then, then - now


def _spans(what_if: WhatIf, customers: Sequence[UUID]) -> dict[UUID, list[_Span]]:
    """When each of the customers was billed for the meter's usage, and by which price."""
    mine = Q(subscription__customer__in=customers)
    found: dict[UUID, list[_Span]] = defaultdict(list)
    # Items are many and prices few.
    terms: dict[UUID, PriceTerms] = {}

    def add(subscription: Subscription, price: Price, start: datetime, end: datetime | None) -> None:
        # Known, though perhaps nothing of the month is billed: of a trial.
        of_customer = found[subscription.customer_id]
        trial = None
        if subscription.trial_start_at is not None and subscription.trial_end_at is not None:
            trial = Period(subscription.trial_start_at, subscription.trial_end_at)
        ends = [one for one in (end, subscription.ended_at) if one is not None]
        if price.pk not in terms:
            terms[price.pk] = price.terms
        for part in billed_parts(what_if.period, start=start, end=min(ends, default=None), trial=trial):
            question = UsageQuestion(what_if.meter_id, subscription.customer_id, part)
            of_customer.append(_Span(question, terms[price.pk]))

    for item in _items(what_if).filter(mine).select_related("subscription").prefetch_related("price__tiers"):
        add(item.subscription, item.price, item.effective_at, None)
    for term in _terms(what_if).filter(mine).select_related("subscription").prefetch_related("price__tiers"):
        add(term.subscription, term.price, term.starts_at, term.ends_at)
    for customer in customers:
        if customer not in found and what_if.price_id is None:
            found[customer] = [_Span(UsageQuestion(what_if.meter_id, customer, what_if.period), None)]
    return found


def _items(what_if: WhatIf, *, other_currencies: bool = False) -> QuerySet[SubscriptionItem]:
    """Subscription items that have a price of the report, since some time of its month or before."""
    return _of_prices(what_if, SubscriptionItem.objects.present(), other_currencies=other_currencies).filter(
        Q(subscription__ended_at__isnull=True) | Q(subscription__ended_at__gt=what_if.period_start),
        effective_at__lt=what_if.period_end,
    )


def _terms(what_if: WhatIf) -> QuerySet[ItemTerm]:
    """What items had in the month, and was changed or removed since."""
    rows = _of_prices(what_if, ItemTerm.objects.all())
    return rows.filter(starts_at__lt=what_if.period_end, ends_at__gt=what_if.period_start)


def _of_prices(what_if: WhatIf, rows: QuerySet[Row], *, other_currencies: bool = False) -> QuerySet[Row]:
    same = Q(price__currency=what_if.currency)
    rows = rows.filter(
        ~same if other_currencies else same, environment=what_if.environment_id, price__meter=what_if.meter_id
    ).exclude(subscription__status__in=[Status.INCOMPLETE, Status.INCOMPLETE_EXPIRED])
    return rows if what_if.price_id is None else rows.filter(price=what_if.price_id)
