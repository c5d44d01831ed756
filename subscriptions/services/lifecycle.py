"""How a subscription begins, and how it is ended. What is owed for it is not known here."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Max

from accounts.errors import CustomerDeleted
from accounts.models import Customer, Environment, License
from accounts.services import require_license
from core.errors import NotFound
from core.metadata import MetadataChange
from core.periods import Period, floor_midnight
from subscriptions.anchors import AnchorConfig
from subscriptions.errors import (
    AnchorConfigNotAllowed,
    AnchorInPast,
    AnchorTooFar,
    CancelAtInPast,
    CancellationsExclusive,
    PendingIntervalInvalid,
    StartNotInPast,
    TooManySubscriptions,
    TrialEndInPast,
)
from subscriptions.intervals import Every
from subscriptions.models import Interval, Price, Subscription, SubscriptionItem, SubscriptionSchedule
from subscriptions.services.items import NewItem, check_collection, check_new_items
from subscriptions.services.waking import conclude, foresee, store
from subscriptions.statuses import Status
from subscriptions.waking import next_wake, trial_warning

# As Stripe has it: a clock's customer has few subscriptions, and so an advance has little to do.
SUBSCRIPTIONS_ON_A_CLOCK = 3
INCOMPLETE_FOR = timedelta(hours=23)


@transaction.atomic
def create_subscription(
    *,
    environment: Environment,
    customer: Customer,
    items: Sequence[NewItem],
    now: datetime,
    backdated_to: datetime | None = None,
    anchor_at: datetime | None = None,
    anchor_config: AnchorConfig | None = None,
    counts_from_start: bool = False,
    trial_days: int | None = None,
    trial_end_at: datetime | None = None,
    trial_end_behavior: str = Subscription.TrialEnd.CREATE_INVOICE,
    cancel_at: datetime | None = None,
    cancel_at_period_end: bool = False,
    collection_method: str = Subscription.CollectionMethod.CHARGE_AUTOMATICALLY,
    days_until_due: int | None = None,
    incomplete: bool = False,
    description: str = "",
    metadata: MetadataChange | None = None,
    pending_every: Every | None = None,
    schedule: SubscriptionSchedule | None = None,
    phase_ends_at: datetime | None = None,
) -> Subscription:
    """Begin a subscription. Its items' first period runs from its start to the first boundary after ``now``.

    The caller holds the customer's test clock.

    Boundaries are the anchor plus or minus whole intervals. Start and anchor are whole seconds, which is what callers
    can say and read: the second that ``now`` lies in counts from its beginning. A backdated subscription has one
    first period, however long that is. With a trial, the first period is the trial, and boundaries count from its end.
    Where the company bills by local midnight, boundaries are midnights in its zone, which the subscription keeps.

    :param backdated_to: bill from here, in the past, instead of from ``now``
    :param anchor_at: where the first period ends (that after a trial), at most one interval on; absent: boundaries count
        from ``now`` or the trial's end
    :param anchor_config: the same said by the day of the month
    :param counts_from_start: boundaries count from where it begins in the past
    :param trial_days: :param trial_end_at: nothing is billed until then; not both
    :param trial_end_behavior: what follows the trial
    :param cancel_at: end then, in the future; a period that would go on beyond it is cut there
    :param cancel_at_period_end: end with the first period
    :param days_until_due: with ``send_invoice``, and only then
    :param incomplete: unless its invoices are sent, it waits for the first to be paid, and is given up after 23 hours
    :param pending_every: as of :func:`invoice_pending_every`
    :param schedule: what manages it; its first phase ends at ``phase_ends_at``
    :raises accounts.errors.LicenseRequired: if the company may not begin subscriptions. Those that run go on without.
    :raises NotFound: if customer or prices are not the environment's
    :raises CustomerDeleted: if the customer was deleted
    :raises TooManySubscriptions: if the customer's test clock allows no more
    :raises ItemsMissing: :raises TooManyItems: :raises ItemRefused: with one of its subclasses for what is wrong
    :raises StartNotInPast: :raises AnchorInPast: :raises AnchorTooFar: :raises CancelAtInPast: what they say
    :raises AnchorConfigNotAllowed: if the prices recur by days or weeks
    :raises TrialEndInPast: if the trial would be over already
    :raises CancellationsExclusive: if both ways to cancel are asked for
    :raises DaysUntilDueMissing: :raises DaysUntilDueNotAllowed: if they do not fit the collection method
    :raises PendingIntervalInvalid: what it says
    :raises TooManyMetadataKeys: if some metadata has more than 50 keys
    """
    require_license(environment=environment, product=License.Product.SUBSCRIPTION)
    second = now.replace(microsecond=0)
    start_at = second if backdated_to is None else backdated_to
    check_new_items(items, environment.pk)
    check_collection(collection_method, days_until_due)
    if start_at > second:
        raise StartNotInPast(start_at)
    if trial_days is not None:
        trial_end_at = second + timedelta(days=trial_days)
    if trial_end_at is not None and trial_end_at <= now:
        raise TrialEndInPast(trial_end_at)
    if cancel_at is not None and cancel_at <= now:
        raise CancelAtInPast(cancel_at)
    if cancel_at is not None and cancel_at_period_end:
        raise CancellationsExclusive
    _lock_present_customer(customer, environment)

    subscription = Subscription(
        environment=environment,
        customer=customer,
        status=_first_status(trial_end_at, incomplete=incomplete and days_until_due is None),
        currency=items[0].price.currency,
        collection_method=collection_method,
        days_until_due=days_until_due,
        start_at=start_at,
        anchor_config=None if anchor_config is None else asdict(anchor_config),
        billing_zone=environment.company.billing_zone,
        trial_start_at=None if trial_end_at is None else start_at,
        trial_end_at=trial_end_at,
        trial_warns_at=None if trial_end_at is None else trial_warning(trial_end_at, now),
        trial_end_behavior=trial_end_behavior,
        cancel_at_period_end=cancel_at_period_end,
        schedule=schedule,
        phase_ends_at=phase_ends_at,
        description=description,
        metadata=(metadata or MetadataChange()).applied_to({}),
        created_at=now,
    )
    if subscription.status == Status.INCOMPLETE:
        subscription.expires_at = now + INCOMPLETE_FOR
    price, full_from = items[0].price, second if trial_end_at is None else trial_end_at
    if counts_from_start and trial_end_at is None:
        full_from = start_at
    subscription.anchor_at = _anchor(subscription, price, full_from, anchor_at, anchor_config)
    end_at = subscription.next_boundary(price, second) if trial_end_at is None else trial_end_at
    subscription.cancel_at = end_at if cancel_at_period_end else cancel_at
    subscription.canceled_at = None if subscription.cancel_at is None else now
    period = Period(start_at, end_at if subscription.cancel_at is None else min(end_at, subscription.cancel_at))
    invoice_pending_every(subscription, pending_every, now=now)
    foresee(subscription, period, days=environment.company.upcoming_days)
    subscription.wakes_at = next_wake(subscription, period.end)
    subscription.save(force_insert=True)
    used_from = start_at if backdated_to is not None else _used_from(customer, items, start_at)
    SubscriptionItem.objects.bulk_create(_new_item(subscription, item, period, used_from) for item in items)
    return subscription


def invoice_pending_every(subscription: Subscription, every: Every | None, *, now: datetime) -> None:
    """Have what waits for a subscription be invoiced at an interval of its own, in memory; None: with its periods alone.

    Boundaries count from the anchor. Where one falls together with a period's end, that period's invoice takes what waits.

    :raises PendingIntervalInvalid: if that is shorter than a day or longer than a year
    """
    if every is not None and not every.is_known:
        raise PendingIntervalInvalid(every.interval, every.count)
    subscription.pending_interval = "" if every is None else every.interval
    subscription.pending_interval_count = None if every is None else every.count
    subscription.pending_invoice_at = subscription.next_pending_invoice(now)


def end_subscription(*, subscription: Subscription, now: datetime, comment: str = "", feedback: str = "") -> None:
    """End a subscription in the middle of its period. The caller holds its row's lock.

    :param comment: the customer's own words on why
    :param feedback: the same as one of a caller's list of reasons
    """
    conclude(subscription, now)
    subscription.canceled_at = now
    given = {"comment": comment, "feedback": feedback}
    subscription.cancellation_details = {name: text for name, text in given.items() if text}
    store([subscription])


def _first_status(trial_end_at: datetime | None, *, incomplete: bool) -> Status:
    if trial_end_at is not None:
        return Status.TRIALING
    return Status.INCOMPLETE if incomplete else Status.ACTIVE


def _anchor(
    subscription: Subscription,
    price: Price,
    full_from: datetime,
    anchor_at: datetime | None,
    config: AnchorConfig | None,
) -> datetime:
    """Where boundaries count from.

    :param full_from: where the first period begins that is billed as such
    """
    if config is not None:
        if price.interval not in {Interval.MONTH, Interval.YEAR}:
            raise AnchorConfigNotAllowed
        return config.anchor(full_from, price.interval, price.interval_count, subscription.zone)
    if anchor_at is not None and anchor_at < full_from:
        raise AnchorInPast(anchor_at)
    subscription.anchor_at = full_from if anchor_at is None else anchor_at
    if subscription.zone is not None:
        subscription.anchor_at = floor_midnight(subscription.anchor_at, subscription.zone)
    if anchor_at is not None and subscription.next_boundary(price, full_from) < subscription.anchor_at:
        raise AnchorTooFar(anchor_at)
    return subscription.anchor_at


def _used_from(customer: Customer, items: Sequence[NewItem], second: datetime) -> datetime:
    """Since when usage counts for a subscription that begins with a second.

    One that had the same meter may have ended within that very second, and what was used until then is its own.
    """
    meters = {item.price.meter_id for item in items if item.price.is_metered}
    if not meters:
        return second
    ended = Subscription.objects.filter(customer=customer, ended_at__gt=second, items__price__meter__in=meters)
    return ended.aggregate(latest=Max("ended_at"))["latest"] or second


def _new_item(subscription: Subscription, item: NewItem, period: Period, used_from: datetime) -> SubscriptionItem:
    return SubscriptionItem(
        environment=subscription.environment,
        subscription=subscription,
        price=item.price,
        quantity=None if item.price.is_metered else (1 if item.quantity is None else item.quantity),
        effective_at=used_from if item.price.is_metered else period.start,
        current_period_start=period.start,
        current_period_end=period.end,
        metadata=(item.metadata or MetadataChange()).applied_to({}),
        created_at=subscription.created_at,
    )


def _lock_present_customer(customer: Customer, environment: Environment) -> None:
    if customer.environment_id != environment.pk:
        raise NotFound("customer", str(customer.pk))
    # Deleting a customer takes the full lock and ends all subscriptions: this one is either seen there or refused here.
    present = Customer.objects.select_for_update(no_key=True).get(pk=customer.pk)
    if present.deleted_at is not None:
        raise CustomerDeleted(customer.pk)
    if present.test_clock_id is not None:
        running = Subscription.objects.filter(customer=customer, ended_at__isnull=True)
        if running.count() >= SUBSCRIPTIONS_ON_A_CLOCK:
            raise TooManySubscriptions(SUBSCRIPTIONS_ON_A_CLOCK)
