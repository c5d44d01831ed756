"""/customers: by our id or by DID."""

from typing import Annotated, Any

from django.db.models import Q
from django.http import HttpResponse
from msgspec import Meta
from rest_framework.request import Request

from accounts import services
from accounts.dids import customers_with_did, find_or_create_customer, read_did
from accounts.models import Customer, CustomerQuerySet, Environment, Scope
from accounts.services import CustomerFields
from billing_project.api.paymentkit.authentication import require_scope
from billing_project.api.paymentkit.viewsets import PaymentKitViewSet
from billing_project.api.paymentkit.wire import Instant, PaymentKitError, Shape, instant_text, json_response, missing
from core.ids import read, spell

NOUN = "Customer"
_LENGTHS = {"name": 256, "email": 512, "phone": 40}


class CustomerShape(Shape, frozen=True):
    id: str
    object: str
    did: Annotated[str | None, Meta(description="Null for customers that no DID is known of.")]
    livemode: bool
    name: str
    email: str
    phone: str
    description: str
    address: dict[str, Any] | None
    metadata: dict[str, str]
    delinquent: bool
    created_at: Instant
    updated_at: Instant


def shape_of_customer(customer: Customer, *, livemode: bool) -> CustomerShape:
    return CustomerShape(
        id=id_of_customer(customer),
        object="customer",
        did=customer.did or None,
        livemode=livemode,
        name=customer.name,
        email=customer.email,
        phone=customer.phone,
        description=customer.description,
        address=customer.address,
        metadata=customer.metadata,
        delinquent=False,
        created_at=instant_text(customer.created_at),
        updated_at=instant_text(customer.created_at),
    )


def id_of_customer(customer: Customer) -> str:
    return spell("cus", customer.pk)


def find_customer(environment: Environment, text: str) -> Customer | None:
    """The customer of an id or a DID, if there is one."""
    pk = read("cus", text)
    if pk is not None:
        found = Customer.objects.of(environment).present().filter(pk=pk)
    elif did := read_did(text):
        found = customers_with_did(environment, did)
    else:
        return None
    return found.select_related("test_clock").first()


def named_customer(environment: Environment, text: str) -> Customer:
    """The customer that a body or a query names.

    :raises PaymentKitError: if there is none
    """
    found = find_customer(environment, text)
    if found is None:
        raise no_such_customer(text)
    return found


def no_such_customer(text: str) -> PaymentKitError:
    """The refusal of a body or a query that names nobody."""
    return PaymentKitError(f"{NOUN} not found: {text[:100]}")


class CustomerViewSet(PaymentKitViewSet):
    read_scope = Scope.CUSTOMERS_READ
    write_scope = Scope.CUSTOMERS_WRITE

    def list(self, request: Request) -> HttpResponse:
        customers = self._rows()
        if did := self.query.text("did"):
            customers = customers.filter(did=read_did(did) or "-")
        return self._listed(customers)

    def search(self, request: Request) -> HttpResponse:
        customers = self._rows()
        if words := self.query.text("query") or self.query.text("q"):
            matches = Q(name__icontains=words) | Q(email__icontains=words) | Q(did=words)
            customers = customers.filter(matches)
        return self._listed(customers)

    def retrieve(self, request: Request, pk: str) -> HttpResponse:
        """A GET that may write: the client asks for a customer to be made in the body of it."""
        asked = self.body.flag("create") or self.query.flag("create")
        found = None if self.is_of_other_mode else find_customer(self.environment, pk)
        if found is None:
            if not asked or read("cus", pk) is not None or read_did(pk) is None:
                raise missing(NOUN, pk)
            if self.is_of_other_mode:
                raise self.wrong_mode()
            require_scope(self.key, Scope.CUSTOMERS_WRITE)
            found = find_or_create_customer(environment=self.environment, did=pk, now=self.now)
        return self._answer(found)

    def update(self, request: Request, pk: str) -> HttpResponse:
        customer = find_customer(self.environment, pk)
        if customer is None:
            raise missing(NOUN, pk)
        said, fields = self.body, CustomerFields()
        if said.says("name"):
            fields["name"] = said.text("name", most=_LENGTHS["name"], blank=True)
        if said.says("email"):
            fields["email"] = said.text("email", most=_LENGTHS["email"], blank=True)
        if said.says("phone"):
            fields["phone"] = said.text("phone", most=_LENGTHS["phone"], blank=True)
        if said.says("address"):
            fields["address"] = said.object("address")
        changed = services.update_customer(
            customer=customer, now=customer.now(self.now), metadata=said.texts("metadata"), **fields
        )
        return self._answer(changed)

    def _rows(self) -> CustomerQuerySet:
        return Customer.objects.of(self.environment).present().order_by("-created_at", "-pk")

    def _listed(self, customers: CustomerQuerySet) -> HttpResponse:
        livemode = self.environment.is_live
        return self.listed(customers, lambda rows: [shape_of_customer(row, livemode=livemode) for row in rows])

    def _answer(self, customer: Customer) -> HttpResponse:
        return json_response(shape_of_customer(customer, livemode=self.environment.is_live))
