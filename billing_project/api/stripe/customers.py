"""/v1/customers."""

from collections.abc import Mapping
from typing import Any

from django.db.models import Prefetch, QuerySet
from django.utils import timezone
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import services as accounts
from accounts.models import Customer, Scope
from billing_project.api.stripe.discounts import removed, with_all
from billing_project.api.stripe.fields import (
    Array,
    CreatedListParams,
    Integer,
    Metadata,
    Params,
    Ref,
    RetrieveParams,
    Text,
    exclusive,
)
from billing_project.api.stripe.kinds import COUPON, CUSTOMER, DISCOUNT, PROMOTION_CODE, TAX_RATE, TEST_CLOCK
from billing_project.api.stripe.objects import Embedded, Hidden, Reference, write
from billing_project.api.stripe.pagination import in_range
from billing_project.api.stripe.searching import Instant, SearchViewSet, whole, words
from billing_project.api.stripe.tax_rates import shape_of_tax_rate
from billing_project.api.stripe.wire import Wire, timestamp
from core.columns import Lookup
from invoices import services as invoices
from invoices.models import CustomerBalance
from subscriptions import services as subscriptions
from subscriptions.models import Discount, DiscountQuerySet
from subscriptions.services import NewDiscount
from subscriptions.services.taxes import MAX_TAX_RATES

_LARGEST_BALANCE = 10**12
# Of a customer, but kept beside it.
_BESIDE = ("balance", "coupon", "default_tax_rates", "promotion_code")
_ADDRESS = ("city", "country", "line1", "line2", "postal_code", "state")


@CUSTOMER.shaped
def shape_of_customer(customer: Customer) -> Wire:
    if customer.deleted_at is not None:
        return {"id": CUSTOMER.id_of(customer), "object": "customer", "deleted": True}
    # Of several currencies, which Stripe's customers do not have, the first.
    balance: CustomerBalance | None = next(iter(customer.balances.all()), None)
    return {
        "id": CUSTOMER.id_of(customer),
        "object": "customer",
        "address": shape_of_address(customer.address),
        "balance": balance.amount if balance else 0,
        "created": timestamp(customer.created_at),
        "currency": balance.currency if balance else None,
        "customer_account": None,
        "default_source": None,
        "default_tax_rates": Hidden(lambda: _tax_rates(customer)),
        "delinquent": False,
        "description": customer.description or None,
        "discount": _discount(customer),
        "email": customer.email or None,
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        "metadata": customer.metadata,
        "name": customer.name or None,
        "phone": customer.phone or None,
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": test_clock_of(customer),
    }


@CUSTOMER.completed
def complete(customers: QuerySet[Customer]) -> QuerySet[Customer]:
    return customers.prefetch_related(*beside(""))


def beside(path: str) -> "list[Prefetch[Any]]":
    """What a customer's shape reads beside its row, for rows that lead to the customer by a path."""
    return [
        Prefetch(f"{path}balances", CustomerBalance.objects.order_by("pk")),
        Prefetch(f"{path}discounts", _general(Discount.objects.all()), to_attr="general_discounts"),
    ]


def _general(discounts: DiscountQuerySet) -> QuerySet[Discount]:
    """Those that are taken off all that a customer is billed."""
    return with_all(discounts.general().in_place())


def _discounts_of(customer: Customer) -> list[Discount]:
    # A customer that is named in passing does not bring them.
    brought: list[Discount] | None = getattr(customer, "general_discounts", None)
    return list(_general(customer.discounts.all())) if brought is None else brought


def _discount(customer: Customer) -> Embedded | None:
    now = customer.now(timezone.now())
    running = next((one for one in _discounts_of(customer) if one.is_running(now)), None)
    return None if running is None else Embedded(DISCOUNT.shape, running)


def _tax_rates(customer: Customer) -> list[Wire]:
    livemode = customer.environment.is_live
    return [write(shape_of_tax_rate(one.tax_rate), {}, livemode=livemode) for one in customer.tax_rates.all()]


def shape_of_address(address: Mapping[str, str | None] | None) -> Wire | None:
    return None if address is None else {name: address.get(name) for name in _ADDRESS}


def test_clock_of(customer: Customer) -> str | None:
    return TEST_CLOCK.spell(customer.test_clock_id) if customer.test_clock_id else None


# Whom a call that programs wait for is about: who they are, and at which time they live.
QUICK_CUSTOMER = Lookup(Customer, "id", "environment", "test_clock")
PRESENT_CUSTOMER = Lookup(Customer, "id", "environment", "test_clock", only="deleted_at IS NULL")


def customer_reference(customer: Customer) -> Reference:
    """A customer that is named in passing, and so does not bring what its shape needs."""
    return Reference.among(CUSTOMER, customer.pk, lambda: CUSTOMER.complete(customer.environment))


