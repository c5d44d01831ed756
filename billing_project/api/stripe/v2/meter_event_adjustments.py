"""/v2/billing/meter_event_adjustments: the same cancellation as v1's, in v2's words."""

from typing import Annotated, Literal

import msgspec
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from accounts.models import Scope
from billing_project.api.stripe.authentication import open_door, require_scope
from billing_project.api.stripe.meter_event_adjustments import ADJUSTMENT
from billing_project.api.stripe.v2.wire import Body, answer_once, read_json, rfc3339
from billing_project.api.stripe.wire import StripeError, Wire
from usage import services

_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]


class CancelBody(Body, frozen=True):
    identifier: _Text | None = None


class AdjustmentBody(Body, frozen=True):
    event_name: _Text
    type: Literal["cancel"]
    cancel: CancelBody | None = None


_DECODER = msgspec.json.Decoder(AdjustmentBody)


def create_adjustment(request: HttpRequest) -> HttpResponse:
    key = open_door(request)
    require_scope(key, Scope.METER_REPORT)
    body = read_json(request, _DECODER)
    identifier = body.cancel.identifier if body.cancel else None
    if identifier is None:
        raise StripeError("cancel.identifier says which event to cancel.", code="invalid_cancel_configuration")

    def cancel() -> Wire:
        with transaction.atomic():
            adjustment = services.cancel_event(
                environment=key.environment, identifier=identifier, event_name=body.event_name, now=timezone.now()
            )
            return {
                "id": ADJUSTMENT.id_of(adjustment),
                "object": "v2.billing.meter_event_adjustment",
                "cancel": {"identifier": adjustment.identifier},
                "created": rfc3339(adjustment.created_at),
                "event_name": body.event_name,
                "livemode": key.environment.is_live,
                "status": "complete",
                "type": "cancel",
            }

    return answer_once(request, key, body, cancel)
