"""/products: what is sold, with its prices."""

from django.db.models import Exists, OuterRef, Prefetch, Q, QuerySet
from django.http import HttpResponse
from rest_framework.request import Request

from accounts.models import Scope
from billing_project.api.paymentkit.parsers import Fields
from billing_project.api.paymentkit.prices import (
    CREDIT_CONFIG,
    PricedProduct,
    PriceShape,
    find_product,
    named_price,
    new_price,
    prices_of,
    shape_of_price,
    shape_of_priced,
)
from billing_project.api.paymentkit.viewsets import PaymentKitViewSet
from billing_project.api.paymentkit.wire import json_response, missing
from subscriptions import services
from subscriptions.models import Price, Product
from subscriptions.services.products import ProductFields

NOUN = "Product"
_NAME_LENGTH = 250
_DESCRIPTION_LENGTH = 40_000
_UNIT_LENGTH = 40
_MOST_PRICES = 20
_UNSERVED = (
    "images", "features", "statement_descriptor", "nft_factory", "tax_code", "cross_sell", "vendor_config",
)  # fmt: skip


class ProductShape(PricedProduct, frozen=True):
    prices: list[PriceShape]
    default_price: PriceShape | None


def shape_of_product(product: Product, *, livemode: bool) -> ProductShape:
    """
    :param product: one of the view's rows
    """
    prices = {price.pk: shape_of_price(price, livemode=livemode) for price in product.prices.all()}
    gives_credit: bool = product.gives_credit  # type: ignore[attr-defined]  # of the query
    priced = shape_of_priced(product, gives_credit=gives_credit, livemode=livemode)
    return ProductShape(
        **{name: getattr(priced, name) for name in PricedProduct.__struct_fields__},
        prices=list(prices.values()),
        default_price=prices.get(product.default_price_id) if product.default_price_id else None,
    )


class ProductViewSet(PaymentKitViewSet):
    read_scope = Scope.PRODUCTS_READ
    write_scope = Scope.PRODUCTS_WRITE

    def list(self, request: Request) -> HttpResponse:
        said, products = self.query, self._rows()
        if (active := said.flag("active")) is not None:
            products = products.filter(active=active)
        if name := said.text("name"):
            products = products.filter(name__icontains=name)
        if description := said.text("description"):
            products = products.filter(description__icontains=description)
        if metadata := said.below("metadata."):
            products = products.filter(metadata__contains=metadata)
        return self._listed(products)

    def search(self, request: Request) -> HttpResponse:
        products = self._rows()
        if words := self.query.text("query") or self.query.text("q"):
            products = products.filter(Q(name__icontains=words) | Q(description__icontains=words))
        return self._listed(products)

    def create(self, request: Request) -> HttpResponse:
        """With its prices, the first of which is its default: all of them, or nothing."""
        said = self.body
        said.text("name", most=_NAME_LENGTH, required=True)
        said.choice("type", ["service", "credit"])
        fields = _fields(said)
        product = services.create_product(
            environment=self.environment, now=self.now, metadata=said.texts("metadata"), **fields
        )
        terms = said.inners("prices", most=_MOST_PRICES)
        prices = [new_price(entry, product, now=self.now) for entry in terms]
        if prices and prices[0].active:
            services.update_product(product=product, now=self.now, default_price=prices[0])
        return self._again(product)

    def retrieve(self, request: Request, pk: str) -> HttpResponse:
        return self._answer(self._row(pk))

    def update(self, request: Request, pk: str) -> HttpResponse:
        said, product = self.body, self._row(pk)
        fields = _fields(said)
        if said.says("default_price_id"):
            named = said.text("default_price_id")
            fields["default_price"] = named_price(self.environment, named) if named else None
        return self._again(
            services.update_product(product=product, now=self.now, metadata=said.texts("metadata"), **fields)
        )

    def archive(self, request: Request, pk: str) -> HttpResponse:
        return self._again(services.update_product(product=self._row(pk), now=self.now, active=False))

    def destroy(self, request: Request, pk: str) -> HttpResponse:
        product = self._row(pk)
        answer = self._answer(product)
        services.delete_product(product=product, now=self.now)
        return answer

    def _rows(self) -> QuerySet[Product]:
        giving = Price.objects.filter(environment=OuterRef("environment"), product=OuterRef("pk"))
        oldest_first = prices_of(self.environment).filter(deleted_at=None).order_by("pk")
        return self.within(
            Product.objects.of(self.environment)
            .select_related("default_price")
            .prefetch_related(Prefetch("prices", oldest_first))
            .annotate(gives_credit=Exists(giving.filter(metadata__has_key=CREDIT_CONFIG)))
            .order_by("-created_at", "-pk")
        )

    def _row(self, pk: str) -> Product:
        found = find_product(self._rows(), pk)
        if found is None:
            raise missing(NOUN, pk)
        return found

    def _listed(self, products: QuerySet[Product]) -> HttpResponse:
        livemode = self.environment.is_live
        return self.listed(products, lambda rows: [shape_of_product(row, livemode=livemode) for row in rows])

    def _again(self, product: Product) -> HttpResponse:
        return self._answer(self._rows().get(pk=product.pk))

    def _answer(self, product: Product) -> HttpResponse:
        return json_response(shape_of_product(product, livemode=self.environment.is_live))


def _fields(said: Fields) -> ProductFields:
    said.refuse_given(_UNSERVED, "is not supported")
    fields = ProductFields()
    if "name" in said:
        fields["name"] = said.text("name", most=_NAME_LENGTH)
    if said.says("description"):
        fields["description"] = said.text("description", most=_DESCRIPTION_LENGTH, blank=True)
    if said.says("unit_label"):
        fields["unit_label"] = said.text("unit_label", most=_UNIT_LENGTH, blank=True)
    if (active := said.flag("active")) is not None:
        fields["active"] = active
    return fields
