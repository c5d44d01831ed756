"""How refusals are said below ``/v2``: always with a code, and with a type only where clients look for one."""

from typing import Annotated

import msgspec
from django.http import HttpRequest, HttpResponse
from msgspec import UNSET, Meta, UnsetType

from billing_project.api.stripe import errors as v1
from billing_project.api.stripe.wire import INVALID_REQUEST, StripeError, Wire
from core.errors import BillingError
from usage import errors as usage

# The codes of Stripe's reference, where they are other ones than below /v1.
CODES: dict[type[BillingError], str] = {
    usage.NoActiveMeter: "no_meter",
    usage.MeterClosed: "archived_meter",
    usage.EventExists: "duplicate_meter_event",
    usage.CustomerKeyMissing: "payload_no_customer_defined",
    usage.ValueMissing: "payload_no_value_defined",
    usage.ValueInvalid: "payload_invalid_value",
    usage.ValueTooPrecise: "payload_invalid_value",
    usage.PayloadTextTooLong: "payload_invalid_value",
    usage.TextNotStorable: "payload_invalid_value",
    usage.TimestampTooOld: "timestamp_too_far_in_past",
    usage.TimestampNotStorable: "timestamp_too_far_in_past",
    usage.TimestampInFuture: "timestamp_in_future",
    usage.AdjustmentRefused: "invalid_cancel_configuration",
}
_BY_STATUS = {
    400: "invalid_request",
    401: "unauthenticated",
    403: "forbidden",
    404: "not_found",
    409: "conflict",
    429: "rate_limit",
    503: "unavailable",
}


def code_of(error: Exception) -> str:
    """The code by which v2 knows a refusal of the domain; empty where it is the same as v1's."""
    return next((CODES[family] for family in type(error).__mro__ if family in CODES), "")


def spoken(error: Exception) -> StripeError | None:
    """An error in Stripe's words; None for what nobody foresaw."""
    said = v1.spoken(error)
    if said is not None:
        said.code = code_of(error) or said.code
    return said


class RefusalByV2(msgspec.Struct, omit_defaults=True, frozen=True):
    code: Annotated[str, Meta(description="What is wrong, for programs.")]
    message: Annotated[str, Meta(description="What is wrong, for people.")]
    type: Annotated[str | UnsetType, Meta(description="Where it is not the request that is at fault.")] = UNSET


class ErrorEnvelopeByV2(msgspec.Struct, frozen=True):
    """Every refusal below `/v2`."""

    error: RefusalByV2


def envelope(error: StripeError) -> Wire:
    code = error.code or _BY_STATUS.get(error.status, "internal_error")
    kind = error.kind if error.kind != INVALID_REQUEST else UNSET
    said: Wire = msgspec.to_builtins(ErrorEnvelopeByV2(RefusalByV2(code, error.message, kind)))
    return said


def error_response(request: HttpRequest, error: Exception) -> HttpResponse:
    """Answer a request below ``/v2`` with what went wrong."""
    return v1.error_response(request, error, speak=spoken, envelope=envelope)
