"""/v1/billing/credit_reservations: ours. Credit is put aside before it is used, in Stripe's grammar."""

from datetime import timedelta

from django.db.models import QuerySet
from django.utils import timezone
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Customer, Scope
from billing_project.api.stripe.credit_grants import AmountParams, amount_said, shape_of_amount_of
from billing_project.api.stripe.customers import PRESENT_CUSTOMER, customer_reference, test_clock_of
from billing_project.api.stripe.errors import missing
from billing_project.api.stripe.fields import (
    Choice,
    Flag,
    Integer,
    ListParams,
    Metadata,
    QuickRef,
    Ref,
    RetrieveParams,
)
from billing_project.api.stripe.kinds import CREDIT_RESERVATION, CUSTOMER
from billing_project.api.stripe.viewsets import StripeViewSet
from billing_project.api.stripe.wire import Wire, timestamp, timestamp_or_none
from core.ids import unspell
from credits import services
from credits.errors import CreditReservationCurrencyMismatch
from credits.models import CreditReservation
from credits.services import DEFAULT_DURATION, LONGEST_DURATION

_SECOND = timedelta(seconds=1)


@CREDIT_RESERVATION.completed
def complete(reservations: QuerySet[CreditReservation]) -> QuerySet[CreditReservation]:
    return reservations.select_related("customer__test_clock", "own_currency")


@CREDIT_RESERVATION.shaped
def shape_of_reservation(reservation: CreditReservation) -> Wire:
    # That its time is over shows at once; the job that books it comes later.
    state = reservation.state(reservation.customer.now(timezone.now()))
    lapsed = reservation.reserved if state == CreditReservation.Status.EXPIRED else 0
    return {
        "id": CREDIT_RESERVATION.id_of(reservation),
        "object": "billing.credit_reservation",
        "amount": shape_of_amount_of(reservation, reservation.amount),
        "amount_committed": shape_of_amount_of(reservation, reservation.committed),
        "amount_released": shape_of_amount_of(reservation, reservation.released + lapsed),
        "amount_reserved": shape_of_amount_of(reservation, reservation.reserved - lapsed),
        "created": timestamp(reservation.created_at),
        "customer": customer_reference(reservation.customer),
        "ended_at": timestamp_or_none(reservation.expires_at if lapsed else reservation.ended_at),
        "expires_at": timestamp(reservation.expires_at),
        "metadata": reservation.metadata,
        "status": state.value,
        "test_clock": test_clock_of(reservation.customer),
        "updated": timestamp(reservation.updated_at),
    }


def _present(customers: QuerySet[Customer]) -> QuerySet[Customer]:
    return customers.filter(deleted_at=None)


class ReservationParams(RetrieveParams):
    customer = QuickRef(CUSTOMER, PRESENT_CUSTOMER, among=_present, required=True)
    amount = AmountParams(required=True)
    expires_after = Integer(least=1, most=LONGEST_DURATION // _SECOND, default=DEFAULT_DURATION // _SECOND)
    metadata = Metadata()


class CommitParams(RetrieveParams):
    amount = AmountParams()
    keep_remainder = Flag(default=False)


class ReservationListParams(ListParams):
    customer = Ref(CUSTOMER)
    status = Choice(*CreditReservation.Status.values)


class CreditReservationViewSet(StripeViewSet[CreditReservation]):
    kind = CREDIT_RESERVATION
    read_scope = Scope.CREDITS_READ
    write_scope = Scope.CREDITS_WRITE
    brief_actions = ("create", "commit", "release")

    def list(self, request: Request) -> Response:
        params = self.validated(ReservationListParams)
        reservations = CreditReservation.objects.of(self.environment)
        if "status" in params:
            reservations = reservations.in_state(params["status"], self.now)
        if "customer" in params:
            reservations = reservations.filter(customer=params["customer"])
        return self.listed(complete(reservations), params)

    def create(self, request: Request) -> Response:
        params = self.validated(ReservationParams)
        currency, amount = amount_said(params["amount"])
        reservation = services.reserve_credit(
            environment=self.environment,
            customer=params["customer"],
            currency=currency,
            amount=amount,
            duration=params["expires_after"] * _SECOND,
            metadata=params.get("metadata"),
            now=params["customer"].now(self.now),
        )
        return self.respond(reservation)

    @action(methods=["post"], detail=True)
    def commit(self, request: Request, pk: str) -> Response:
        params = self.validated(CommitParams)
        reservation = self._found(pk)
        amount = None
        if "amount" in params:
            currency, amount = amount_said(params["amount"])
            if currency != (reservation.own_currency or reservation.currency):
                raise CreditReservationCurrencyMismatch
        return self.respond(
            services.commit_reservation(
                reservation=reservation,
                amount=amount,
                keeps_rest=params["keep_remainder"],
                now=reservation.customer.now(self.now),
            )
        )

    @action(methods=["post"], detail=True)
    def release(self, request: Request, pk: str) -> Response:
        self.validated(RetrieveParams)
        reservation = self._found(pk)
        now = reservation.customer.now(self.now)
        return self.respond(services.release_reservation(reservation=reservation, now=now))

    def _found(self, pk: str) -> CreditReservation:
        """As :meth:`row`, by a statement that is composed once: a program waits for what comes of it."""
        named = unspell(CREDIT_RESERVATION.prefix, pk)
        found = services.find_reservation(environment=self.environment, pk=named) if named else None
        if found is None:
            raise missing(CREDIT_RESERVATION.noun, pk, param=CREDIT_RESERVATION.param)
        return found
