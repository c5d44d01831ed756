"""/v1/test_helpers/test_clocks. The file cannot have the resource's whole name, or it would be taken for tests."""

import logging

from django.db import transaction
from kombu.exceptions import OperationalError
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.clocks import create_test_clock
from accounts.models import Scope, TestClock
from billing_project.api.stripe.fields import ListParams, RetrieveParams, Text, Timestamp
from billing_project.api.stripe.kinds import TEST_CLOCK
from billing_project.api.stripe.viewsets import StripeViewSet
from billing_project.api.stripe.wire import Wire, timestamp
from invoices import services, tasks

logger = logging.getLogger(__name__)


@TEST_CLOCK.shaped
def shape_of_test_clock(clock: TestClock) -> Wire:
    identifier = TEST_CLOCK.id_of(clock)
    if clock.deleted_at is not None:
        return {"id": identifier, "object": "test_helpers.test_clock", "deleted": True}
    details = {}
    if clock.status == TestClock.Status.ADVANCING and clock.target_at is not None:
        details["advancing"] = {"target_frozen_time": timestamp(clock.target_at)}
    return {
        "id": identifier,
        "object": "test_helpers.test_clock",
        "created": timestamp(clock.created_at),
        "deletes_after": timestamp(clock.deletes_at),
        "frozen_time": timestamp(clock.frozen_at),
        "name": clock.name or None,
        "status": clock.status,
        "status_details": details,
    }


class TestClockParams(RetrieveParams):
    frozen_time = Timestamp(required=True)
    name = Text(300)


class AdvanceParams(RetrieveParams):
    frozen_time = Timestamp(required=True)


class TestClockViewSet(StripeViewSet[TestClock]):
    kind = TEST_CLOCK
    read_scope = Scope.CUSTOMERS_READ
    write_scope = Scope.CUSTOMERS_WRITE

    def list(self, request: Request) -> Response:
        return self.listed(self.get_queryset(), self.validated(ListParams))

    def create(self, request: Request) -> Response:
        params = self.validated(TestClockParams)
        clock = create_test_clock(
            environment=self.environment,
            frozen_at=params["frozen_time"],
            now=self.now,
            name=params.get("name", ""),
        )
        return self.respond(clock)

    def destroy(self, request: Request, pk: str) -> Response:
        self.validated(RetrieveParams)
        return self.respond(services.delete_test_clock(clock=self.row(pk), now=self.now))

    @action(methods=["post"], detail=True)
    def advance(self, request: Request, pk: str) -> Response:
        params = self.validated(AdvanceParams)
        clock = services.advance_test_clock(clock=self.row(pk), target_at=params["frozen_time"])
        transaction.on_commit(_wake_a_worker)
        return self.respond(clock)


def _wake_a_worker() -> None:
    try:
        tasks.run_test_clocks.apply_async(expires=60, retry=False)
    except OperationalError:
        # The clock's row says what is to be done, and the beat asks for it every few seconds.
        logger.warning("no worker could be woken for a test clock")
