"""How refusals are said: one table from the domain's errors to status, code and details, and the envelope."""

import logging
import re
from collections.abc import Callable, Collection
from http import HTTPStatus
from typing import Annotated, Any

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from msgspec import UNSET, Meta, UnsetType

from accounts import errors as accounts
from accounts.models import License
from billing_project.api.common.database import is_passing
from billing_project.api.common.requests import BodyCutShort, BodyRefused, BodyTooLarge, request_uuid
from billing_project.api.ledgerbee.wire import (
    MOUNT,
    Instant,
    LedgerBeeError,
    Shape,
    instant_text,
    invalid,
    json_response,
)
from core import metadata
from core.errors import BillingError, NotFound
from meters import errors as meters
from usage import errors as usage

logger = logging.getLogger(__name__)

Saying = Callable[[Any], LedgerBeeError]

_RETRY_AFTER_SECONDS = 1
_WORD = re.compile(r"(?<=[a-z])(?=[A-Z])")


class ErrorEnvelope(Shape, kw_only=True, frozen=True):
    """Every refusal."""

    status_code: Annotated[int, Meta(description="As of the answer.")]
    timestamp: Instant
    path: Annotated[str, Meta(description="The address below `/api`, without the query.")]
    message: Annotated[str, Meta(description="For people. It may change.")]
    code: Annotated[str, Meta(description="For programs. It does not change.")]
    details: Annotated[
        dict[str, Any] | UnsetType,
        Meta(
            description="More about some codes: `validationErrors` with the `property` and the `constraints` that it "
            "breaks, `requiredScopes`, `licenseKey`, `reason`."
        ),
    ] = UNSET


def _rule(code: str, *, status: int = 400) -> Saying:
    """A rule of the business: the domain's own words under a code."""
    return lambda error: LedgerBeeError(str(error), status=status, code=code)


def _property(name: str, rule: str) -> Saying:
    """What is wrong with one property of the body, though only the domain could tell."""
    return lambda error: invalid({name: {rule: str(error)}})


def _invalid_key(_: BillingError) -> LedgerBeeError:
    return LedgerBeeError("Invalid API key", status=401, code="UNAUTHORIZED")


def _wrong_address(_: accounts.AddressNotAllowed) -> LedgerBeeError:
    details = {"reason": "ip_whitelist_mismatch"}
    return LedgerBeeError("Invalid API key", status=401, code="UNAUTHORIZED", details=details)


def _license(error: accounts.LicenseRequired) -> LedgerBeeError:
    name = License.Product(error.product).label
    message = f"Your company needs the license {name} for this."
    return LedgerBeeError(message, status=403, code="LICENSE.REQUIRED", details={"licenseKey": name})


def _not_found(error: NotFound) -> LedgerBeeError:
    return missing(error.kind)


def _dimension(error: usage.DimensionReserved) -> LedgerBeeError:
    return invalid({f"metadata.{error.key}": {"isNotReserved": str(error)}})


def _code_of(error: BillingError) -> LedgerBeeError:
    """A business rule whose type is its code: ``InvoiceNotDraft`` is ``INVOICE_NOT_DRAFT``."""
    return LedgerBeeError(str(error), code=_WORD.sub("_", type(error).__name__).upper())


def missing(noun: str) -> LedgerBeeError:
    """There is no such thing within the caller's walls."""
    words = noun.replace("_", " ")
    return LedgerBeeError(f"{words.capitalize()} not found", status=404, code=f"{noun.upper()}_NOT_FOUND")


# Whatever these apps refuse has its own line here, and of the accounts what keys, licenses and customers are refused
# for. The rest of the house is not written to through this door; what it might refuse is a rule of the business, which
# LedgerBee answers with 400 and a code (see _code_of).
APPS = ("core", "meters", "usage")

