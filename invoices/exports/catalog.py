"""Customers and the catalog, with the columns that the console imports: what is taken can be edited and brought back."""

from collections.abc import Iterator, Sequence

from accounts.models import Customer, Environment
from core.ids import spell
from core.spreadsheets import Cell, main_units
from subscriptions.models import Price, Product

_CHUNK = 2_000


def customer_rows(environment: Environment) -> Iterator[Sequence[Cell]]:
    rows = Customer.objects.filter(environment=environment, deleted_at=None).order_by("created_at", "pk")
    for row in rows.values_list("pk", "email", "name", "phone", "description").iterator(chunk_size=_CHUNK):
        yield spell("cus", row[0]), *row[1:]


def product_rows(environment: Environment) -> Iterator[Sequence[Cell]]:
    rows = Product.objects.of(environment).order_by("created_at", "pk")
    names = ("pk", "slug", "name", "description", "unit_label", "active")
    for pk, slug, name, description, unit_label, active in rows.values_list(*names).iterator(chunk_size=_CHUNK):
        yield slug or spell("prod", pk), name, description, unit_label, active


def price_rows(environment: Environment) -> Iterator[Sequence[Cell]]:
    """Prices of one amount that have a lookup key, for tiers are more than a row, and without the key none is found again."""
    rows = Price.objects.of(environment).filter(deleted_at=None, tiers_mode="", divide_by=None).exclude(lookup_key="")
    # fmt: off
    names = ("lookup_key", "product_id", "product__slug", "currency", "unit_amount", "interval", "interval_count",
             "meter__event_name", "nickname", "active")
    # fmt: on
    for key, product, slug, currency, amount, interval, count, meter, nickname, active in (
        rows.order_by("created_at", "pk").values_list(*names).iterator(chunk_size=_CHUNK)
    ):
        unit_price = main_units(amount, currency).normalize()
        yield (
            key,
            slug or spell("prod", product),
            currency,
            unit_price,
            interval,
            count if interval else None,
            meter,
            nickname,
            active,
        )
