"""/v1/billing/meter_event_adjustments: taking an event back within 24 hours of its receipt."""

from django.db.models import QuerySet
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Environment, Scope
from billing_project.api.stripe.fields import Choice, Params, RetrieveParams, Text
from billing_project.api.stripe.kinds import Kind
from billing_project.api.stripe.viewsets import StripeViewSet
from billing_project.api.stripe.wire import Wire
from usage import services
from usage.models import EventAdjustment


def _adjustments(environment: Environment) -> QuerySet[EventAdjustment]:
    return EventAdjustment.objects.filter(environment=environment).select_related("meter")


ADJUSTMENT: Kind[EventAdjustment] = Kind("meter event adjustment", "mead", _adjustments)


@ADJUSTMENT.shaped
def shape_of_adjustment(adjustment: EventAdjustment) -> Wire:
    return {
        "object": "billing.meter_event_adjustment",
        "cancel": {"identifier": adjustment.identifier},
        "event_name": adjustment.meter.event_name,
        # From the moment of the answer no read counts the event.
        "status": "complete",
        "type": "cancel",
    }


class CancelParams(Params):
    identifier = Text(100, required=True)


class AdjustmentParams(RetrieveParams):
    event_name = Text(100, required=True)
    type = Choice("cancel", required=True)
    # Optional to Stripe's specification; but without it there is nothing to cancel.
    cancel = CancelParams(required=True)


class MeterEventAdjustmentViewSet(StripeViewSet[EventAdjustment]):
    kind = ADJUSTMENT
    read_scope = Scope.USAGE_READ
    write_scope = Scope.METER_REPORT

    def create(self, request: Request) -> Response:
        params = self.validated(AdjustmentParams)
        adjustment = services.cancel_event(
            environment=self.environment,
            identifier=params["cancel"]["identifier"],
            event_name=params["event_name"],
            now=self.now,
        )
        return self.respond(adjustment)
