"""/v1/subscriptions."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from uuid import UUID

from django.db.models import OuterRef, Prefetch, Q, QuerySet, Subquery
from rest_framework.decorators import action
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Environment, Scope
from billing_project.api.stripe.changes import (
    ChangeParams,
    ItemChangeParams,
    PaymentBehavior,
    Prices,
    added_item,
    change_of,
    new_item,
)
from billing_project.api.stripe.customers import customer_reference, test_clock_of
from billing_project.api.stripe.discounts import DiscountParams, removed, running, with_all
from billing_project.api.stripe.fields import (
    UNKNOWN,
    Array,
    Choice,
    CreatedListParams,
    Flag,
    Integer,
    Metadata,
    Params,
    Ref,
    RetrieveParams,
    Text,
    Timestamp,
    exclusive,
)
from billing_project.api.stripe.item_terms import ItemTermsParams, item_terms
from billing_project.api.stripe.kinds import (
    CUSTOMER,
    INVOICE,
    PRICE,
    SUBSCRIPTION,
    SUBSCRIPTION_ITEM,
    SUBSCRIPTION_SCHEDULE,
    TAX_RATE,
    TEST_CLOCK,
)
from billing_project.api.stripe.objects import Reference, Sublist
from billing_project.api.stripe.pagination import NEWEST_FIRST, in_range
from billing_project.api.stripe.searching import Instant, SearchViewSet, Token
from billing_project.api.stripe.subscription_items import AddedItemParams, ItemParams, with_reductions
from billing_project.api.stripe.subscription_times import (
    PAYMENT_BEHAVIORS,
    AnchorConfigParams,
    PauseParams,
    PendingIntervalParams,
    ResumeParams,
    TimeChangeParams,
    TimestampOrNow,
    TrialSettingsParams,
    change_times,
    terms_of,
    times_of,
)
from billing_project.api.stripe.tax_rates import tax_rates_of
from billing_project.api.stripe.wire import Wire, timestamp, timestamp_or_none
from core.related import bringing, rows_of
from invoices import services
from invoices.models import Invoice
from subscriptions.models import AppliedTaxRate, Discount, Subscription, SubscriptionItem
from subscriptions.services import MAX_ITEMS
from subscriptions.services.discounts import MAX_DISCOUNTS
from subscriptions.services.taxes import MAX_TAX_RATES

_CREATE_UNSERVED = (
    "application_fee_percent",
    "automatic_tax",
    "billing_schedules",
    "billing_thresholds",
    "currency",
    "customer_account",
    "default_payment_method",
    "default_source",
    "invoice_settings",
    "on_behalf_of",
    "payment_settings",
    "proration_behavior",
    "transfer_data",
    "trial_from_plan",
)
_UPDATE_UNSERVED = (
    "application_fee_percent",
    "automatic_tax",
    "billing_schedules",
    "billing_thresholds",
    "default_payment_method",
    "default_source",
    "invoice_settings",
    "on_behalf_of",
    "payment_settings",
    "transfer_data",
    "trial_from_plan",
)
_FEEDBACK = (
    "customer_service",
    "low_quality",
    "missing_features",
    "other",
    "switched_service",
    "too_complex",
    "too_expensive",
    "unused",
)


@SUBSCRIPTION.shaped
def shape_of_subscription(subscription: Subscription) -> Wire:
    items = rows_of(subscription, "items")
    identifier = SUBSCRIPTION.id_of(subscription)
    anchor: Mapping[str, int | None] | None = subscription.anchor_config
    details: Mapping[str, str | None] = subscription.cancellation_details
    return {
        "id": identifier,
        "object": "subscription",
        "application": None,
        "application_fee_percent": None,
        "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
        "billing_cycle_anchor": timestamp(subscription.anchor_at),
        "billing_cycle_anchor_config": anchor,
        "billing_mode": {"flexible": None, "type": "flexible"},
        "billing_schedules": [],
        "billing_thresholds": None,
        "cancel_at": timestamp_or_none(subscription.cancel_at),
        "cancel_at_period_end": subscription.cancel_at_period_end,
        "canceled_at": timestamp_or_none(subscription.canceled_at),
        "cancellation_details": {
            "comment": details.get("comment"),
            "feedback": details.get("feedback"),
            "reason": _reason(subscription),
        },
        "collection_method": subscription.collection_method,
        "created": timestamp(subscription.created_at),
        "currency": subscription.currency,
        "customer": customer_reference(subscription.customer),
        "customer_account": None,
        "days_until_due": subscription.days_until_due,
        "default_payment_method": None,
        "default_source": None,
        "default_tax_rates": tax_rates_of(subscription),
        "description": subscription.description or None,
        "discounts": running(rows_of(subscription, "discounts")),
        "ended_at": timestamp_or_none(subscription.ended_at),
        "invoice_settings": {"account_tax_ids": None, "issuer": {"type": "self"}},
        "items": Sublist(
            SUBSCRIPTION_ITEM, items, has_more=False, url=f"/v1/subscription_items?subscription={identifier}"
        ),
        "latest_invoice": _latest_invoice(subscription),
        "metadata": subscription.metadata,
        "next_pending_invoice_item_invoice": (
            None if subscription.is_over else timestamp_or_none(subscription.pending_invoice_at)
        ),
        "on_behalf_of": None,
        "pause_collection": _shape_of_pause(subscription),
        "payment_settings": {
            "payment_method_options": None,
            "payment_method_types": None,
            "save_default_payment_method": "off",
        },
        "pending_invoice_item_interval": _shape_of_pending_interval(subscription),
        "pending_setup_intent": None,
        "pending_update": None,
        "schedule": Reference.to(SUBSCRIPTION_SCHEDULE, subscription.schedule_id, subscription.environment),
        "start_date": timestamp(subscription.start_at),
        "status": subscription.status,
        "test_clock": test_clock_of(subscription.customer),
        "transfer_data": None,
        "trial_end": timestamp_or_none(subscription.trial_end_at),
        "trial_settings": {"end_behavior": {"missing_payment_method": subscription.trial_end_behavior}},
        "trial_start": timestamp_or_none(subscription.trial_start_at),
    }


def _reason(subscription: Subscription) -> str | None:
    if subscription.canceled_at is None:
        return None
    reason: str = subscription.cancellation_details.get("reason", "cancellation_requested")
    return reason


def _shape_of_pause(subscription: Subscription) -> Wire | None:
    if not subscription.pause_behavior:
        return None
    return {
        "behavior": subscription.pause_behavior,
        "resumes_at": timestamp_or_none(subscription.pause_resumes_at),
    }


def _shape_of_pending_interval(subscription: Subscription) -> Wire | None:
    if not subscription.pending_interval:
        return None
    return {"interval": subscription.pending_interval, "interval_count": subscription.pending_interval_count}


def subscription_reference(invoice: Invoice, pk: UUID) -> Reference:
    """An invoice's subscription, which is rarely asked for in full."""
    return Reference.to(SUBSCRIPTION, pk, invoice.environment)


