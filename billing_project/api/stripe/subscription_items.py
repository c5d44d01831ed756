"""/v1/subscription_items."""

from typing import Any, TypeVar

from django.db.models import Model, Prefetch, QuerySet
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Scope
from billing_project.api.stripe.changes import (
    OncePriceDataParams,
    PaymentBehavior,
    PricedParams,
    Prices,
    ProrationParams,
    item_change,
    naming_the_item,
    proration_of,
)
from billing_project.api.stripe.discounts import running, with_all
from billing_project.api.stripe.fields import (
    Flag,
    Integer,
    ListParams,
    Metadata,
    Ref,
    RetrieveParams,
    exclusive,
    required,
)
from billing_project.api.stripe.item_terms import ItemTermsParams, item_terms
from billing_project.api.stripe.kinds import PRICE, SUBSCRIPTION, SUBSCRIPTION_ITEM
from billing_project.api.stripe.objects import Embedded
from billing_project.api.stripe.prices import shape_of_plan, shape_of_price
from billing_project.api.stripe.tax_rates import tax_rates_of
from billing_project.api.stripe.viewsets import StripeViewSet
from billing_project.api.stripe.wire import Wire, timestamp
from core.related import rows_of
from invoices import services
from subscriptions.models import AppliedTaxRate, Discount, Subscription, SubscriptionItem
from subscriptions.services import ItemChange

M = TypeVar("M", bound=Model)


@SUBSCRIPTION_ITEM.shaped
def shape_of_item(item: SubscriptionItem) -> Wire:
    shape = {
        "id": SUBSCRIPTION_ITEM.id_of(item),
        "object": "subscription_item",
        "billing_thresholds": None,
        "created": timestamp(item.created_at),
        "current_period_end": timestamp(item.current_period_end),
        "current_period_start": timestamp(item.current_period_start),
        "discounts": running(rows_of(item, "discounts")),
        "metadata": item.metadata,
        "plan": Embedded(shape_of_plan, item.price),
        "price": Embedded(shape_of_price, item.price),
        "subscription": SUBSCRIPTION.spell(item.subscription_id),
        "tax_rates": tax_rates_of(item),
    }
    # Metered items have no quantity at all, not even null.
    return shape if item.quantity is None else {**shape, "quantity": item.quantity}


def with_reductions(rows: "QuerySet[M]") -> "QuerySet[M]":
    """Have subscriptions or items bring what is taken off them and what taxes are asked for them."""
    return rows.prefetch_related(
        Prefetch("discounts", with_all(Discount.objects.in_place())),
        Prefetch("tax_rates", AppliedTaxRate.objects.select_related("tax_rate")),
    )


class ItemParams(ItemTermsParams, PricedParams):
    unserved = ("billing_thresholds", "trial")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        required(attrs, "price", "plan", "price_data")
        return super().validate(attrs)


class AddedItemParams(ItemTermsParams):
    """A one-time price that the next invoice takes."""

    price = Ref(PRICE)
    price_data = OncePriceDataParams()
    quantity = Integer(least=0, default=1)
    discountable = Flag(default=True)
    metadata = Metadata()

    unserved = ("period",)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        required(attrs, "price", "price_data")
        exclusive(attrs, "price", "price_data")
        return attrs


class ItemListParams(ListParams):
    subscription = Ref(SUBSCRIPTION, required=True)


class ItemTouchParams(ProrationParams, RetrieveParams):
    """What goes with any change of one item."""

    payment_behavior = PaymentBehavior()
    off_session = Flag()


class NewItemParams(ItemTouchParams, ItemParams):
    subscription = Ref(SUBSCRIPTION, required=True)


class ItemUpdateParams(ItemTouchParams, ItemTermsParams, PricedParams):
    unserved = ("billing_thresholds",)


class ItemRemovalParams(ItemTouchParams):
    # Usage that a meter counted belongs to the meter: Stripe, too, leaves it alone.
    clear_usage = Flag()


class SubscriptionItemViewSet(StripeViewSet[SubscriptionItem]):
    kind = SUBSCRIPTION_ITEM
    read_scope = Scope.SUBSCRIPTIONS_READ
    write_scope = Scope.SUBSCRIPTIONS_WRITE
    # As they stand in their subscription.
    order = ("created_at", "pk")

    def list(self, request: Request) -> Response:
        params = self.validated(ItemListParams)
        return self.listed(self.get_queryset().filter(subscription=params["subscription"]), params)

    def create(self, request: Request) -> Response:
        params = self.validated(NewItemParams)
        prices = Prices(self.environment, self.now)
        change = item_change(params, prices)
        subscription = self._change(params["subscription"], change, params)
        prices.put_away()
        return self.respond(self.get_queryset().get(subscription=subscription, price=change.price))

    def update(self, request: Request, pk: str) -> Response:
        params = self.validated(ItemUpdateParams)
        item = self.row(pk)
        prices = Prices(self.environment, self.now)
        self._change(item.subscription, item_change(params, prices, item=item), params)
        prices.put_away()
        return self.respond(self.row(pk))

    def destroy(self, request: Request, pk: str) -> Response:
        params = self.validated(ItemRemovalParams)
        item = self.row(pk)
        self._change(item.subscription, ItemChange(item=item, is_removed=True), params)
        return Response({"id": SUBSCRIPTION_ITEM.id_of(item), "object": "subscription_item", "deleted": True})

    def _change(self, subscription: Subscription, change: ItemChange, params: dict[str, Any]) -> Subscription:
        now = subscription.customer.now(self.now)
        with naming_the_item():
            changed = services.update_subscription(
                subscription=subscription, now=now, items=[change], **proration_of(params)
            )
        items = item_terms(subscription, [change], [params])
        if items:
            services.change_terms(subscription=subscription, now=now, items=items)
        return changed
