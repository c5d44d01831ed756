"""/v1/customers."""

from typing import Any

from django.db.models import Prefetch, QuerySet
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import services as accounts
from accounts.models import Customer, Scope
from billing_project.api.stripe.fields import CreatedListParams, Integer, Metadata, Params, Ref, RetrieveParams, Text
from billing_project.api.stripe.kinds import CUSTOMER, TEST_CLOCK
from billing_project.api.stripe.objects import Reference
from billing_project.api.stripe.pagination import in_range
from billing_project.api.stripe.viewsets import StripeViewSet
from billing_project.api.stripe.wire import Wire, timestamp
from invoices import services as invoices
from invoices.models import CustomerBalance

_LARGEST_BALANCE = 10**12
_ADDRESS = ("city", "country", "line1", "line2", "postal_code", "state")


@CUSTOMER.shaped
def shape_of_customer(customer: Customer) -> Wire:
    if customer.deleted_at is not None:
        return {"id": CUSTOMER.id_of(customer), "object": "customer", "deleted": True}
    # Of several currencies, which Stripe's customers do not have, the first.
    balance = next(iter(customer.balances.all()), None)
    return {
        "id": CUSTOMER.id_of(customer),
        "object": "customer",
        "address": shape_of_address(customer),
        "balance": balance.amount if balance else 0,
        "created": timestamp(customer.created_at),
        "currency": balance.currency if balance else None,
        "customer_account": None,
        "default_source": None,
        "delinquent": False,
        "description": customer.description or None,
        "discount": None,
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
    return customers.prefetch_related(balances_of(""))


def balances_of(path: str) -> "Prefetch[Any]":
    """What a customer's shape reads beside its row, for rows that lead to the customer by a path."""
    return Prefetch(f"{path}balances", CustomerBalance.objects.order_by("pk"))


def shape_of_address(customer: Customer) -> Wire | None:
    return None if customer.address is None else {name: customer.address.get(name) for name in _ADDRESS}


def test_clock_of(customer: Customer) -> str | None:
    return TEST_CLOCK.spell(customer.test_clock_id) if customer.test_clock_id else None


def customer_reference(customer: Customer) -> Reference:
    return Reference(CUSTOMER, CUSTOMER.id_of(customer), lambda: customer)


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


class NewCustomerParams(CustomerParams):
    # Once it lives by a clock, or by the wall, it goes on so.
    test_clock = Ref(TEST_CLOCK)


class CustomerListParams(CreatedListParams):
    email = Text(512)
    test_clock = Ref(TEST_CLOCK)


class CustomerViewSet(StripeViewSet[Customer]):
    kind = CUSTOMER
    read_scope = Scope.CUSTOMERS_READ
    write_scope = Scope.CUSTOMERS_WRITE

    def list(self, request: Request) -> Response:
        params = self.validated(CustomerListParams)
        customers = self.get_queryset().filter(deleted_at=None, **in_range(params))
        # Those who live by a clock are listed only by it.
        customers = customers.filter(test_clock=params.get("test_clock"))
        if "email" in params:
            customers = customers.filter(email=params["email"])
        return self.listed(customers, params)

    def create(self, request: Request) -> Response:
        params = self.validated(NewCustomerParams)
        balance = params.pop("balance", None)
        customer = accounts.create_customer(environment=self.environment, now=self.now, **params)
        return self._with_balance(customer, balance)

    def update(self, request: Request, pk: str) -> Response:
        params = self.validated(CustomerParams)
        customer = self.present(pk)
        balance = params.pop("balance", None)
        customer = accounts.update_customer(customer=customer, now=customer.now(self.now), **params)
        return self._with_balance(customer, balance)

    def _with_balance(self, customer: Customer, amount: int | None) -> Response:
        if amount is not None:
            currency = invoices.currency_of(customer)
            invoices.set_balance(customer=customer, amount=amount, currency=currency, now=customer.now(self.now))
        return self.respond(self.row(CUSTOMER.id_of(customer)))

    def destroy(self, request: Request, pk: str) -> Response:
        self.validated(RetrieveParams)
        customer = self.present(pk)
        return self.respond(invoices.delete_customer(customer=customer, now=customer.now(self.now)))

    def present(self, pk: str) -> Customer:
        """The customer that an address names, unless it was deleted: then it can only be looked at."""
        return self.row(pk, among=self.get_queryset().filter(deleted_at=None))