class AddressParams(Params):
    city = Text(clearable=None)
    country = Text(clearable=None)
    line1 = Text(clearable=None)
    line2 = Text(clearable=None)
    postal_code = Text(clearable=None)
    state = Text(clearable=None)


class CustomerParams(RetrieveParams):
    """Of creation and update alike."""

    name = Text(256, clearable="")
    email = Text(512, clearable="")
    phone = Text(40, clearable="")
    description = Text(5000, clearable="")
    address = AddressParams(clearable=None)
    balance = Integer(least=-_LARGEST_BALANCE, most=_LARGEST_BALANCE)
    metadata = Metadata()
    # Stripe had these until 2025, and there is no other way to say it.
    coupon = Ref(COUPON, clearable=None)
    promotion_code = Ref(PROMOTION_CODE)
    # Ours: what is asked for all that has no rates of its own. Stripe leaves that to its own computation of taxes.
    default_tax_rates = Array(Ref(TAX_RATE), most=MAX_TAX_RATES, clearable=[])

    unserved = (
        "business_name",
        "cash_balance",
        "default_source",
        "individual_name",
        "invoice_prefix",
        "invoice_settings",
        "next_invoice_sequence",
        "payment_method",
        "preferred_locales",
        "shipping",
        "source",
        "tax",
        "tax_exempt",
        "tax_id_data",
        "validate",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        exclusive(attrs, "coupon", "promotion_code")
        return attrs


class NewCustomerParams(CustomerParams):
    # Once it lives by a clock, or by the wall, it goes on so.
    test_clock = Ref(TEST_CLOCK)


class CustomerListParams(CreatedListParams):
    email = Text(512)
    test_clock = Ref(TEST_CLOCK)


class CustomerViewSet(SearchViewSet[Customer]):
    kind = CUSTOMER
    read_scope = Scope.CUSTOMERS_READ
    write_scope = Scope.CUSTOMERS_WRITE
    searchable = {
        "created": Instant("created_at"),
        "email": whole("email"),
        "name": words("name"),
        "phone": whole("phone"),
    }

    def list(self, request: Request) -> Response:
        params = self.validated(CustomerListParams)
        customers = self.get_queryset().filter(deleted_at=None, **in_range(params))
        # Those who live by a clock are listed only by it.
        customers = customers.filter(test_clock=params.get("test_clock"))
        if "email" in params:
            customers = customers.filter(email=params["email"])
        return self.listed(customers, params)

    def searched(self) -> QuerySet[Customer]:
        return self.get_queryset().filter(deleted_at=None)

    def create(self, request: Request) -> Response:
        params = self.validated(NewCustomerParams)
        beside = {name: params.pop(name) for name in _BESIDE if name in params}
        customer = accounts.create_customer(environment=self.environment, now=self.now, **params)
        return self._with(customer, beside)

    def update(self, request: Request, pk: str) -> Response:
        params = self.validated(CustomerParams)
        customer = self.present(pk)
        beside = {name: params.pop(name) for name in _BESIDE if name in params}
        customer = accounts.update_customer(customer=customer, now=customer.now(self.now), **params)
        return self._with(customer, beside)

    def _with(self, customer: Customer, beside: dict[str, Any]) -> Response:
        """Answer with a customer, after what is kept beside it was written."""
        now = customer.now(self.now)
        balance = beside.pop("balance", None)
        if balance is not None:
            currency = invoices.currency_of(customer)
            invoices.set_balance(customer=customer, amount=balance, currency=currency, now=now)
        if "default_tax_rates" in beside:
            subscriptions.set_customer_tax_rates(customer=customer, tax_rates=beside.pop("default_tax_rates"))
        if beside:
            # An empty coupon takes the discount away.
            given = NewDiscount(**beside) if any(beside.values()) else None
            subscriptions.set_customer_discount(customer=customer, given=given, now=now)
        return self.respond(self.row(CUSTOMER.id_of(customer)))

    @action(methods=["delete"], detail=True)
    def discount(self, request: Request, pk: str) -> Response:
        """Take the customer's discount away."""
        self.validated(RetrieveParams)
        customer = self.present(pk)
        answer = removed(_discounts_of(customer))
        subscriptions.set_customer_discount(customer=customer, given=None, now=customer.now(self.now))
        return Response(answer)

    def destroy(self, request: Request, pk: str) -> Response:
        self.validated(RetrieveParams)
        customer = self.present(pk)
        return self.respond(invoices.delete_customer(customer=customer, now=customer.now(self.now)))

    def present(self, pk: str) -> Customer:
        """The customer that an address names, unless it was deleted: then it can only be looked at."""
        return self.row(pk, among=self.get_queryset().filter(deleted_at=None))
