"""/v1/products."""

from typing import ClassVar

from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Scope
from billing_project.api.stripe.fields import Array, CreatedListParams, Flag, Metadata, Ref, RetrieveParams, Text
from billing_project.api.stripe.kinds import PRICE, PRODUCT
from billing_project.api.stripe.objects import Reference
from billing_project.api.stripe.pagination import in_range
from billing_project.api.stripe.price_terms import DefaultPriceParams
from billing_project.api.stripe.searching import ABSENT, SearchViewSet, flag, words
from billing_project.api.stripe.wire import Wire, timestamp
from core.ids import unspell
from subscriptions import services
from subscriptions.models import Price, Product

# An id goes into addresses as it is.
OWN_ID = r"[\w.:@-]+"
_UNSERVED: tuple[str, ...] = (
    "images",
    "marketing_features",
    "package_dimensions",
    "shippable",
    "statement_descriptor",
    "tax_code",
    "tax_details",
    "type",
    "url",
)


@PRODUCT.shaped
def shape_of_product(product: Product) -> Wire:
    return {
        "id": PRODUCT.id_of(product),
        "object": "product",
        "active": product.active,
        "created": timestamp(product.created_at),
        "default_price": _default_price(product),
        "description": product.description or None,
        "images": [],
        "marketing_features": [],
        "metadata": product.metadata,
        "name": product.name,
        "package_dimensions": None,
        "shippable": None,
        "statement_descriptor": None,
        "tax_code": None,
        "type": "service",
        "unit_label": product.unit_label or None,
        "updated": timestamp(product.updated_at),
        "url": None,
    }


def _default_price(product: Product) -> Reference | None:
    price = product.default_price
    return None if price is None else Reference(PRICE, PRICE.id_of(price), lambda: _with_product(price, product))


def _with_product(price: Price, product: Product) -> Price:
    price.product = product
    return price


class ProductUpdateParams(RetrieveParams):
    name = Text(250)
    description = Text(40_000, clearable="")
    unit_label = Text(40, clearable="")
    active = Flag()
    default_price = Ref(PRICE, clearable=None)
    metadata = Metadata()

    unserved: ClassVar[tuple[str, ...]] = _UNSERVED


class ProductParams(RetrieveParams):
    id = Text(255, pattern=OWN_ID)
    name = Text(250, required=True)
    description = Text(40_000, clearable="")
    unit_label = Text(40, clearable="")
    active = Flag()
    default_price_data = DefaultPriceParams()
    metadata = Metadata()

    # A product that does not exist yet has no price to name.
    unserved: ClassVar[tuple[str, ...]] = (*_UNSERVED, "default_price")


class ProductListParams(CreatedListParams):
    active = Flag()
    ids = Array(Text(255), most=100)

    unserved = ("shippable", "url")


class ProductViewSet(SearchViewSet[Product]):
    kind = PRODUCT
    read_scope = Scope.PRODUCTS_READ
    write_scope = Scope.PRODUCTS_WRITE
    searchable = {
        "active": flag("active"),
        "description": words("description"),
        "name": words("name"),
        "shippable": ABSENT,
        "url": ABSENT,
    }

    def list(self, request: Request) -> Response:
        params = self.validated(ProductListParams)
        products = self.get_queryset().filter(**in_range(params))
        if "active" in params:
            products = products.filter(active=params["active"])
        if "ids" in params:
            pks = [unspell(PRODUCT.prefix, text) for text in params["ids"]]
            named = self.get_queryset().filter(slug__in=params["ids"]).exclude(slug="")
            products = products.filter(slug="", pk__in=[pk for pk in pks if pk]) | products.filter(pk__in=named)
        return self.listed(products, params)

    def create(self, request: Request) -> Response:
        params = self.validated(ProductParams)
        slug, price_data = params.pop("id", ""), params.pop("default_price_data", None)
        product = services.create_product(environment=self.environment, now=self.now, slug=slug, **params)
        if price_data is not None:
            price = services.create_price(environment=self.environment, product=product, now=self.now, **price_data)
            product = services.update_product(product=product, now=self.now, default_price=price)
        return self.respond(product)

    def update(self, request: Request, pk: str) -> Response:
        params = self.validated(ProductUpdateParams)
        return self.respond(services.update_product(product=self.row(pk), now=self.now, **params))

    def destroy(self, request: Request, pk: str) -> Response:
        self.validated(RetrieveParams)
        product = self.row(pk)
        identifier = PRODUCT.id_of(product)
        services.delete_product(product=product, now=self.now)
        return Response({"id": identifier, "object": "product", "deleted": True})
