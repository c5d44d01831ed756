"""/v1/promotion_codes."""

from typing import Any

from django.db.models import F, Q, QuerySet
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Scope
from billing_project.api.stripe.fields import (
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
    required,
)
from billing_project.api.stripe.kinds import COUPON, CUSTOMER, PROMOTION_CODE
from billing_project.api.stripe.objects import Reference
from billing_project.api.stripe.pagination import in_range
from billing_project.api.stripe.viewsets import StripeViewSet
from billing_project.api.stripe.wire import Wire, timestamp, timestamp_or_none
from subscriptions import services
from subscriptions.models import Coupon, PromotionCode

_CODE = r"[A-Za-z0-9-]+"


@PROMOTION_CODE.shaped
def shape_of_promotion_code(promotion_code: PromotionCode) -> Wire:
    customer = promotion_code.customer
    return {
        "id": PROMOTION_CODE.id_of(promotion_code),
        "object": "promotion_code",
        "active": promotion_code.is_valid(timezone.now()),
        "code": promotion_code.code,
        "created": timestamp(promotion_code.created_at),
        "customer": None if customer is None else Reference(CUSTOMER, CUSTOMER.id_of(customer), lambda: customer),
        "customer_account": None,
        "expires_at": timestamp_or_none(promotion_code.expires_at),
        "max_redemptions": promotion_code.max_redemptions,
        "metadata": promotion_code.metadata,
        "promotion": {"coupon": coupon_reference(promotion_code.coupon), "type": "coupon"},
        "restrictions": {
            "first_time_transaction": promotion_code.first_time_transaction,
            "minimum_amount": promotion_code.minimum_amount,
            "minimum_amount_currency": promotion_code.minimum_amount_currency or None,
        },
        "times_redeemed": promotion_code.times_redeemed,
    }


def coupon_reference(coupon: Coupon) -> Reference:
    return Reference(COUPON, COUPON.id_of(coupon), lambda: coupon)


class PromotionParams(Params):
    type = Choice("coupon", required=True)
    coupon = Ref(COUPON, required=True)


class RestrictionsParams(Params):
    first_time_transaction = Flag()
    minimum_amount = Integer(least=1)
    minimum_amount_currency = Text(3)

    unserved = ("currency_options",)


class PromotionCodeParams(RetrieveParams):
    promotion = PromotionParams()
    # Where it was said until versions of 2025.
    coupon = Ref(COUPON)
    code = Text(500, pattern=_CODE)
    customer = Ref(CUSTOMER, among=lambda customers: customers.filter(deleted_at=None))
    active = Flag()
    expires_at = Timestamp()
    max_redemptions = Integer(least=1, most=2**31 - 1)
    restrictions = RestrictionsParams()
    metadata = Metadata()

    unserved = ("customer_account",)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        required(attrs, "promotion", "coupon")
        exclusive(attrs, "promotion", "coupon")
        promotion, restrictions = attrs.pop("promotion", {}), attrs.pop("restrictions", {})
        if "minimum_amount_currency" in restrictions:
            restrictions["minimum_amount_currency"] = restrictions["minimum_amount_currency"].lower()
        values: dict[str, Any] = {**promotion, **attrs, **restrictions}
        values.pop("type", None)
        return values


class PromotionCodeUpdateParams(RetrieveParams):
    active = Flag()
    metadata = Metadata()

    unserved = ("restrictions",)


class PromotionCodeListParams(CreatedListParams):
    active = Flag()
    code = Text(500)
    coupon = Ref(COUPON)
    customer = Ref(CUSTOMER)

    unserved = ("customer_account",)


class PromotionCodeViewSet(StripeViewSet[PromotionCode]):
    kind = PROMOTION_CODE
    read_scope = Scope.PRODUCTS_READ
    write_scope = Scope.PRODUCTS_WRITE

    def list(self, request: Request) -> Response:
        params = self.validated(PromotionCodeListParams)
        same = {name: params[name] for name in ("coupon", "customer") if name in params}
        codes = self.get_queryset().filter(**in_range(params), **same)
        if "code" in params:
            codes = codes.filter(code__iexact=params["code"])
        if "active" in params:
            codes = self._by_validity(codes, is_valid=params["active"])
        return self.listed(codes, params)

    def _by_validity(self, codes: QuerySet[PromotionCode], *, is_valid: bool) -> QuerySet[PromotionCode]:
        """As :meth:`PromotionCode.is_valid` says it of one."""
        valid = (
            Q(active=True, coupon__deleted_at=None)
            & (Q(expires_at=None) | Q(expires_at__gt=self.now))
            & (Q(max_redemptions=None) | Q(times_redeemed__lt=F("max_redemptions")))
            & (Q(coupon__redeem_by=None) | Q(coupon__redeem_by__gte=self.now))
            & (Q(coupon__max_redemptions=None) | Q(coupon__times_redeemed__lt=F("coupon__max_redemptions")))
        )
        return codes.filter(valid if is_valid else ~valid)

    def create(self, request: Request) -> Response:
        params = self.validated(PromotionCodeParams)
        code = services.create_promotion_code(environment=self.environment, now=self.now, **params)
        return self.respond(self.row(PROMOTION_CODE.id_of(code)))

    def update(self, request: Request, pk: str) -> Response:
        params = self.validated(PromotionCodeUpdateParams)
        code = services.update_promotion_code(promotion_code=self.row(pk), now=self.now, **params)
        return self.respond(self.row(PROMOTION_CODE.id_of(code)))
