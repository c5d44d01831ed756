"""A subscription begins with what is owed for it: asked for by a call, or by a schedule whose time has come."""

from collections.abc import Sequence
from datetime import datetime
from typing import TypedDict, Unpack

from accounts.models import Customer, Environment
from core.metadata import MetadataChange
from core.periods import Period
from invoices.drafting import first_charges
from invoices.models import Invoice
from invoices.services.adding import add_items
from invoices.services.bargaining import give_terms
from invoices.services.billing import bill_at_once
from invoices.services.closing import subscriptions_with_items
from subscriptions.anchors import AnchorConfig
from subscriptions.intervals import Every
from subscriptions.models import Subscription, SubscriptionSchedule, TaxRate
from subscriptions.services import AddedItem, NewDiscount, NewItem, become, create_subscription, store
from subscriptions.statuses import Status
from webhooks.kinds import Kind
from webhooks.services import record


class SubscriptionTerms(TypedDict, total=False):
    """What a subscription may be given when it begins; :func:`subscriptions.services.create_subscription` says more."""

    backdated_to: datetime | None
    anchor_at: datetime | None
    anchor_config: AnchorConfig | None
    counts_from_start: bool
    trial_days: int | None
    trial_end_at: datetime | None
    trial_end_behavior: str
    cancel_at: datetime | None
    cancel_at_period_end: bool
    collection_method: str
    days_until_due: int | None
    incomplete: bool
    description: str
    metadata: MetadataChange | None
    pending_every: Every | None
    schedule: SubscriptionSchedule | None
    phase_ends_at: datetime | None


def begin_subscription(
    *,
    environment: Environment,
    customer: Customer,
    items: Sequence[NewItem],
    now: datetime,
    discounts: Sequence[NewDiscount] = (),
    tax_rates: Sequence[TaxRate] = (),
    added: Sequence[AddedItem] = (),
    **terms: Unpack[SubscriptionTerms],
) -> Subscription:
    """Begin a subscription, and bill its licensed items for the first period at once. The caller holds its customer's clock.

    Licensed items are paid in advance. A first period that is longer or shorter than a full one is prorated by time
    against the full periods it lies in. A trial begins with an invoice of zero. With metered items only there is
    nothing to bill yet, and no invoice. What was to wait for its first invoice to be paid is active where there is
    nothing to pay, or where the invoice is sent and has its own day to be paid by.

    :param now: the customer's time
    :param discounts: what is redeemed for the subscription, instead of what its customer has
    :param tax_rates: what is asked for items that have none of their own
    :param added: what is billed once, with the first invoice
    :raises BillingError: whatever :func:`subscriptions.services.create_subscription`, :func:`give_terms` and
        :func:`add_items` refuse
    :raises AmountTooLarge: if the first invoice is beyond what an invoice can hold
    """
    created = create_subscription(environment=environment, customer=customer, items=items, now=now, **terms)
    subscription = subscriptions_with_items().get(pk=created.pk)
    # With its company, as the caller has it.
    subscription.environment = environment
    give_terms(subscription, items=items, discounts=discounts, tax_rates=tax_rates, now=now)
    add_items(subscription, added, now=now)
    # Between the start and the second of creation: what the invoice is of, as its lines are of the whole first period.
    span = Period(subscription.start_at, now.replace(microsecond=0))
    bill_at_once(
        subscription,
        first_charges(subscription),
        period=span,
        billing_reason=Invoice.BillingReason.SUBSCRIPTION_CREATE,
        takes_waiting=bool(added),
        now=now,
    )
    if subscription.status == Status.INCOMPLETE and not subscription.invoices.filter(status="open").exists():
        become(subscription, Status.ACTIVE)
        store([subscription])
    # Told with its first invoice on it, and so after that.
    record(Kind.SUBSCRIPTION_CREATED, rows=[subscription], now=now, in_hand=True)
    return subscription