# A family stands here as a whole only where all its members are said alike.
TABLE: dict[type[BillingError], Saying] = {
    NotFound: _not_found,
    metadata.TooManyMetadataKeys: _property("metadata", "maxProperties"),
    accounts.ApiKeyUnknown: _invalid_key,
    accounts.ApiKeyExpired: _invalid_key,
    accounts.AddressNotAllowed: _wrong_address,
    accounts.SessionUnknown: _invalid_key,
    accounts.SessionExpired: _invalid_key,
    accounts.LicenseRequired: _license,
    accounts.CustomerDeleted: lambda _: missing("customer"),
    accounts.IdempotencyKeyInUse: _rule("IDEMPOTENCY_KEY_IN_USE", status=409),
    accounts.IdempotencyKeyReused: _rule("IDEMPOTENCY_KEY_REUSED"),
    meters.EventNameTaken: _rule("METER_NAME_TAKEN"),
    meters.EventNameUsed: _rule("METER_NAME_TAKEN"),
    meters.CurrencyDecimalsInvalid: _rule("CURRENCY_DECIMALS_INVALID"),
    usage.MeterNotNamed: _rule("METER_IDENTIFIER_REQUIRED"),
    usage.MeterNamedTwice: _rule("METER_IDENTIFIER_CONFLICT"),
    usage.NoActiveMeter: lambda _: missing("meter"),
    usage.MeterClosed: lambda _: LedgerBeeError(
        "The meter is archived and takes in no usage.", code="METER_NOT_ACTIVE"
    ),
    usage.CustomerUnknown: lambda _: missing("customer"),
    usage.CustomerKeyMissing: _property("customerId", "isNotEmpty"),
    usage.ValueMissing: _property("value", "isNumber"),
    usage.ValueInvalid: _property("value", "isNumber"),
    usage.ValueTooPrecise: _property("value", "isNumber"),
    # Of a report's texts only the value is not looked at before.
    usage.PayloadTextTooLong: _property("value", "isNumber"),
    usage.TextNotStorable: _property("value", "isNumber"),
    usage.DimensionReserved: _dimension,
    usage.TimestampTooOld: _property("timestamp", "minDate"),
    usage.TimestampNotStorable: _property("timestamp", "minDate"),
    usage.TimestampInFuture: _property("timestamp", "maxDate"),
    # The view says it with 200; it is no error here.
    usage.ReportKeyUsed: _rule("DUPLICATE_REPORT"),
    usage.EventExists: _rule("EVENT_EXISTS"),
    usage.RetryKeyReused: _rule("IDEMPOTENCY_KEY_REUSED"),
    usage.TooManyEventsWaiting: _rule("TOO_MANY_REQUESTS", status=429),
    usage.AdjustmentRefused: _code_of,
    usage.ImportRefused: _code_of,
    # Until an operator has made the restored database ready; clients shall send again.
    usage.WatermarkFromAnotherCluster: lambda _: unavailable(),
}


def saying_of(error: type[BillingError]) -> Saying:
    """The table's entry for an error, its own or its family's; a rule of the business for what it leaves out."""
    return next((TABLE[family] for family in error.__mro__ if family in TABLE), _code_of)


def spoken(error: Exception) -> LedgerBeeError | None:
    """An error in LedgerBee's words; None for what nobody foresaw."""
    if isinstance(error, LedgerBeeError):
        return error
    if isinstance(error, BillingError):
        return saying_of(type(error))(error)
    if isinstance(error, BodyTooLarge):
        return LedgerBeeError(str(error), status=413, code="PAYLOAD_TOO_LARGE")
    if isinstance(error, BodyRefused):
        rule = "isComplete" if isinstance(error, BodyCutShort) else "hasLength"
        return invalid({"": {rule: str(error)}})
    return None


def unavailable() -> LedgerBeeError:
    return LedgerBeeError("The service is not available for the moment.", status=503, code="SERVICE_UNAVAILABLE")


def unexpected() -> LedgerBeeError:
    return LedgerBeeError("Internal server error", status=500, code="INTERNAL_SERVER_ERROR")


def no_such_route(request: HttpRequest) -> LedgerBeeError:
    return LedgerBeeError(f"Cannot {request.method} {path_of(request)}", status=404, code="NOT_FOUND")


def wrong_method(request: HttpRequest, allowed: Collection[str]) -> LedgerBeeError:
    return LedgerBeeError(
        f"Cannot {request.method} {path_of(request)}",
        status=405,
        code="METHOD_NOT_ALLOWED",
        headers={"Allow": ", ".join(sorted(method.upper() for method in allowed))},
    )


def path_of(request: HttpRequest) -> str:
    return request.path.removeprefix(MOUNT)


def error_response(request: HttpRequest, error: Exception) -> HttpResponse:
    """Answer a request with what went wrong; what nobody foresaw goes to the log with the request's id."""
    said = spoken(error)
    if said is None and is_passing(error):
        # One line, since there will be many of them.
        logger.warning("%s: the database is not available: %s", request_uuid(request), str(error).strip())
        said = unavailable()
    if said is None:
        logger.error("%s: %s %s failed", request_uuid(request), request.method, request.path, exc_info=error)
        said = unexpected()
    envelope = ErrorEnvelope(
        status_code=said.status,
        timestamp=instant_text(timezone.now()),
        path=path_of(request),
        message=said.message,
        code=said.code,
        details=dict(said.details) if said.details else UNSET,
    )
    response = json_response(envelope, said.status)
    if said.status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}:
        response["Retry-After"] = str(_RETRY_AFTER_SECONDS)
    for name, value in said.headers.items():
        response[name] = value
    return response
