"""/v1/meters: which subscriptions report to a meter. Meters themselves are made elsewhere."""

from collections.abc import Iterable
from itertools import groupby
from typing import Annotated, Literal
from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from msgspec import Meta
from rest_framework.request import Request

from accounts.models import Scope
from billing_project.api.ledgerbee.authentication import MAY_NOT_REPORT, METERED
from billing_project.api.ledgerbee.errors import ErrorEnvelope, missing
from billing_project.api.ledgerbee.viewsets import LedgerBeeViewSet
from billing_project.api.ledgerbee.wire import LedgerBeeError, Shape, json_response
from core.ids import read
from meters.models import Meter
from subscriptions.models import Price, Product, Subscription, SubscriptionItem
from usage.events import is_storable

Status = Subscription.Status

Word = Literal[
    "scheduled", "trial", "awaiting_payment", "active", "pending_cancellation", "paused", "cancelled", "expired"
]

# LedgerBee has no word for an overdue invoice, by itself no reason for anything there.
_STATUSES: dict[str, Word] = {
    Status.INCOMPLETE: "awaiting_payment",
    Status.INCOMPLETE_EXPIRED: "expired",
    Status.TRIALING: "trial",
    Status.ACTIVE: "active",
    Status.PAST_DUE: "active",
    Status.UNPAID: "awaiting_payment",
    Status.PAUSED: "paused",
    Status.CANCELED: "cancelled",
}


class MeterPrice(Shape, frozen=True):
    price_id: UUID
    nickname: str | None
    currency: str


class MeterProduct(Shape, frozen=True):
    product_id: UUID
    product_name: str
    prices: list[MeterPrice]


class MeterSubscription(Shape, frozen=True):
    subscription_id: UUID
    customer_id: UUID
    customer_name: str
    plan_id: Annotated[None, Meta(description="There are no plans beside prices.")]
    status: Word
    products: list[MeterProduct]


class MeterSubscriptions(Shape, frozen=True):
    meter_id: UUID
    meter_name: str
    subscriptions: list[MeterSubscription]


_REFUSALS = {
    403: OpenApiResponse(ErrorEnvelope, MAY_NOT_REPORT),
    404: OpenApiResponse(ErrorEnvelope, "`METER_NOT_FOUND`: there is no such meter in your company and mode."),
}


class MeterViewSet(LedgerBeeViewSet):
    scope = Scope.METER_REPORT
    licenses = METERED

    @extend_schema(
        operation_id="listMeterSubscriptions",
        tags=["Meters"],
        summary="List meter subscriptions by ID",
        description="The subscriptions, with their products, that can report usage to a meter: those that hold a price "
        "on it, have begun, and are not paused. An archived meter is answered, too.",
        parameters=[OpenApiParameter("meterId", str, "path", description="The meter's UUID, or its `mtr_…` id.")],
        responses={200: OpenApiResponse(MeterSubscriptions, "None at all is an empty array."), **_REFUSALS},
    )
    def subscriptions(self, request: Request, meterId: str) -> HttpResponse:  # noqa: N803 (the reference's name)
        pk = read("mtr", meterId)
        return self._answer(Meter.objects.of(self.environment).filter(pk=pk).first() if pk else None)

    @extend_schema(
        operation_id="listMeterSubscriptionsByName",
        tags=["Meters"],
        summary="List meter subscriptions by name",
        description="The same by the meter's name. Where a name was used again, it is that of the active meter, or "
        "else of the one that was made last.",
        parameters=[
            OpenApiParameter(
                "meterName", {"type": "string", "minLength": 1, "pattern": r"\S"}, "query", required=True,
                description="The meter's name (`event_name` in Stripe's API), to the letter.",
            )
        ],
        responses={
            200: OpenApiResponse(MeterSubscriptions, "None at all is an empty array."),
            400: OpenApiResponse(ErrorEnvelope, "`METER_IDENTIFIER_REQUIRED`: `meterName` is missing or blank."),
            **_REFUSALS,
        },
    )  # fmt: skip
    def subscriptions_by_name(self, request: Request) -> HttpResponse:
        name = request.query_params.get("meterName", "")
        if not name.strip():
            raise LedgerBeeError("The query parameter meterName is required.", code="METER_IDENTIFIER_REQUIRED")
        found = Meter.objects.of(self.environment).named(name).first() if is_storable(name) else None
        return self._answer(found)

    def _answer(self, meter: Meter | None) -> HttpResponse:
        if meter is None:
            raise missing("meter")
        items = (
            SubscriptionItem.objects.reporting_to(meter, wall=self.now)
            .select_related("subscription__customer", "price__product")
            .order_by("subscription__created_at", "subscription", "created_at", "pk")
        )
        subscriptions = [
            shape_of_subscription(subscription, [item.price for item in group])
            for subscription, group in groupby(items, key=lambda item: item.subscription)
        ]
        return json_response(MeterSubscriptions(meter.pk, meter.event_name, subscriptions))


def shape_of_subscription(subscription: Subscription, prices: Iterable[Price]) -> MeterSubscription:
    """A subscription with the products that these prices of it are of, each once."""
    by_product: dict[Product, list[MeterPrice]] = {}
    for price in prices:
        shape = MeterPrice(price.pk, price.nickname or None, price.currency.upper())
        by_product.setdefault(price.product, []).append(shape)
    return MeterSubscription(
        subscription_id=subscription.pk,
        customer_id=subscription.customer_id,
        customer_name=subscription.customer.name,
        plan_id=None,
        status=status_of(subscription),
        products=[MeterProduct(product.pk, product.name, shapes) for product, shapes in by_product.items()],
    )


def status_of(subscription: Subscription) -> Word:
    """LedgerBee's word for the state that a subscription is in."""
    status = _STATUSES[subscription.status]
    ending = subscription.cancel_at_period_end or subscription.cancel_at is not None
    return "pending_cancellation" if ending and status in {"active", "trial"} else status
