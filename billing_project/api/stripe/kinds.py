"""The kinds of objects that have ids: how an id is spelled, and which rows it may name.

Their shapes are in the files named after the resources; each registers its own with :meth:`Kind.shaped`.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Generic, TypeAlias, TypeVar
from uuid import UUID

from django.db.models import Model, QuerySet

from accounts.models import Customer, Environment, TestClock
from billing_project.api.stripe.wire import Wire
from core.ids import spell, unspell
from credits.models import CreditGrant, CreditReservation, LedgerEntry
from invoices.models import (
    AutoRecharge,
    CreditNote,
    CreditNoteLine,
    CustomerBalanceTransaction,
    Invoice,
    InvoiceItem,
    InvoiceLine,
    Payment,
)
from meters.models import Currency, Meter
from subscriptions.models import (
    Coupon,
    Discount,
    Price,
    Product,
    PromotionCode,
    Subscription,
    SubscriptionItem,
    SubscriptionSchedule,
    TaxRate,
)
from webhooks.models import Event, WebhookEndpoint

M = TypeVar("M", bound=Model)
Shape = Callable[[M], Wire]
# Quoted: at run time a QuerySet takes no parameter.
Completion: TypeAlias = "Callable[[QuerySet[M]], QuerySet[M]]"

Bringing: TypeAlias = Callable[[Environment, Sequence[M]], AbstractContextManager[None]]


class Kind(Generic[M]):
    """A kind of object.

    :ivar noun: what it is called in "No such customer: 'cus_1'"
    :ivar param: what a missing id in an address is blamed on
    """

    def __init__(
        self, noun: str, prefix: str, rows: Callable[[Environment], QuerySet[M]], *, param: str = "id"
    ) -> None:
        self.noun = noun
        self.prefix = prefix
        self.rows = rows
        self.param = param
        self._shape: Shape[M] | None = None
        self._complete: Completion[M] = lambda rows: rows
        self._bring: Bringing[M] | None = None

    def completed(self, complete: "Completion[M]") -> "Completion[M]":
        """Decorate the function that makes rows bring what their shape needs, in as few queries as it takes."""
        self._complete = complete
        return complete

    def complete(self, environment: Environment) -> QuerySet[M]:
        """All rows of an environment, ready to be written."""
        return self._complete(self.rows(environment))

    def brought(self, bring: "Bringing[M]") -> "Bringing[M]":
        """Decorate the function that does the same for rows that are in memory, in as little time as it takes."""
        self._bring = bring
        return bring

    @contextmanager
    def bring(self, environment: Environment, rows: Sequence[M]) -> Iterator[Sequence[M]]:
        """Rows of an environment that are in memory as they are stored, ready to be written within."""
        if self._bring is None:
            found = {row.pk: row for row in self.complete(environment).filter(pk__in=[row.pk for row in rows])}
            yield [found[row.pk] for row in rows]
        else:
            with self._bring(environment, rows):
                yield rows

    def shaped(self, shape: Shape[M]) -> Shape[M]:
        """Decorate the function that writes an object of this kind."""
        self._shape = shape
        return shape

    def shape(self, row: M) -> Wire:
        if self._shape is None:
            raise LookupError(f"nothing says how a {self.noun} is written")
        return self._shape(row)

    def spell(self, pk: UUID) -> str:
        return spell(self.prefix, pk)

    def id_of(self, row: M) -> str:
        return self.spell(row.pk)

    def find(self, rows: QuerySet[M], text: str) -> M | None:
        """The row of that id among ``rows``, which are one environment's."""
        pk = unspell(self.prefix, text)
        # At most one, so "first" would order them for nothing.
        return None if pk is None else next(iter(rows.filter(pk=pk)), None)


class ProductKind(Kind[Product]):
    """Products may have ids of the caller's own choosing; such a product has no other."""

    def id_of(self, row: Product) -> str:
        return row.slug or self.spell(row.pk)

    def find(self, rows: QuerySet[Product], text: str) -> Product | None:
        # An address, unlike a parameter, may hold what PostgreSQL cannot.
        named = rows.filter(slug=text).first() if text and "\0" not in text else None
        return named or super().find(rows.filter(slug=""), text)


class CouponKind(Kind[Coupon]):
    """Coupons may have ids of the caller's own choosing; such a coupon has no other."""

    def id_of(self, row: Coupon) -> str:
        return row.slug or self.spell(row.pk)

    def find(self, rows: QuerySet[Coupon], text: str) -> Coupon | None:
        named = rows.filter(slug=text).first() if text and "\0" not in text else None
        return named or super().find(rows.filter(slug=""), text)


class PriceKind(Kind[Price]):
    """A price that was made as a plan is named as one, wherever it is looked at; it may have an id of the caller's own."""

    def id_of(self, row: Price) -> str:
        return row.slug or spell("plan" if row.is_plan else "price", row.pk)

    def find(self, rows: QuerySet[Price], text: str) -> Price | None:
        named = rows.filter(slug=text).first() if text and "\0" not in text else None
        if named is not None:
            return named
        for prefix, is_plan in (("price", False), ("plan", True)):
            pk = unspell(prefix, text)
            if pk is not None:
                return rows.filter(pk=pk, slug="", is_plan=is_plan).first()
        return None