@SUBSCRIPTION.completed
def complete(subscriptions: QuerySet[Subscription]) -> QuerySet[Subscription]:
    newest = Invoice.objects.filter(subscription=OuterRef("pk"), environment=OuterRef("environment"))
    return (
        with_reductions(subscriptions.select_related("customer"))
        # A chunk of a billing run has many items and few prices.
        .prefetch_related(
            "environment",
            Prefetch("items", with_reductions(SubscriptionItem.objects.present()).prefetch_related("price__product")),
        )
        .annotate(latest_invoice_id=Subquery(newest.order_by(*NEWEST_FIRST).values("pk")[:1]))
    )


@SUBSCRIPTION.brought
@contextmanager
def bring_parts(environment: Environment, subscriptions: Sequence[Subscription]) -> Iterator[None]:
    """What stands beside subscriptions that have their items, as billing reads them."""
    items = [item for subscription in subscriptions for item in rows_of(subscription, "items")]
    ids = [subscription.pk for subscription in subscriptions]
    owned = Q(subscription__in=ids) | Q(subscription_item__in=[item.pk for item in items])
    discounts = list(with_all(Discount.objects.in_place().filter(owned, environment=environment)))
    applied = list(AppliedTaxRate.objects.filter(owned, environment=environment).select_related("tax_rate"))
    newest = Invoice.objects.filter(environment=environment, subscription__in=ids)
    newest = newest.order_by("subscription", *NEWEST_FIRST).distinct("subscription")
    latest = dict(newest.values_list("subscription", "pk"))
    for subscription in subscriptions:
        subscription.environment = environment
        subscription.latest_invoice_id = latest.get(subscription.pk)  # type: ignore[attr-defined]
    with ExitStack() as brought:
        for relation, rows in (("discounts", discounts), ("tax_rates", applied)):
            brought.enter_context(bringing(subscriptions, relation, rows, by="subscription_id"))
            brought.enter_context(bringing(items, relation, rows, by="subscription_item_id"))
        yield


