"""Discounts: no address of their own, but they are everywhere."""

from collections.abc import Collection, Iterable
from typing import Any
from uuid import UUID

from django.db.models import OuterRef, QuerySet, Subquery
from django.utils import timezone

from accounts.models import Environment
from billing_project.api.stripe.fields import Params, Ref, exclusive, required
from billing_project.api.stripe.kinds import (
    COUPON,
    CUSTOMER,
    DISCOUNT,
    INVOICE,
    INVOICE_ITEM,
    PROMOTION_CODE,
    SUBSCRIPTION,
    SUBSCRIPTION_ITEM,
    Kind,
)
from billing_project.api.stripe.objects import Reference, References
from billing_project.api.stripe.promotion_codes import coupon_reference
from billing_project.api.stripe.wire import StripeError, Wire, timestamp, timestamp_or_none
from invoices.models import InvoiceDiscount, ItemDiscount
from subscriptions.models import Discount
from subscriptions.services import NewDiscount


@DISCOUNT.shaped
def shape_of_discount(discount: Discount) -> Wire:
    code, subscription, item = discount.promotion_code, discount.subscription_id, discount.subscription_item_id
    return {
        "id": DISCOUNT.id_of(discount),
        "object": "discount",
        "checkout_session": None,
        "customer": Reference.among(
            CUSTOMER, discount.customer_id, lambda: CUSTOMER.complete(discount.customer.environment)
        ),
        "customer_account": None,
        "end": timestamp_or_none(discount.end_at),
        "invoice": _spelled(INVOICE, discount, "of_invoice"),
        "invoice_item": _spelled(INVOICE_ITEM, discount, "of_invoice_item"),
        "promotion_code": (
            None if code is None else Reference(PROMOTION_CODE, PROMOTION_CODE.id_of(code), lambda: code)
        ),
        "source": {"coupon": coupon_reference(discount.coupon), "type": "coupon"},
        "start": timestamp(discount.start_at),
        "subscription": None if subscription is None else SUBSCRIPTION.spell(subscription),
        "subscription_item": None if item is None else SUBSCRIPTION_ITEM.spell(item),
    }


def _spelled(kind: Kind[Any], discount: Discount, name: str) -> str | None:
    """What a discount is bound to, which :func:`with_what_they_are_bound_to` brings."""
    pk = getattr(discount, name, None)
    return None if pk is None else kind.spell(pk)


def running(discounts: Collection[Discount]) -> References:
    """Those of a thing's discounts that take something off now, by its customer's clock."""
    if not discounts:
        return References(())
    wall = timezone.now()
    return References([discount_reference(one) for one in discounts if one.is_running(one.customer.now(wall))])


def with_all(discounts: "QuerySet[Discount]") -> "QuerySet[Discount]":
    """Discounts with what their shape needs."""
    return discounts.select_related(
        "coupon", "promotion_code__customer__test_clock", "customer__test_clock"
    ).prefetch_related("coupon__applies_to", "promotion_code__coupon__applies_to")


def with_what_they_are_bound_to(discounts: "QuerySet[Discount]") -> "QuerySet[Discount]":
    """Discounts that may be one invoice's, or one invoice item's, with its id. Nothing else leads to those."""
    of_invoice = InvoiceDiscount.objects.filter(discount=OuterRef("pk"), discount__bound_to=Discount.Bound.INVOICE)
    of_item = ItemDiscount.objects.filter(discount=OuterRef("pk"), discount__bound_to=Discount.Bound.INVOICE_ITEM)
    return with_all(discounts).annotate(
        of_invoice=Subquery(of_invoice.order_by("pk").values("invoice_id")[:1]),
        of_invoice_item=Subquery(of_item.order_by("pk").values("item_id")[:1]),
    )


def removed(discounts: Iterable[Discount]) -> Wire:
    """What is said of discounts that are taken away: of the first one, where there are several.

    :raises StripeError: 404, if there is none
    """
    discount = next((one for one in discounts if one.used_at is None and one.removed_at is None), None)
    if discount is None:
        raise StripeError("There is no discount.", status=404, code="resource_missing", param="discount", begun=True)
    return {"id": DISCOUNT.id_of(discount), "object": "discount", "deleted": True}


def discount_reference(discount: Discount) -> Reference:
    return Reference(DISCOUNT, DISCOUNT.id_of(discount), lambda: discount)


def reference_to_discount(environment: Environment, pk: UUID) -> Reference:
    """A discount by its id, whether it is still in place or not."""
    return Reference.among(DISCOUNT, pk, lambda: with_what_they_are_bound_to(Discount.objects.of(environment)))


class DiscountParams(Params):
    """What is to be redeemed, or a discount that is there already."""

    coupon = Ref(COUPON)
    promotion_code = Ref(PROMOTION_CODE)
    discount = Ref(DISCOUNT)

    def validate(self, attrs: dict[str, Any]) -> NewDiscount:
        required(attrs, "coupon", "promotion_code", "discount")
        exclusive(attrs, "coupon", "promotion_code", "discount")
        return NewDiscount(**attrs)