def _prices(environment: Environment) -> QuerySet[Price]:
    return Price.objects.of(environment).present().select_related("product")


def _plans(environment: Environment) -> QuerySet[Price]:
    return _prices(environment).exclude(interval="")


def _items(environment: Environment) -> QuerySet[SubscriptionItem]:
    return SubscriptionItem.objects.present().filter(environment=environment).select_related("price__product")


def _lines(environment: Environment) -> QuerySet[InvoiceLine]:
    return InvoiceLine.objects.filter(environment=environment)


METER: Kind[Meter] = Kind("meter", "mtr", Meter.objects.of)
CUSTOMER: Kind[Customer] = Kind(
    "customer", "cus", lambda environment: Customer.objects.of(environment).select_related("test_clock")
)
TEST_CLOCK: Kind[TestClock] = Kind(
    "test clock", "clock", lambda environment: TestClock.objects.filter(environment=environment, deleted_at=None)
)
PRODUCT = ProductKind(
    "product", "prod", lambda environment: Product.objects.of(environment).select_related("default_price")
)
PRICE = PriceKind("price", "price", _prices, param="price")
# The same rows in older words.
PLAN = PriceKind("plan", "plan", _plans, param="plan")
COUPON = CouponKind(
    "coupon",
    "coupon",
    lambda environment: Coupon.objects.of(environment).present().prefetch_related("applies_to"),
    param="coupon",
)
PROMOTION_CODE: Kind[PromotionCode] = Kind(
    "promotion code",
    "promo",
    lambda environment: (
        PromotionCode.objects.of(environment)
        .select_related("coupon", "customer__test_clock")
        .prefetch_related("coupon__applies_to")
    ),
    param="promotion_code",
)
DISCOUNT: Kind[Discount] = Kind(
    "discount",
    "di",
    lambda environment: (
        Discount.objects.of(environment)
        # Those that a draft has used up are there as well: they may stay with it.
        .filter(removed_at=None)
        .select_related("coupon", "promotion_code__customer__test_clock", "customer__test_clock")
        .prefetch_related("coupon__applies_to")
    ),
)
TAX_RATE: Kind[TaxRate] = Kind("tax rate", "txr", TaxRate.objects.of, param="tax_rate")
SUBSCRIPTION: Kind[Subscription] = Kind("subscription", "sub", Subscription.objects.of)
SUBSCRIPTION_ITEM: Kind[SubscriptionItem] = Kind("subscription item", "si", _items)
SUBSCRIPTION_SCHEDULE: Kind[SubscriptionSchedule] = Kind(
    "subscription schedule", "sub_sched", SubscriptionSchedule.objects.of
)
INVOICE: Kind[Invoice] = Kind("invoice", "in", Invoice.objects.of)
EVENT: Kind[Event] = Kind("event", "evt", lambda environment: Event.objects.of(environment).snapshots())
CREDIT_GRANT: Kind[CreditGrant] = Kind("credit grant", "credgr", CreditGrant.objects.of)
CREDIT_TRANSACTION: Kind[LedgerEntry] = Kind("credit balance transaction", "cbtxn", LedgerEntry.objects.of)
CREDIT_RESERVATION: Kind[CreditReservation] = Kind("credit reservation", "credres", CreditReservation.objects.of)
# Told of by events alone.
AUTO_RECHARGE: Kind[AutoRecharge] = Kind("automatic recharge", "arc", AutoRecharge.objects.of)
# Named in amounts, and nowhere an object of its own.
CURRENCY: Kind[Currency] = Kind("custom pricing unit", "pcur", Currency.objects.of)
WEBHOOK_ENDPOINT: Kind[WebhookEndpoint] = Kind(
    "webhook endpoint", "we", lambda environment: WebhookEndpoint.objects.of(environment).present()
)
LINE: Kind[InvoiceLine] = Kind("line item", "il", _lines)
INVOICE_ITEM: Kind[InvoiceItem] = Kind(
    "invoice item", "ii", lambda environment: InvoiceItem.objects.of(environment).present()
)
CREDIT_NOTE: Kind[CreditNote] = Kind("credit note", "cn", CreditNote.objects.of)
CREDIT_NOTE_LINE: Kind[CreditNoteLine] = Kind(
    "credit note line item", "cnli", lambda environment: CreditNoteLine.objects.filter(environment=environment)
)
INVOICE_PAYMENT: Kind[Payment] = Kind(
    "invoice payment", "inpay", lambda environment: Payment.objects.of(environment).received()
)
BALANCE_TRANSACTION: Kind[CustomerBalanceTransaction] = Kind(
    "customer balance transaction", "cbtxn", CustomerBalanceTransaction.objects.of
)

# What a domain error calls by its noun and bare id, and a caller knows by its spelled one.
BY_NOUN = {
    kind.noun: kind
    for kind in (METER, CUSTOMER, PRODUCT, PRICE, SUBSCRIPTION, SUBSCRIPTION_ITEM, INVOICE, CREDIT_GRANT)
}