def _latest_invoice(subscription: Subscription) -> Reference:
    pk = subscription.latest_invoice_id  # type: ignore[attr-defined]
    return Reference.to(INVOICE, pk, subscription.environment)


class BillingModeParams(Params):
    type = Choice("flexible", "classic", required=True)

    unserved = ("flexible",)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["type"] != "flexible":
            message = "The billing mode 'classic' is not supported; subscriptions are billed in the flexible mode"
            raise ValidationError({"type": [ErrorDetail(message, UNKNOWN)]})
        return attrs


class SubscriptionParams(RetrieveParams):
    customer = Ref(CUSTOMER, among=lambda customers: customers.filter(deleted_at=None), required=True)
    items = Array(ItemParams(), most=MAX_ITEMS, required=True)
    add_invoice_items = Array(AddedItemParams(), most=MAX_ITEMS)
    collection_method = Choice(*Subscription.CollectionMethod.values)
    days_until_due = Integer(least=0, most=3650)
    backdate_start_date = Timestamp()
    billing_cycle_anchor = Timestamp()
    billing_cycle_anchor_config = AnchorConfigParams()
    billing_mode = BillingModeParams()
    cancel_at = Timestamp()
    cancel_at_period_end = Flag()
    description = Text(500)
    metadata = Metadata()
    off_session = Flag()
    payment_behavior = Choice(*PAYMENT_BEHAVIORS)
    pending_invoice_item_interval = PendingIntervalParams(clearable=None)
    trial_end = TimestampOrNow()
    trial_period_days = Integer(least=1, most=730)
    trial_settings = TrialSettingsParams()
    discounts = Array(DiscountParams(), most=MAX_DISCOUNTS, clearable=[])
    default_tax_rates = Array(Ref(TAX_RATE), most=MAX_TAX_RATES, clearable=[])

    unserved = _CREATE_UNSERVED

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        exclusive(attrs, "billing_cycle_anchor", "billing_cycle_anchor_config")
        exclusive(attrs, "trial_end", "trial_period_days")
        return attrs


class CancellationDetailsParams(Params):
    comment = Text(5000, clearable="")
    feedback = Choice(*_FEEDBACK, clearable="")


class ChangedItemParams(ItemTermsParams, ItemChangeParams):
    unserved = ("billing_thresholds", "trial")


class SubscriptionUpdateParams(ChangeParams, TimeChangeParams, RetrieveParams):
    add_invoice_items = Array(AddedItemParams(), most=MAX_ITEMS)
    items = Array(ChangedItemParams(), most=MAX_ITEMS)
    collection_method = Choice(*Subscription.CollectionMethod.values)
    days_until_due = Integer(least=0, most=3650)
    description = Text(500, clearable="")
    metadata = Metadata()
    cancellation_details = CancellationDetailsParams()
    trial_settings = TrialSettingsParams()
    payment_behavior = PaymentBehavior()
    off_session = Flag()
    discounts = Array(DiscountParams(), most=MAX_DISCOUNTS, clearable=[])
    default_tax_rates = Array(Ref(TAX_RATE), most=MAX_TAX_RATES, clearable=[])

    unserved = _UPDATE_UNSERVED


class SubscriptionListParams(CreatedListParams):
    customer = Ref(CUSTOMER)
    price = Ref(PRICE)
    plan = Ref(PRICE)
    status = Choice("active", "canceled", "ended", "all", "incomplete", "incomplete_expired", "past_due", "paused",
                    "trialing", "unpaid")  # fmt: skip
    collection_method = Choice(*Subscription.CollectionMethod.values)

    test_clock = Ref(TEST_CLOCK)

    unserved = ("automatic_tax", "current_period_end", "current_period_start", "customer_account")


class CancelParams(RetrieveParams):
    invoice_now = Flag(default=False)
    prorate = Flag(default=False)
    cancellation_details = CancellationDetailsParams()


