"""Discounts: no address of their own, but they are everywhere."""

from typing import Any

from billing_project.api.stripe.customers import customer_reference
from billing_project.api.stripe.fields import Params, Ref, exclusive, required
from billing_project.api.stripe.kinds import COUPON, DISCOUNT, PROMOTION_CODE, SUBSCRIPTION, SUBSCRIPTION_ITEM
from billing_project.api.stripe.objects import Reference
from billing_project.api.stripe.promotion_codes import coupon_reference
from billing_project.api.stripe.wire import Wire, timestamp, timestamp_or_none
from subscriptions.models import Discount
from subscriptions.services import NewDiscount


@DISCOUNT.shaped
def shape_of_discount(discount: Discount) -> Wire:
    code, subscription, item = discount.promotion_code, discount.subscription_id, discount.subscription_item_id
    return {
        "id": DISCOUNT.id_of(discount),
        "object": "discount",
        "checkout_session": None,
        "customer": customer_reference(discount.customer),
        "customer_account": None,
        "end": timestamp_or_none(discount.end_at),
        "invoice": None,
        "invoice_item": None,
        "promotion_code": (
            None if code is None else Reference(PROMOTION_CODE, PROMOTION_CODE.id_of(code), lambda: code)
        ),
        "source": {"coupon": coupon_reference(discount.coupon), "type": "coupon"},
        "start": timestamp(discount.start_at),
        "subscription": None if subscription is None else SUBSCRIPTION.spell(subscription),
        "subscription_item": None if item is None else SUBSCRIPTION_ITEM.spell(item),
    }


def discount_reference(discount: Discount) -> Reference:
    return Reference(DISCOUNT, DISCOUNT.id_of(discount), lambda: discount)


class DiscountParams(Params):
    """What is to be redeemed, or a discount that is there already."""

    coupon = Ref(COUPON)
    promotion_code = Ref(PROMOTION_CODE)
    discount = Ref(DISCOUNT)

    def validate(self, attrs: dict[str, Any]) -> NewDiscount:
        required(attrs, "coupon", "promotion_code", "discount")
        exclusive(attrs, "coupon", "promotion_code", "discount")
        return NewDiscount(**attrs)
