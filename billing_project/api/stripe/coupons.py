"""/v1/coupons."""

from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Scope
from billing_project.api.stripe.fields import (
    Array,
    Choice,
    CreatedListParams,
    DecimalText,
    Integer,
    Metadata,
    Params,
    Ref,
    RetrieveParams,
    Text,
    Timestamp,
)
from billing_project.api.stripe.kinds import COUPON, PRODUCT
from billing_project.api.stripe.objects import Hidden
from billing_project.api.stripe.pagination import in_range
from billing_project.api.stripe.products import OWN_ID
from billing_project.api.stripe.viewsets import StripeViewSet
from billing_project.api.stripe.wire import Wire, number, timestamp, timestamp_or_none
from subscriptions import services
from subscriptions.models import Coupon
from subscriptions.services.coupons import MAX_PRODUCTS


@COUPON.shaped
def shape_of_coupon(coupon: Coupon) -> Wire:
    return {
        "id": COUPON.id_of(coupon),
        "object": "coupon",
        "amount_off": coupon.amount_off,
        "applies_to": Hidden(lambda: _shape_of_products(coupon)),
        "created": timestamp(coupon.created_at),
        "currency": coupon.currency or None,
        "duration": coupon.duration,
        "duration_in_months": coupon.duration_in_months,
        "max_redemptions": coupon.max_redemptions,
        "metadata": coupon.metadata,
        "name": coupon.name or None,
        "percent_off": None if coupon.percent_off is None else number(coupon.percent_off),
        "redeem_by": timestamp_or_none(coupon.redeem_by),
        "times_redeemed": coupon.times_redeemed,
        # Of now, whatever was asked when: a coupon knows no customer and no clock.
        "valid": coupon.is_valid(timezone.now()),
    }


def _shape_of_products(coupon: Coupon) -> Wire | None:
    products = [PRODUCT.id_of(product) for product in coupon.applies_to.all()]
    return {"products": products} if products else None


class AppliesToParams(Params):
    products = Array(Ref(PRODUCT), most=MAX_PRODUCTS)


class CouponUpdateParams(RetrieveParams):
    name = Text(40, clearable="")
    metadata = Metadata()

    unserved = ("currency_options",)


class CouponParams(CouponUpdateParams):
    id = Text(255, pattern=OWN_ID)
    percent_off = DecimalText(places=4)
    amount_off = Integer(least=1)
    currency = Text(3)
    duration = Choice(*Coupon.Duration.values)
    duration_in_months = Integer(least=1, most=1200)
    max_redemptions = Integer(least=1, most=2**31 - 1)
    redeem_by = Timestamp()
    applies_to = AppliesToParams()


class CouponViewSet(StripeViewSet[Coupon]):
    kind = COUPON
    read_scope = Scope.PRODUCTS_READ
    write_scope = Scope.PRODUCTS_WRITE

    def list(self, request: Request) -> Response:
        params = self.validated(CreatedListParams)
        return self.listed(self.get_queryset().filter(**in_range(params)), params)

    def create(self, request: Request) -> Response:
        params = self.validated(CouponParams)
        coupon = services.create_coupon(
            environment=self.environment,
            now=self.now,
            slug=params.pop("id", ""),
            currency=params.pop("currency", "").lower(),
            applies_to=params.pop("applies_to", {}).get("products", ()),
            **params,
        )
        return self.respond(coupon)

    def update(self, request: Request, pk: str) -> Response:
        params = self.validated(CouponUpdateParams)
        return self.respond(services.update_coupon(coupon=self.row(pk), now=self.now, **params))

    def destroy(self, request: Request, pk: str) -> Response:
        self.validated(RetrieveParams)
        coupon = self.row(pk)
        services.delete_coupon(coupon=coupon, now=self.now)
        return Response({"id": COUPON.id_of(coupon), "object": "coupon", "deleted": True})
