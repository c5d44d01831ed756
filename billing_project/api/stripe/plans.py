"""/v1/plans: recurring prices in older words. A plan's id works at /v1/prices, and the reverse."""

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Scope
from billing_project.api.stripe.fields import (
    Array,
    Choice,
    CreatedListParams,
    DecimalText,
    Flag,
    Integer,
    Metadata,
    Ref,
    RetrieveParams,
    Text,
)
from billing_project.api.stripe.kinds import METER, PLAN, PRODUCT
from billing_project.api.stripe.pagination import in_range
from billing_project.api.stripe.parsers import Value
from billing_project.api.stripe.price_terms import PLACES, PackageParams, TierParams, price_terms
from billing_project.api.stripe.prices import ProductDataParams
from billing_project.api.stripe.products import OWN_ID
from billing_project.api.stripe.viewsets import StripeViewSet
from subscriptions import services
from subscriptions.models import Interval, Price, Product, TiersMode, UsageType
from subscriptions.services.prices import MAX_TIERS

_OLDER_WORDS = {
    "amount": "unit_amount",
    "amount_decimal": "unit_amount_decimal",
    "transform_usage": "transform_quantity",
}


class ProductOrData(Ref):
    """A product's id, or what to make one from."""

    def to_internal_value(self, data: Value) -> Product | dict[str, Any]:  # type: ignore[override]
        if isinstance(data, dict):
            made: dict[str, Any] = ProductDataParams(context=self.context).run_validation(data)
            return made
        found: Product = super().to_internal_value(data)  # type: ignore[assignment]
        return found


class PlanUpdateParams(RetrieveParams):
    active = Flag()
    nickname = Text(5000, clearable="")
    metadata = Metadata()

    unserved = ("product", "trial_period_days")


class PlanParams(RetrieveParams):
    id = Text(255, pattern=OWN_ID)
    currency = Text(3, required=True)
    product = ProductOrData(PRODUCT, required=True)
    interval = Choice(*Interval.values, required=True)
    interval_count = Integer(least=1)
    usage_type = Choice(*UsageType.values)
    meter = Ref(METER)
    amount = Integer(least=0)
    amount_decimal = DecimalText(places=PLACES)
    billing_scheme = Choice("per_unit", "tiered")
    tiers_mode = Choice(*TiersMode.values)
    tiers = Array(TierParams(), most=MAX_TIERS)
    transform_usage = PackageParams()
    nickname = Text(5000)
    active = Flag()
    metadata = Metadata()

    unserved = ("aggregate_usage", "trial_period_days")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        return price_terms(attrs, older_words=_OLDER_WORDS)


class PlanListParams(CreatedListParams):
    active = Flag()
    product = Ref(PRODUCT)


class PlanViewSet(StripeViewSet[Price]):
    kind = PLAN
    read_scope = Scope.PRODUCTS_READ
    write_scope = Scope.PRODUCTS_WRITE

    def list(self, request: Request) -> Response:
        params = self.validated(PlanListParams)
        same = {name: params[name] for name in ("active", "product") if name in params}
        return self.listed(self.get_queryset().filter(**in_range(params), **same), params)

    def create(self, request: Request) -> Response:
        params = self.validated(PlanParams)
        product = params.pop("product")
        if not isinstance(product, Product):
            slug = product.pop("id", "")
            product = services.create_product(environment=self.environment, now=self.now, slug=slug, **product)
        plan = services.create_price(
            environment=self.environment,
            now=self.now,
            product=product,
            is_plan=True,
            slug=params.pop("id", ""),
            **params,
        )
        return self.respond(self.row(PLAN.id_of(plan)))

    def update(self, request: Request, pk: str) -> Response:
        params = self.validated(PlanUpdateParams)
        plan = services.update_price(price=self.row(pk), now=self.now, **params)
        return self.respond(self.row(PLAN.id_of(plan)))

    def destroy(self, request: Request, pk: str) -> Response:
        self.validated(RetrieveParams)
        plan = self.row(pk)
        services.delete_price(price=plan, now=self.now)
        return Response({"id": PLAN.id_of(plan), "object": "plan", "deleted": True})
