"""/v1/subscription_schedules."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, ClassVar

from django.db.models import Prefetch, QuerySet
from rest_framework.decorators import action
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Scope
from billing_project.api.stripe.changes import Prices, added_item, new_item
from billing_project.api.stripe.customers import customer_reference, test_clock_of
from billing_project.api.stripe.discounts import DiscountParams, discount_reference, with_all
from billing_project.api.stripe.fields import (
    MISSING,
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
    TimeRange,
    exclusive,
    required,
)
from billing_project.api.stripe.kinds import (
    CUSTOMER,
    PLAN,
    PRICE,
    PROMOTION_CODE,
    SUBSCRIPTION,
    SUBSCRIPTION_SCHEDULE,
    TAX_RATE,
)
from billing_project.api.stripe.objects import Embedded, Reference
from billing_project.api.stripe.pagination import in_range
from billing_project.api.stripe.promotion_codes import coupon_reference
from billing_project.api.stripe.subscription_items import AddedItemParams, ItemParams
from billing_project.api.stripe.subscription_times import NOW, TimestampOrNow
from billing_project.api.stripe.subscriptions import BillingModeParams
from billing_project.api.stripe.tax_rates import shape_of_tax_rate
from billing_project.api.stripe.viewsets import StripeViewSet
from billing_project.api.stripe.wire import Wire, timestamp, timestamp_or_none
from core.metadata import MetadataChange
from invoices import services
from subscriptions.models import (
    Discount,
    Interval,
    PhaseDiscount,
    PhaseItem,
    PhaseTaxRate,
    Price,
    SchedulePhase,
    Subscription,
    SubscriptionSchedule,
)
from subscriptions.phases import Length
from subscriptions.services import MAX_ITEMS, NewPhase
from subscriptions.services.discounts import MAX_DISCOUNTS
from subscriptions.services.taxes import MAX_TAX_RATES

_LONGEST = 1000
_MOST_PHASES = 50
_NO_AUTOMATIC_TAX = {"disabled_reason": None, "enabled": False, "liability": None}
_UNSERVED: tuple[str, ...] = (
    "application_fee_percent",
    "automatic_tax",
    "billing_thresholds",
    "default_payment_method",
    "on_behalf_of",
    "transfer_data",
)


@SUBSCRIPTION_SCHEDULE.shaped
def shape_of_schedule(schedule: SubscriptionSchedule) -> Wire:
    released = schedule.status == SubscriptionSchedule.Status.RELEASED
    subscription = None if schedule.subscription_id is None else SUBSCRIPTION.spell(schedule.subscription_id)
    phases = list(schedule.phases.all())
    return {
        "id": SUBSCRIPTION_SCHEDULE.id_of(schedule),
        "object": "subscription_schedule",
        "application": None,
        "billing_mode": {"flexible": None, "type": "flexible"},
        "canceled_at": timestamp_or_none(schedule.canceled_at),
        "completed_at": timestamp_or_none(schedule.completed_at),
        "created": timestamp(schedule.created_at),
        "current_phase": _current(schedule, phases),
        "customer": customer_reference(schedule.customer),
        "customer_account": None,
        "default_settings": {
            "application_fee_percent": None,
            "automatic_tax": _NO_AUTOMATIC_TAX,
            "billing_cycle_anchor": schedule.anchor,
            "billing_thresholds": None,
            "collection_method": schedule.collection_method,
            "default_payment_method": None,
            "description": schedule.description or None,
            "invoice_settings": _invoice_settings(schedule.days_until_due),
            "on_behalf_of": None,
            "transfer_data": None,
        },
        "end_behavior": schedule.end_behavior,
        "metadata": schedule.metadata,
        "pause_schedules": [],
        "phases": [_shape_of_phase(phase) for phase in phases],
        "released_at": timestamp_or_none(schedule.released_at),
        "released_subscription": subscription if released else None,
        "status": schedule.status,
        "subscription": None
        if released
        else Reference.to(SUBSCRIPTION, schedule.subscription_id, schedule.environment),
        "test_clock": test_clock_of(schedule.customer),
    }


def _current(schedule: SubscriptionSchedule, phases: list[SchedulePhase]) -> Wire | None:
    if schedule.status != SubscriptionSchedule.Status.ACTIVE:
        return None
    begun = [phase for phase in phases if phase.begun_at is not None]
    return {"end_date": timestamp(begun[-1].end_at), "start_date": timestamp(begun[-1].start_at)} if begun else None


def _shape_of_phase(phase: SchedulePhase) -> Wire:
    items: list[PhaseItem] = list(phase.items.all())
    discounts = list(phase.discounts.all())
    rates = list(phase.tax_rates.all())
    return {
        "add_invoice_items": [_shape_of_added(item, discounts, rates) for item in items if item.is_once],
        "application_fee_percent": None,
        "automatic_tax": _NO_AUTOMATIC_TAX,
        "billing_cycle_anchor": phase.anchor or None,
        "billing_thresholds": None,
        "collection_method": phase.collection_method or None,
        "currency": items[0].price.currency,
        "default_payment_method": None,
        "default_tax_rates": [_tax_rate(one) for one in rates if one.item_id is None],
        "description": phase.description or None,
        "discounts": [_shape_of_discount(one) for one in discounts if one.item_id is None],
        "end_date": timestamp(phase.end_at),
        "invoice_settings": None if phase.days_until_due is None else _invoice_settings(phase.days_until_due),
        "items": [_shape_of_item(item, discounts, rates) for item in items if not item.is_once],
        "metadata": _metadata(phase.metadata),
        "on_behalf_of": None,
        "proration_behavior": phase.proration_behavior,
        "start_date": timestamp(phase.start_at),
        "transfer_data": None,
        "trial": phase.trial_end_at == phase.end_at,
        "trial_end": timestamp_or_none(phase.trial_end_at),
    }


def _shape_of_item(item: PhaseItem, discounts: list[PhaseDiscount], rates: list[PhaseTaxRate]) -> Wire:
    shape = {
        "billing_thresholds": None,
        "discounts": [_shape_of_discount(one) for one in discounts if one.item_id == item.pk],
        "metadata": _metadata(item.metadata),
        "plan": Reference(PLAN, PLAN.id_of(item.price), lambda: item.price),
        "price": Reference(PRICE, PRICE.id_of(item.price), lambda: item.price),
        "tax_rates": [_tax_rate(one) for one in rates if one.item_id == item.pk],
    }
    return shape if item.quantity is None else {**shape, "quantity": item.quantity}


def _shape_of_added(item: PhaseItem, discounts: list[PhaseDiscount], rates: list[PhaseTaxRate]) -> Wire:
    return {
        "discountable": item.is_discountable,
        "discounts": [_shape_of_discount(one) for one in discounts if one.item_id == item.pk],
        "metadata": _metadata(item.metadata),
        "period": {
            "end": {"timestamp": None, "type": "min_item_period_end"},
            "start": {"timestamp": None, "type": "max_item_period_start"},
        },
        "price": Reference(PRICE, PRICE.id_of(item.price), lambda: item.price),
        "quantity": item.quantity,
        "tax_rates": [_tax_rate(one) for one in rates if one.item_id == item.pk],
    }


def _shape_of_discount(row: PhaseDiscount) -> Wire:
    code, discount = row.promotion_code, row.discount
    return {
        "coupon": None if row.coupon is None else coupon_reference(row.coupon),
        "discount": None if discount is None else discount_reference(discount),
        "promotion_code": (
            None if code is None else Reference(PROMOTION_CODE, PROMOTION_CODE.id_of(code), lambda: code)
        ),
    }


def _tax_rate(row: PhaseTaxRate) -> Embedded:
    return Embedded(shape_of_tax_rate, row.tax_rate)


def _metadata(entries: Mapping[str, str | None]) -> dict[str, str]:
    return {name: text or "" for name, text in entries.items()}


def _invoice_settings(days_until_due: int | None) -> Wire:
    return {
        "account_tax_ids": None,
        "custom_fields": None,
        "days_until_due": days_until_due,
        "description": None,
        "footer": None,
        "issuer": {"type": "self"},
    }


@SUBSCRIPTION_SCHEDULE.completed
def complete(schedules: QuerySet[SubscriptionSchedule]) -> QuerySet[SubscriptionSchedule]:
    prices = Price.objects.select_related("product", "meter").prefetch_related("tiers")
    discounts = PhaseDiscount.objects.prefetch_related(
        "coupon__applies_to",
        "promotion_code__coupon__applies_to",
        "promotion_code__customer__test_clock",
        Prefetch("discount", with_all(Discount.objects.all())),
    )
    phases = SchedulePhase.objects.prefetch_related(
        Prefetch("items", PhaseItem.objects.prefetch_related(Prefetch("price", prices))),
        Prefetch("discounts", discounts),
        Prefetch("tax_rates", PhaseTaxRate.objects.select_related("tax_rate")),
    )
    return schedules.select_related("customer__test_clock").prefetch_related("environment", Prefetch("phases", phases))


class InvoiceSettingsParams(Params):
    days_until_due = Integer(least=0, most=3650)

    unserved = ("account_tax_ids", "custom_fields", "description", "footer", "issuer")


class CollectionParams(Params):
    """How a schedule, or one of its phases, collects what it bills."""

    billing_cycle_anchor = Choice(*SubscriptionSchedule.Anchor.values)
    collection_method = Choice(*Subscription.CollectionMethod.values)
    description = Text(500, clearable="")
    invoice_settings = InvoiceSettingsParams()

    unserved: ClassVar[Collection[str]] = _UNSERVED


class DurationParams(Params):
    interval = Choice(*Interval.values, required=True)
    interval_count = Integer(least=1, most=_LONGEST, default=1)


class PhaseParams(CollectionParams):
    items = Array(ItemParams(), most=MAX_ITEMS, required=True)
    add_invoice_items = Array(AddedItemParams(), most=MAX_ITEMS)
    start_date = TimestampOrNow()
    end_date = TimestampOrNow()
    duration = DurationParams()
    # The older word, in intervals of the phase's prices.
    iterations = Integer(least=1, most=_LONGEST)
    trial = Flag()
    trial_end = TimestampOrNow()
    proration_behavior = Choice(*services.ProrationBehavior.values)
    metadata = Metadata()
    discounts = Array(DiscountParams(), most=MAX_DISCOUNTS, clearable=[])
    default_tax_rates = Array(Ref(TAX_RATE), most=MAX_TAX_RATES, clearable=[])

    unserved = (*_UNSERVED, "currency")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        exclusive(attrs, "end_date", "duration", "iterations")
        if attrs.get("trial"):
            exclusive(attrs, "trial", "trial_end")
        return attrs


class ScheduleParams(RetrieveParams):
    """Of creation and update alike."""

    default_settings = CollectionParams()
    end_behavior = Choice(*SubscriptionSchedule.EndBehavior.values)
    metadata = Metadata()
    phases = Array(PhaseParams(), most=_MOST_PHASES)

    unserved = ("customer_account", "pause_schedules")


class ScheduleCreationParams(ScheduleParams):
    billing_mode = BillingModeParams()
    customer = Ref(CUSTOMER, among=lambda customers: customers.filter(deleted_at=None))
    from_subscription = Ref(SUBSCRIPTION)
    start_date = TimestampOrNow()

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        required(attrs, "customer", "from_subscription")
        other = next((name for name in attrs if name not in {"from_subscription", "expand"}), None)
        if "from_subscription" in attrs and other is not None:
            message = f"You cannot set `{other}` if `from_subscription` is set."
            raise ValidationError({other: [ErrorDetail(message, UNKNOWN)]})
        if "customer" in attrs and "phases" not in attrs:
            raise ValidationError({"phases": [ErrorDetail("Missing required param: phases.", MISSING)]})
        for position, phase in enumerate(attrs.get("phases", ())):
            if "start_date" in phase:
                raise ValidationError({"phases": {str(position): {"start_date": [ErrorDetail("", UNKNOWN)]}}})
        return attrs


class ScheduleUpdateParams(ScheduleParams):
    proration_behavior = Choice(*services.ProrationBehavior.values)


class ScheduleListParams(CreatedListParams):
    customer = Ref(CUSTOMER)
    canceled_at = TimeRange()
    completed_at = TimeRange()
    released_at = TimeRange()
    scheduled = Flag()

    unserved = ("customer_account",)


class ReleaseParams(RetrieveParams):
    preserve_cancel_date = Flag(default=False)


class CancelScheduleParams(RetrieveParams):
    invoice_now = Flag(default=True)
    prorate = Flag(default=True)


class SubscriptionScheduleViewSet(StripeViewSet[SubscriptionSchedule]):
    kind = SUBSCRIPTION_SCHEDULE
    read_scope = Scope.SUBSCRIPTIONS_READ
    write_scope = Scope.SUBSCRIPTIONS_WRITE

    def list(self, request: Request) -> Response:
        params = self.validated(ScheduleListParams)
        schedules = self.get_queryset().filter(**in_range(params))
        for name in ("canceled_at", "completed_at", "released_at"):
            schedules = schedules.filter(**in_range(params, name, name))
        # Those that live by a clock are listed by their customer.
        if "customer" in params:
            schedules = schedules.filter(customer=params["customer"])
        else:
            schedules = schedules.filter(customer__test_clock=None)
        if params.get("scheduled"):
            schedules = schedules.filter(status=SubscriptionSchedule.Status.NOT_STARTED)
        return self.listed(schedules, params)

    def create(self, request: Request) -> Response:
        params = self.validated(ScheduleCreationParams)
        if (subscription := params.get("from_subscription")) is not None:
            now = subscription.customer.now(self.now)
            return self._respond(services.schedule_subscription(subscription=subscription, now=now))
        customer = params["customer"]
        now = customer.now(self.now)
        prices = Prices(self.environment, self.now)
        schedule = services.create_schedule(
            environment=self.environment,
            customer=customer,
            phases=[_phase(phase, prices, now) for phase in params["phases"]],
            now=now,
            start_at=_instant(params.get("start_date"), now),
            **_words(params),
        )
        prices.put_away()
        return self._respond(schedule)

    def update(self, request: Request, pk: str) -> Response:
        params = self.validated(ScheduleUpdateParams)
        schedule = self.row(pk)
        now = schedule.customer.now(self.now)
        prices = Prices(self.environment, self.now)
        changes = {"proration_behavior": params["proration_behavior"]} if "proration_behavior" in params else {}
        updated = services.update_schedule(
            schedule=schedule,
            now=now,
            phases=[_phase(phase, prices, now) for phase in params["phases"]] if "phases" in params else None,
            **changes,
            **_words(params),
        )
        prices.put_away()
        return self._respond(updated)

    @action(methods=["post"], detail=True)
    def release(self, request: Request, pk: str) -> Response:
        params = self.validated(ReleaseParams)
        schedule = self.row(pk)
        return self._respond(
            services.release_schedule(
                schedule=schedule,
                now=schedule.customer.now(self.now),
                keeps_cancellation=params["preserve_cancel_date"],
            )
        )

    @action(methods=["post"], detail=True)
    def cancel(self, request: Request, pk: str) -> Response:
        params = self.validated(CancelScheduleParams)
        schedule = self.row(pk)
        return self._respond(
            services.cancel_schedule(
                schedule=schedule,
                now=schedule.customer.now(self.now),
                invoice_now=params["invoice_now"],
                prorate=params["prorate"],
            )
        )

    def _respond(self, schedule: SubscriptionSchedule) -> Response:
        return self.respond(self.row(SUBSCRIPTION_SCHEDULE.id_of(schedule)))


def _words(params: Mapping[str, Any]) -> dict[str, Any]:
    """What is said of a schedule besides its phases, as its services know it."""
    words = {name: params[name] for name in ("end_behavior", "metadata") if name in params}
    return words | _collection(params.get("default_settings", {}))


def _collection(params: Mapping[str, Any]) -> dict[str, Any]:
    words = {name: params[name] for name in ("collection_method", "description") if name in params}
    if "billing_cycle_anchor" in params:
        words["anchor"] = params["billing_cycle_anchor"]
    if "days_until_due" in params.get("invoice_settings", {}):
        words["days_until_due"] = params["invoice_settings"]["days_until_due"]
    return words


def _phase(params: Mapping[str, Any], prices: Prices, now: datetime) -> NewPhase:
    duration = params.get("duration")
    renamed = {"iterations": "iterations", "trial": "is_trial", "proration_behavior": "proration_behavior"}
    return NewPhase(
        items=[new_item(item, prices) for item in params["items"]],
        start_at=_instant(params.get("start_date"), now),
        end_at=_instant(params.get("end_date"), now),
        length=None if duration is None else Length(duration["interval"], duration["interval_count"]),
        trial_end_at=_instant(params.get("trial_end"), now),
        metadata=params.get("metadata", MetadataChange()),
        discounts=params.get("discounts", ()),
        tax_rates=params.get("default_tax_rates", ()),
        added=[added_item(item, prices) for item in params.get("add_invoice_items", ())],
        **_collection(params),
        **{name: params[wire] for wire, name in renamed.items() if wire in params},
    )


def _instant(given: datetime | str | None, now: datetime) -> datetime | None:
    """A time that may have been said by the word."""
    if isinstance(given, str):
        return now.replace(microsecond=0) if given == NOW else None
    return given
