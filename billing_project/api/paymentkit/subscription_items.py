"""/subscription-items: one price within a subscription."""

from django.db.models import QuerySet
from django.http import HttpResponse
from rest_framework.request import Request

from accounts.models import Scope
from billing_project.api.paymentkit.prices import id_of_price, named_price
from billing_project.api.paymentkit.subscriptions import items_of, named_subscription, quantity_of, shape_of_item
from billing_project.api.paymentkit.viewsets import PaymentKitViewSet, row_of
from billing_project.api.paymentkit.wire import json_response, missing
from core.ids import read
from invoices import services
from subscriptions.models import Subscription, SubscriptionItem
from subscriptions.services import ItemChange

NOUN = "Subscription item"


class SubscriptionItemViewSet(PaymentKitViewSet):
    read_scope = Scope.SUBSCRIPTIONS_READ
    write_scope = Scope.SUBSCRIPTIONS_WRITE

    def list(self, request: Request) -> HttpResponse:
        items = items_of(self.environment).order_by("-created_at", "-pk")
        if subscription := self.query.text("subscription_id"):
            items = items.filter(subscription=read("sub", subscription))
        livemode = self.environment.is_live
        return self.listed(items, lambda rows: [shape_of_item(row, livemode=livemode) for row in rows])

    def create(self, request: Request) -> HttpResponse:
        said = self.body
        subscription = named_subscription(self.environment, said.text("subscription_id", required=True))
        price = named_price(self.environment, said.text("price_id", required=True))
        self._change(subscription, ItemChange(price=price, quantity=quantity_of(said), metadata=said.texts("metadata")))
        return self._answer(self._rows().get(subscription=subscription, price=price))

    def retrieve(self, request: Request, pk: str) -> HttpResponse:
        return self._answer(self.row(pk))

    def update(self, request: Request, pk: str) -> HttpResponse:
        said, item = self.body, self.row(pk)
        said.refuse_given(["billing_thresholds"], "is not supported")
        # Saying the same again is no change.
        named = said.text("price_id")
        price = named_price(self.environment, named) if named not in {"", id_of_price(item.price)} else None
        change = ItemChange(item=item, price=price, quantity=quantity_of(said), metadata=said.texts("metadata"))
        self._change(item.subscription, change)
        return self._answer(self._rows().get(pk=item.pk))

    def destroy(self, request: Request, pk: str) -> HttpResponse:
        item = self.row(pk)
        self._change(item.subscription, ItemChange(item=item, is_removed=True))
        return self._answer(item)

    def row(self, pk: str) -> SubscriptionItem:
        found = row_of(self.within(self._rows()), "si", pk)
        if found is None:
            raise missing(NOUN, pk)
        return found

    def _rows(self) -> QuerySet[SubscriptionItem]:
        return items_of(self.environment).select_related("subscription__customer__test_clock")

    def _change(self, subscription: Subscription, change: ItemChange) -> None:
        now = subscription.customer.now(self.now)
        services.update_subscription(subscription=subscription, now=now, items=[change])

    def _answer(self, item: SubscriptionItem) -> HttpResponse:
        return json_response(shape_of_item(item, livemode=self.environment.is_live))
