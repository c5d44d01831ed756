"""How refusals are said: the domain's own words in ``{"error": "…"}``, under few statuses."""

import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Any

from django.http import HttpRequest, HttpResponse
from msgspec import Meta

from accounts import errors as accounts
from billing_project.api.common.database import is_passing
from billing_project.api.common.requests import BodyRefused, request_uuid
from billing_project.api.paymentkit.wire import PaymentKitError, Shape, json_response, missing
from core.errors import BillingError, NotFound
from subscriptions import errors as subscriptions
from usage import errors as usage

logger = logging.getLogger(__name__)

Saying = Callable[[Any], PaymentKitError]

_RETRY_AFTER_SECONDS = 1


class Refusal(Shape, frozen=True):
    """Every refusal."""

    error: Annotated[str, Meta(description="What is wrong, for people.")]


def _own_words(error: BillingError) -> PaymentKitError:
    text = str(error)
    return PaymentKitError(text[:1].upper() + text[1:])


def _wrong_key(_: BillingError) -> PaymentKitError:
    return PaymentKitError("Invalid API key", status=401)


def _license(error: accounts.LicenseRequired) -> PaymentKitError:
    return PaymentKitError(f"Your company needs the license {error.product} for this.", status=403)


def _not_found(error: NotFound) -> PaymentKitError:
    return missing(error.kind.replace("_", " ").capitalize(), error.identifier)


# What is not 400 with the domain's own words: the clients look at nothing but the status and the text.
TABLE: dict[type[BillingError], Saying] = {
    NotFound: _not_found,
    # It is there to be read, and can be changed no more.
    subscriptions.SubscriptionEnded: lambda _: PaymentKitError("The subscription is over."),
    accounts.ApiKeyUnknown: _wrong_key,
    accounts.ApiKeyExpired: _wrong_key,
    accounts.AddressNotAllowed: _wrong_key,
    accounts.SessionUnknown: _wrong_key,
    accounts.SessionExpired: _wrong_key,
    accounts.LicenseRequired: _license,
    # The client sends again what fails with 5xx, and nothing else.
    usage.TooManyEventsWaiting: lambda _: unavailable(),
    usage.WatermarkFromAnotherCluster: lambda _: unavailable(),
}


def saying_of(error: type[BillingError]) -> Saying:
    """The table's entry for an error, its own or its family's; the error's own words for what it leaves out."""
    return next((TABLE[family] for family in error.__mro__ if family in TABLE), _own_words)


def spoken(error: Exception) -> PaymentKitError | None:
    """An error in Payment Kit's words; None for what nobody foresaw."""
    if isinstance(error, PaymentKitError):
        return error
    if isinstance(error, BillingError):
        return saying_of(type(error))(error)
    if isinstance(error, BodyRefused):
        return PaymentKitError(str(error))
    return None


def unavailable() -> PaymentKitError:
    return PaymentKitError("The service is not available for the moment.", status=503)


def unexpected() -> PaymentKitError:
    return PaymentKitError("Internal server error", status=500)


def no_such_address(request: HttpRequest) -> PaymentKitError:
    return PaymentKitError(f"Cannot {request.method} {request.path}", status=404)


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
    response = json_response(Refusal(said.message), said.status)
    if said.status == HTTPStatus.UNAUTHORIZED:
        response["WWW-Authenticate"] = 'Basic realm="Tollbook"'
    elif said.status == HTTPStatus.SERVICE_UNAVAILABLE:
        response["Retry-After"] = str(_RETRY_AFTER_SECONDS)
    return response