class SubscriptionViewSet(SearchViewSet[Subscription]):
    kind = SUBSCRIPTION
    read_scope = Scope.SUBSCRIPTIONS_READ
    write_scope = Scope.SUBSCRIPTIONS_WRITE
    searchable = {
        "canceled_at": Instant("canceled_at"),
        "created": Instant("created_at"),
        "status": Token("status"),
    }

    def list(self, request: Request) -> Response:
        params = self.validated(SubscriptionListParams)
        subscriptions = self.get_queryset().filter(**in_range(params))
        # Those that live by a clock are listed by it, or by their customer.
        if "test_clock" in params or "customer" not in params:
            subscriptions = subscriptions.filter(customer__test_clock=params.get("test_clock"))
        for name in ("customer", "collection_method"):
            if name in params:
                subscriptions = subscriptions.filter(**{name: params[name]})
        for name in ("price", "plan"):
            if name in params:
                subscriptions = subscriptions.filter(items__price=params[name], items__removed_at=None)
        status = params.get("status")
        if status is None:
            subscriptions = subscriptions.exclude(status=Subscription.Status.CANCELED)
        elif status == "ended":
            subscriptions = subscriptions.filter(ended_at__isnull=False)
        elif status != "all":
            subscriptions = subscriptions.filter(status=status)
        return self.listed(subscriptions, params)

    def create(self, request: Request) -> Response:
        params = self.validated(SubscriptionParams)
        customer = params.pop("customer")
        params.pop("billing_mode", None)
        terms = terms_of(params)
        prices = Prices(self.environment, self.now)
        subscription = services.start_subscription(
            environment=self.environment,
            customer=customer,
            items=[new_item(item, prices) for item in params.pop("items")],
            now=customer.now(self.now),
            tax_rates=params.pop("default_tax_rates", ()),
            added=[added_item(item, prices) for item in params.pop("add_invoice_items", ())],
            **terms,
            **params,
        )
        prices.put_away()
        return self.respond(self.row(SUBSCRIPTION.id_of(subscription)))

    def update(self, request: Request, pk: str) -> Response:
        params = self.validated(SubscriptionUpdateParams)
        subscription = self.row(pk)
        prices = Prices(self.environment, self.now)
        now = subscription.customer.now(self.now)
        if "trial_settings" in params:
            params["trial_end_behavior"] = params.pop("trial_settings")["end_behavior"]["missing_payment_method"]
        times, prorate = times_of(params), params.get("proration_behavior") != "none"
        discounts, tax_rates = params.pop("discounts", None), params.pop("default_tax_rates", None)
        entries = params.get("items", ())
        change = change_of(params, prices)
        services.update_subscription(subscription=subscription, now=now, **change)
        items = item_terms(subscription, change.get("items", ()), entries)
        if items or discounts is not None or tax_rates is not None:
            services.change_terms(
                subscription=subscription, now=now, discounts=discounts, tax_rates=tax_rates, items=items
            )
        change_times(subscription, times, now=now, prorate=prorate)
        prices.put_away()
        return self.respond(self.row(pk))

    @action(methods=["delete"], detail=True)
    def discount(self, request: Request, pk: str) -> Response:
        """Take the subscription's discounts away."""
        self.validated(RetrieveParams)
        subscription = self.row(pk)
        answer = removed(subscription.discounts.all())
        services.change_terms(subscription=subscription, now=subscription.customer.now(self.now), discounts=[])
        return Response(answer)

    def destroy(self, request: Request, pk: str) -> Response:
        params = self.validated(CancelParams)
        subscription = self.row(pk)
        services.cancel_subscription(
            subscription=subscription,
            now=subscription.customer.now(self.now),
            invoice_now=params["invoice_now"],
            prorate=params["prorate"],
            **params.get("cancellation_details", {}),
        )
        return self.respond(self.row(pk))

    @action(methods=["post"], detail=True)
    def pause(self, request: Request, pk: str) -> Response:
        params = self.validated(PauseParams).get("bill_for", {})
        subscription = self.row(pk)
        services.pause_subscription(
            subscription=subscription,
            now=subscription.customer.now(self.now),
            bill_usage=params.get("outstanding_usage_through", {}).get("type") != "none",
            prorate=params.get("unused_time_from", {}).get("type") != "none",
        )
        return self.respond(self.row(pk))

    @action(methods=["post"], detail=True)
    def resume(self, request: Request, pk: str) -> Response:
        params = self.validated(ResumeParams)
        subscription = self.row(pk)
        services.resume_subscription(
            subscription=subscription,
            now=subscription.customer.now(self.now),
            anchor=params.get("billing_cycle_anchor", "now"),
            bills_part=params.get("proration_behavior") != "none",
        )
        return self.respond(self.row(pk))
