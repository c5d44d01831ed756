"""/subscriptions: who pays which prices, period after period."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
from django.db.models import Case, OuterRef, Prefetch, Q, QuerySet, Subquery, Value, When
from django.http import HttpResponse
from msgspec import Meta
from rest_framework.request import Request

from accounts.models import Environment, Scope
from billing_project.api.paymentkit.customers import (
    CustomerShape,
    find_customer,
    id_of_customer,
    named_customer,
    shape_of_customer,
)
from billing_project.api.paymentkit.parsers import Fields
from billing_project.api.paymentkit.payment_currencies import (
    PaymentCurrency,
    id_of_money,
    money_of,
    named_money,
    shape_of_money,
)
from billing_project.api.paymentkit.prices import PriceShape, id_of_price, named_price, shape_of_price, with_prices
from billing_project.api.paymentkit.viewsets import PaymentKitViewSet, row_of
from billing_project.api.paymentkit.wire import (
    Instant,
    PaymentKitError,
    Shape,
    instant_text,
    json_response,
    missing,
    seconds,
    seconds_or_none,
)
from core.ids import spell
from invoices import services
from invoices.models import Invoice
from invoices.services import ProrationBehavior, SubscriptionTerms, SubscriptionWords
from subscriptions.models import Subscription, SubscriptionItem
from subscriptions.services import MAX_ITEMS, ItemChange, NewItem
from subscriptions.statuses import Status

NOUN = "Subscription"
# The vendor knows no unpaid one.
_SHOWN = {Status.UNPAID: "past_due"}
STATUSES = ("active", "past_due", "paused", "canceled", "incomplete", "incomplete_expired", "trialing")
_RUNNING = [Status.ACTIVE, Status.TRIALING, Status.PAST_DUE]
_REASONS = ("cancellation_requested", "payment_disputed", "payment_failed")
_MOST_QUANTITY = 2**63 - 1
_NOT_KEPT = "is not supported: payments are made elsewhere, and recorded here"
_UNSERVED = ("service_actions", "days_until_cancel", "billing_thresholds", "slippage_config", "discount_id")
_UNSERVED_PAYMENT = ("default_payment_method_id", "payment_settings", "payment_details", "overdraft_protection")


class ItemShape(Shape, frozen=True):
    id: str
    object: str
    livemode: bool
    subscription_id: str
    price_id: str
    quantity: Annotated[int | None, Meta(description="Null for a metered price.")]
    metadata: dict[str, str]
    billing_thresholds: None
    created_at: Instant
    updated_at: Instant
    price: PriceShape


class PauseShape(Shape, frozen=True):
    behavior: str
    resumes_at: int | None


class TrialEnd(Shape, frozen=True):
    missing_payment_method: str


class TrialSettings(Shape, frozen=True):
    end_behavior: TrialEnd


class SubscriptionShape(Shape, frozen=True):
    id: str
    object: str
    livemode: bool
    currency_id: str
    customer_id: str
    status: str
    current_period_start: int
    current_period_end: int
    billing_cycle_anchor: int
    start_date: int
    trial_start: int | None
    trial_end: int | None
    cancel_at_period_end: bool
    cancel_at: int | None
    canceled_at: int | None
    cancelation_details: dict[str, str] | None
    ended_at: int | None
    collection_method: str
    days_until_due: int | None
    description: str
    metadata: dict[str, str]
    pause_collection: PauseShape | None
    trial_settings: TrialSettings
    latest_invoice_id: str | None
    schedule_id: str | None
    default_payment_method_id: None
    created_at: Instant
    updated_at: Instant
    service_type: str = msgspec.field(name="serviceType")
    items: list[ItemShape]
    customer: CustomerShape
    payment_currency: PaymentCurrency = msgspec.field(name="paymentCurrency")


def items_of(environment: Environment) -> QuerySet[SubscriptionItem]:
    """With all that their shape shows."""
    return SubscriptionItem.objects.present().filter(environment=environment).prefetch_related(
        with_prices(environment)
    )  # fmt: skip


def subscriptions_of(environment: Environment) -> QuerySet[Subscription]:
    """With all that their shape shows."""
    invoices = Invoice.objects.filter(subscription=OuterRef("pk"), environment=OuterRef("environment"))
    return (
        Subscription.objects.of(environment)
        .select_related("customer__test_clock", "environment")
        .prefetch_related(Prefetch("items", items_of(environment)))
        .annotate(latest_invoice_id=Subquery(invoices.order_by("-created_at", "-pk").values("pk")[:1]))
    )


def id_of_subscription(subscription: Subscription) -> str:
    return spell("sub", subscription.pk)


def shape_of_item(item: SubscriptionItem, *, livemode: bool) -> ItemShape:
    made = instant_text(item.created_at)
    return ItemShape(
        id=spell("si", item.pk),
        object="subscription_item",
        livemode=livemode,
        subscription_id=spell("sub", item.subscription_id),
        price_id=id_of_price(item.price),
        quantity=item.quantity,
        metadata=item.metadata,
        billing_thresholds=None,
        created_at=made,
        updated_at=made,
        price=shape_of_price(item.price, livemode=livemode),
    )


def shape_of_subscription(subscription: Subscription, *, livemode: bool) -> SubscriptionShape:
    """
    :param subscription: one of :func:`subscriptions_of`
    """
    items = list(subscription.items.all())
    period = items[0].current_period
    made = instant_text(subscription.created_at)
    latest = subscription.latest_invoice_id  # type: ignore[attr-defined]  # of the query
    return SubscriptionShape(
        id=id_of_subscription(subscription),
        object="subscription",
        livemode=livemode,
        currency_id=id_of_money(subscription.currency),
        customer_id=id_of_customer(subscription.customer),
        status=_SHOWN.get(Status(subscription.status), subscription.status),
        current_period_start=seconds(period.start),
        current_period_end=seconds(period.end),
        billing_cycle_anchor=seconds(subscription.anchor_at),
        start_date=seconds(subscription.start_at),
        trial_start=seconds_or_none(subscription.trial_start_at),
        trial_end=seconds_or_none(subscription.trial_end_at),
        cancel_at_period_end=subscription.cancel_at_period_end,
        cancel_at=seconds_or_none(subscription.cancel_at),
        canceled_at=seconds_or_none(subscription.canceled_at),
        cancelation_details=_shape_of_cancellation(subscription),
        ended_at=seconds_or_none(subscription.ended_at),
        collection_method=subscription.collection_method,
        days_until_due=subscription.days_until_due,
        description=subscription.description,
        metadata=subscription.metadata,
        pause_collection=_shape_of_pause(subscription),
        trial_settings=TrialSettings(TrialEnd(subscription.trial_end_behavior)),
        latest_invoice_id=spell("in", latest) if latest else None,
        schedule_id=spell("sub_sched", subscription.schedule_id) if subscription.schedule_id else None,
        default_payment_method_id=None,
        created_at=made,
        updated_at=made,
        service_type="standard",
        items=[shape_of_item(item, livemode=livemode) for item in items],
        customer=shape_of_customer(subscription.customer, livemode=livemode),
        payment_currency=shape_of_money(subscription.currency, livemode=livemode),
    )


def _shape_of_cancellation(subscription: Subscription) -> dict[str, str] | None:
    if subscription.canceled_at is None:
        return None
    said = subscription.cancellation_details
    return {
        "comment": said.get("comment", ""),
        "feedback": said.get("feedback", ""),
        "reason": said.get("reason", _REASONS[0]),
    }


def _shape_of_pause(subscription: Subscription) -> PauseShape | None:
    if not subscription.pause_behavior:
        return None
    return PauseShape(subscription.pause_behavior, seconds_or_none(subscription.pause_resumes_at))


def in_statuses(states: Sequence[str]) -> list[str]:
    """The domain's own words for the vendor's."""
    return [status.value for status in Status if _SHOWN.get(status, status.value) in states]


def named_subscription(environment: Environment, text: str) -> Subscription:
    """The subscription that a body or a query names.

    :raises PaymentKitError: if there is none
    """
    found = row_of(subscriptions_of(environment), "sub", text)
    if found is None:
        raise PaymentKitError(f"{NOUN} not found: {text[:100]}")
    return found


def quantity_of(said: Fields) -> int | None:
    return said.whole("quantity", default=0, least=0, most=_MOST_QUANTITY) if "quantity" in said else None


class SubscriptionViewSet(PaymentKitViewSet):
    read_scope = Scope.SUBSCRIPTIONS_READ
    write_scope = Scope.SUBSCRIPTIONS_WRITE

    def list(self, request: Request) -> HttpResponse:
        said, subscriptions = self.query, subscriptions_of(self.environment)
        if states := said.choices("status", STATUSES):
            subscriptions = subscriptions.filter(status__in=in_statuses(states))
        if named := said.text("customer_id") or said.text("customer_did"):
            subscriptions = subscriptions.filter(customer=find_customer(self.environment, named))
        if currency := said.text("currency_id"):
            subscriptions = subscriptions.filter(currency=money_of(currency) or "-")
        if metadata := said.below("metadata."):
            subscriptions = subscriptions.filter(metadata__contains=metadata)
        order = ["-created_at", "-pk"]
        if said.flag("activeFirst"):
            running = Case(When(status__in=_RUNNING, then=Value(0)), default=Value(1))
            # They come first whichever way the others are ordered.
            first = "-rank" if said.oldest_first("order") else "rank"
            subscriptions, order = subscriptions.annotate(rank=running), [first, *order]
        return self._listed(subscriptions.order_by(*order))

    def search(self, request: Request) -> HttpResponse:
        subscriptions = subscriptions_of(self.environment)
        if words := self.query.text("query") or self.query.text("q"):
            of_customer = Q(customer__name__icontains=words) | Q(customer__email__iexact=words) | Q(customer__did=words)
            subscriptions = subscriptions.filter(Q(description__icontains=words) | of_customer)
        return self._listed(subscriptions.order_by("-created_at", "-pk"))

    def create(self, request: Request) -> HttpResponse:
        said = self.body
        _refuse_unserved(said)
        customer = named_customer(self.environment, said.text("customer_id", required=True))
        entries = said.inners("items", most=MAX_ITEMS)
        items = [
            NewItem(
                named_price(self.environment, entry.text("price_id", required=True)),
                quantity_of(entry),
                entry.texts("metadata"),
            )
            for entry in entries
        ]
        if "currency_id" in said:
            currency = named_money(said.text("currency_id"), self.environment)
            if any(item.price.currency != currency for item in items):
                raise said.refuse("currency_id", "must be that of the prices")
        # What a change gives back: nothing was paid yet.
        said.choice("proration_behavior", ProrationBehavior.values)
        subscription = services.start_subscription(
            environment=self.environment,
            customer=customer,
            items=items,
            now=customer.now(self.now),
            **_terms_of(said),
        )
        return self._again(subscription)

    def retrieve(self, request: Request, pk: str) -> HttpResponse:
        return self._answer(self.row(pk))

    def update(self, request: Request, pk: str) -> HttpResponse:
        said, subscription = self.body, self.row(pk)
        _refuse_unserved(said)
        now = subscription.customer.now(self.now)
        prorations = said.choice("proration_behavior", ProrationBehavior.values) or ProrationBehavior.CREATE
        services.update_subscription(
            subscription=subscription,
            now=now,
            items=[self._change(entry) for entry in said.inners("items", most=MAX_ITEMS)],
            proration_behavior=prorations,
            **_words_of(said),
        )
        ends_now = said.is_word("trial_end", "now")
        ends_at = None if ends_now else said.instant("trial_end")
        if ends_now or ends_at:
            services.change_trial_end(
                subscription=subscription, now=now, ends_at=ends_at, prorate=prorations != ProrationBehavior.NONE
            )
        if said.says("cancel_at") or said.says("cancel_at_period_end"):
            services.cancel_later(
                subscription=subscription,
                now=now,
                at=said.instant("cancel_at"),
                at_period_end=said.flag("cancel_at_period_end") or False,
            )
        return self._again(subscription)

    def cancel(self, request: Request, pk: str) -> HttpResponse:
        """At once, with the period, or at a time. What was used until then is billed."""
        said, subscription = self.body, self.row(pk)
        said.refuse_given(["slashReason"], _NOT_KEPT)
        said.choice("staking", ["none"])
        refund = said.choice("refund", ["none", "proration"])
        at, now = (
            said.choice("at", ["now", "current_period_end", "custom"]) or "now",
            subscription.customer.now(self.now),
        )
        time = said.instant("time")
        if (at == "custom") != (time is not None):
            raise said.refuse("time", "is required with at=custom, and only with it")
        words = {
            "comment": said.text("comment", most=5000, blank=True),
            "feedback": said.text("feedback", most=100, blank=True),
        }
        reason, prorate = said.choice("reason", _REASONS), refund == "proration"
        if at == "now":
            services.cancel_subscription(subscription=subscription, now=now, invoice_now=True, prorate=prorate, **words)
        else:
            services.cancel_later(
                subscription=subscription, now=now, at=time, at_period_end=time is None, prorate=prorate
            )
        if at != "now" or reason:
            details = {**words, "reason": reason}
            services.update_subscription(subscription=subscription, now=now, cancellation_details=details)
        return self._again(subscription)

    def recover(self, request: Request, pk: str) -> HttpResponse:
        """Take back that it is to be canceled."""
        subscription = self.row(pk)
        if subscription.cancel_at is None and not subscription.is_over:
            raise PaymentKitError("The subscription is not to be canceled.")
        services.cancel_later(subscription=subscription, now=subscription.customer.now(self.now))
        return self._again(subscription)

    def pause(self, request: Request, pk: str) -> HttpResponse:
        subscription = self.row(pk)
        services.pause_subscription(subscription=subscription, now=subscription.customer.now(self.now))
        return self._again(subscription)

    def resume(self, request: Request, pk: str) -> HttpResponse:
        """Boundaries go on to count from where they did."""
        subscription = self.row(pk)
        now = subscription.customer.now(self.now)
        services.resume_subscription(subscription=subscription, now=now, anchor="unchanged")
        return self._again(subscription)

    def row(self, pk: str) -> Subscription:
        found = row_of(self.within(subscriptions_of(self.environment)), "sub", pk)
        if found is None:
            raise missing(NOUN, pk)
        return found

    def _change(self, said: Fields) -> ItemChange:
        item = None
        if named := said.text("id"):
            item = row_of(items_of(self.environment), "si", named)
            if item is None:
                raise PaymentKitError(f"Subscription item not found: {named[:100]}")
        price = said.text("price_id", required=item is None)
        return ItemChange(
            item=item,
            price=named_price(self.environment, price) if price else None,
            quantity=quantity_of(said),
            metadata=said.texts("metadata"),
            is_removed=said.flag("deleted") or False,
        )

    def _listed(self, subscriptions: QuerySet[Subscription]) -> HttpResponse:
        livemode = self.environment.is_live
        return self.listed(subscriptions, lambda rows: [shape_of_subscription(row, livemode=livemode) for row in rows])

    def _again(self, subscription: Subscription) -> HttpResponse:
        return self._answer(subscriptions_of(self.environment).get(pk=subscription.pk))

    def _answer(self, subscription: Subscription) -> HttpResponse:
        return json_response(shape_of_subscription(subscription, livemode=self.environment.is_live))


def _refuse_unserved(said: Fields) -> None:
    said.refuse_given(_UNSERVED, "is not supported")
    said.refuse_given(_UNSERVED_PAYMENT, _NOT_KEPT)


def _terms_of(said: Fields) -> SubscriptionTerms:
    terms = SubscriptionTerms(description=said.text("description", blank=True), metadata=said.texts("metadata"))
    if method := said.choice("collection_method", Subscription.CollectionMethod.values):
        terms["collection_method"] = method
    if "days_until_due" in said:
        terms["days_until_due"] = said.whole("days_until_due", default=0, least=0, most=3650)
    if days := said.whole("trial_period_days", default=0, least=0, most=730):
        terms["trial_days"] = days
    elif ends_at := said.instant("trial_end"):
        terms["trial_end_at"] = ends_at
    if anchor := said.instant("billing_cycle_anchor"):
        terms["anchor_at"] = anchor
    if cancel_at := said.instant("cancel_at"):
        terms["cancel_at"] = cancel_at
    if said.flag("cancel_at_period_end"):
        terms["cancel_at_period_end"] = True
    return terms


def _words_of(said: Fields) -> SubscriptionWords:
    words = SubscriptionWords()
    if said.says("description"):
        words["description"] = said.text("description", blank=True)
    if (metadata := said.texts("metadata")) is not None:
        words["metadata"] = metadata
    if method := said.choice("collection_method", Subscription.CollectionMethod.values):
        words["collection_method"] = method
    if "days_until_due" in said:
        words["days_until_due"] = said.whole("days_until_due", default=0, least=0, most=3650)
    return words
