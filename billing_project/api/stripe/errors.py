"""How refusals are said: one table from the domain's errors to status, code and parameter, and the envelope."""

import logging
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

import msgspec
from django.http import HttpRequest, HttpResponse
from msgspec import UNSET, Meta, UnsetType

from accounts import errors as accounts
from billing_project.api.common.database import is_passing
from billing_project.api.stripe import kinds
from billing_project.api.stripe.wire import (
    API_ERROR,
    IDEMPOTENCY_ERROR,
    SESSION_EXPIRED,
    StripeError,
    Wire,
    clipped,
    encode,
    json_response,
    request_id,
)
from core import metadata
from core.errors import BillingError, NotFound
from credits import errors as credits_
from invoices import errors as invoices
from meters import errors as meters
from subscriptions import errors as subscriptions
from usage import errors as usage
from webhooks import errors as webhooks

logger = logging.getLogger(__name__)

Saying = Callable[[Any], StripeError]

_RETRY_AFTER_SECONDS = 1


def _refused(code: str = "", param: str = "", *, status: int = 400) -> Saying:
    """What the state of things does not allow: the domain's own words with Stripe's code and parameter."""
    return lambda error: StripeError(str(error), status=status, code=code, param=param, begun=True)


def _invalid(code: str = "", param: str = "") -> Saying:
    """What no state of things would allow: a check of the parameters, only made further down."""
    return lambda error: StripeError(str(error), code=code, param=param)


def _masked(secret: str) -> str:
    """Enough of a key to recognize it by."""
    kind, shown = 8, 4
    if len(secret) <= kind + 2 * shown:
        return "*" * len(secret)
    return secret[:kind] + "*" * min(len(secret) - kind - shown, 32) + secret[-shown:]


def _unknown_key(error: accounts.ApiKeyUnknown) -> StripeError:
    return StripeError(f"Invalid API Key provided: {_masked(error.secret)}", status=401)


def _expired_key(error: accounts.ApiKeyExpired) -> StripeError:
    return StripeError(f"Expired API Key provided: {_masked(error.secret)}", status=401, code="api_key_expired")


def _unknown_session(error: accounts.SessionUnknown) -> StripeError:
    return StripeError(f"Invalid session token provided: {_masked(error.secret)}", status=401)


def _expired_session(error: accounts.SessionExpired) -> StripeError:
    code = "billing_meter_event_session_expired"
    return StripeError(str(error), status=401, kind=SESSION_EXPIRED, code=code)


def _key_in_use(error: accounts.IdempotencyKeyInUse) -> StripeError:
    message = (
        f"There is currently another in-progress request using this Idempotency Key: '{clipped(error.key)}'. "
        "Try again once it has been answered."
    )
    return StripeError(message, status=409, kind=IDEMPOTENCY_ERROR, code="idempotency_key_in_use")


def _key_reused(error: accounts.IdempotencyKeyReused | usage.RetryKeyReused) -> StripeError:
    message = (
        "Keys for idempotent requests can only be used with the same parameters they were first used with. "
        f"Try using a key other than '{clipped(error.key)}' if you meant to execute a different request."
    )
    return StripeError(message, kind=IDEMPOTENCY_ERROR)


def _not_found(error: NotFound) -> StripeError:
    kind = kinds.BY_NOUN.get(error.kind)
    identifier = error.identifier
    if kind is not None:
        with suppress(ValueError):  # Named by what the caller sent, it is said back as it came.
            identifier = kind.spell(UUID(error.identifier))
    return missing(error.kind, identifier, param=kind.param if kind else "id", begun=True)


def _customer_deleted(error: accounts.CustomerDeleted) -> StripeError:
    return missing("customer", kinds.CUSTOMER.spell(error.customer_id), param="id", begun=True)


def _event_payload(error: Any) -> StripeError:
    return StripeError(str(error), param=f"payload[{error.key}]")


def _item(error: subscriptions.ItemRefused) -> StripeError:
    return StripeError(str(error), param=f"items[{error.position}][price]", begun=True)


def _item_quantity(error: subscriptions.ItemRefused) -> StripeError:
    return StripeError(str(error), param=f"items[{error.position}][quantity]")


def _price_of_scope(error: credits_.CreditPriceNotMetered) -> StripeError:
    return StripeError(str(error), param=f"applicability_config[scope][prices][{error.position}][id]")


def _item_itself(error: subscriptions.ItemRepeated) -> StripeError:
    return StripeError(str(error), param=f"items[{error.position}][id]")


def _item_missing_price(error: subscriptions.PriceMissing) -> StripeError:
    return StripeError(str(error), code="parameter_missing", param=f"items[{error.position}][price]")


def _phase(param: str) -> Saying:
    return lambda error: StripeError(str(error), param=f"phases[{error.position}][{param}]", begun=True)


def _phase_content(error: subscriptions.PhaseContentRefused) -> StripeError:
    """What is wrong with a phase is said as it would be of a subscription, in the phase's place."""
    said = spoken(error.refusal) or StripeError(str(error))
    head, bracket, rest = said.param.partition("[")
    if head == "days_until_due":
        head = "invoice_settings][days_until_due"
    return StripeError(
        said.message,
        status=said.status,
        code=said.code,
        param=f"phases[{error.position}][{head}]{bracket}{rest}",
        begun=said.begun,
    )


def missing(noun: str, identifier: str, *, param: str, status: int = 404, begun: bool = False) -> StripeError:
    """There is no such object within the caller's walls."""
    message = f"No such {noun}: '{clipped(identifier)}'"
    return StripeError(message, status=status, code="resource_missing", param=param, begun=begun)


# A family stands here as a whole only where all its members are said alike.
TABLE: dict[type[BillingError], Saying] = {
    NotFound: _not_found,
    metadata.TooManyMetadataKeys: _invalid(param="metadata"),
    accounts.CompanyNameInvalid: _refused(param="name"),
    accounts.LogoRefused: _invalid(param="logo"),
    accounts.ApprovalRefused: _refused(),
    accounts.CompanyNameTaken: _refused("resource_already_exists", "name"),
    accounts.CompanyNotFound: _refused("resource_missing"),
    accounts.TimeZoneUnknown: _invalid(param="billing_zone"),
    accounts.OverdueDaysMissing: _invalid("parameter_missing", "overdue_days"),
    accounts.ScopesInvalid: _refused(param="scopes"),
    accounts.ApiKeyUnknown: _unknown_key,
    accounts.ApiKeyExpired: _expired_key,
    accounts.AddressNotAllowed: _refused(status=403),
    accounts.SessionUnknown: _unknown_session,
    accounts.SessionExpired: _expired_session,
    accounts.LicenseRequired: _refused("license_required", status=403),
    accounts.CustomerDeleted: _customer_deleted,
    accounts.ClocksOnlyInTest: _refused(),
    # Nothing was begun: the same call, with the same key, is right a moment later.
    accounts.ClockAdvancing: _invalid("test_clock_advancing"),
    accounts.ClockNotAhead: _refused(param="frozen_time"),
    accounts.TooManyCustomers: _refused(param="test_clock"),
    accounts.IdempotencyKeyInUse: _key_in_use,
    accounts.IdempotencyKeyReused: _key_reused,
    accounts.DidInvalid: _invalid(param="did"),
    accounts.DidTaken: _refused("resource_already_exists", "did"),
    meters.EventNameTaken: _refused("resource_already_exists", "event_name"),
    meters.EventNameUsed: _refused("resource_already_exists", "event_name"),
    meters.CurrencyDecimalsInvalid: _invalid(param="decimals"),
    usage.NoActiveMeter: _refused(param="event_name"),
    usage.CustomerKeyMissing: _event_payload,
    usage.ValueMissing: _event_payload,
    usage.ValueInvalid: _event_payload,
    usage.ValueTooPrecise: _event_payload,
    usage.PayloadTextTooLong: _event_payload,
    usage.TextNotStorable: _event_payload,
    usage.TimestampTooOld: _refused(param="timestamp"),
    usage.TimestampInFuture: _refused(param="timestamp"),
    usage.TimestampNotStorable: _refused(param="timestamp"),
    usage.CustomerUnknown: _refused("resource_missing", "payload"),
    usage.EventExists: _refused("resource_already_exists", "identifier"),
    usage.RetryKeyReused: _key_reused,
    usage.ReportKeyUsed: _refused("resource_already_exists"),
    usage.DimensionReserved: _event_payload,
    usage.MeterNotNamed: _invalid("parameter_missing", "event_name"),
    usage.MeterNamedTwice: _invalid(param="event_name"),
    usage.TooManyEventsWaiting: _refused("rate_limit", status=429),
    usage.EventNotFound: _refused("resource_missing", "cancel[identifier]"),
    usage.CancellationTooLate: _refused(param="cancel[identifier]"),
    usage.EventsDropped: _refused(param="cancel[identifier]"),
    usage.ImportRefused: _refused(),
    # Until an operator has made the restored database ready; clients shall send again.
    usage.WatermarkFromAnotherCluster: lambda _: unavailable(),
    subscriptions.ProductHasPrices: _refused(param="id"),
    subscriptions.ProductIdTaken: _refused("resource_already_exists", "id"),
    subscriptions.CurrencyUnknown: _invalid(param="currency"),
    subscriptions.UnitAmountInvalid: _invalid(param="unit_amount_decimal"),
    subscriptions.UnitAmountMissing: _invalid("parameter_missing", "unit_amount"),
    subscriptions.UnitAmountNotAllowed: _invalid(param="unit_amount"),
    subscriptions.TiersMissing: _invalid("parameter_missing", "tiers"),
    subscriptions.TiersModeMissing: _invalid("parameter_missing", "tiers_mode"),
    subscriptions.TooManyTiers: _invalid(param="tiers"),
    subscriptions.TierInvalid: lambda error: StripeError(str(error), param=f"tiers[{error.position}]"),
    subscriptions.PackageInvalid: _invalid(param="transform_quantity"),
    subscriptions.PackageNotAllowed: _invalid(param="transform_quantity"),
    subscriptions.PlanNotRecurring: _invalid("parameter_missing", "interval"),
    subscriptions.PriceIdTaken: _refused("resource_already_exists", "id"),
    subscriptions.TaxBehaviorFixed: _refused(param="tax_behavior"),
    subscriptions.DefaultPriceInUse: _refused(param="active"),
    subscriptions.DefaultPriceUnusable: _refused(param="default_price"),
    subscriptions.CouponIdTaken: _refused("resource_already_exists", "id"),
    subscriptions.CouponReductionInvalid: _invalid(param="percent_off"),
    subscriptions.CouponCurrencyNotAllowed: _invalid(param="currency"),
    subscriptions.CouponDurationInvalid: _invalid(param="duration_in_months"),
    subscriptions.RedeemByInvalid: _refused(param="redeem_by"),
    subscriptions.CouponInvalid: _refused("coupon_expired", "coupon"),
    subscriptions.CouponCurrencyMismatch: _refused(param="coupon"),
    subscriptions.PromotionCodeTaken: _refused("resource_already_exists", "code"),
    subscriptions.PromotionOutlivesCoupon: lambda error: StripeError(str(error), param=error.limit, begun=True),
    subscriptions.MinimumNeedsCurrency: _invalid("parameter_missing", "restrictions[minimum_amount_currency]"),
    subscriptions.PromotionCodeRefused: _refused(param="promotion_code"),
    subscriptions.TooManyDiscounts: _invalid(param="discounts"),
    subscriptions.CustomerHasOneDiscount: _invalid("parameters_exclusive", "coupon"),
    subscriptions.DiscountForeign: _refused("resource_missing", "discounts"),
    subscriptions.TaxPercentageInvalid: _invalid(param="percentage"),
    subscriptions.TaxRateInactive: _refused(param="tax_rates"),
    subscriptions.TooManyTaxRates: _invalid(param="tax_rates"),
    subscriptions.IntervalInvalid: _invalid(param="recurring[interval_count]"),
    subscriptions.MeterMissing: _invalid("parameter_missing", "recurring[meter]"),
    subscriptions.MeterNotAllowed: _invalid(param="recurring[meter]"),
    subscriptions.MeterInactive: _refused(param="recurring[meter]"),
    subscriptions.MeteredPriceNotRecurring: _invalid("parameter_missing", "recurring"),
    subscriptions.LookupKeyTaken: _refused("resource_already_exists", "lookup_key"),
    subscriptions.ItemsMissing: _invalid("parameter_missing", "items"),
    subscriptions.TooManyItems: _invalid(param="items"),
    subscriptions.ItemRefused: _item,
    subscriptions.QuantityNotAllowed: _item_quantity,
    subscriptions.QuantityInvalid: _item_quantity,
    subscriptions.StatusMoveRefused: _refused(),
    subscriptions.ItemRepeated: _item_itself,
    subscriptions.PriceMissing: _item_missing_price,
    subscriptions.AnchorInTrial: _refused(param="billing_cycle_anchor"),
    subscriptions.PendingIntervalInvalid: _refused(param="pending_invoice_item_interval[interval_count]"),
    subscriptions.StartNotInPast: _refused(param="backdate_start_date"),
    subscriptions.AnchorInPast: _refused(param="billing_cycle_anchor"),
    subscriptions.AnchorTooFar: _refused(param="billing_cycle_anchor"),
    subscriptions.AnchorConfigNotAllowed: _invalid(param="billing_cycle_anchor_config"),
    subscriptions.TrialEndInPast: _refused(param="trial_end"),
    subscriptions.TooManySubscriptions: _refused(param="customer"),
    subscriptions.ResumesInPast: _refused(param="pause_collection[resumes_at]"),
    subscriptions.NotPaused: _refused(),
    subscriptions.CancelAtInPast: _refused(param="cancel_at"),
    subscriptions.CancellationsExclusive: _invalid("parameters_exclusive", "cancel_at"),
    subscriptions.DaysUntilDueMissing: _invalid("parameter_missing", "days_until_due"),
    subscriptions.DaysUntilDueNotAllowed: _invalid(param="days_until_due"),
    subscriptions.TooManyAddedItems: _invalid(param="add_invoice_items"),
    subscriptions.AddedItemRefused: lambda error: StripeError(
        str(error), param=f"add_invoice_items[{error.position}][price]", begun=True
    ),
    subscriptions.ScheduleOver: _refused(),
    subscriptions.SubscriptionScheduled: _refused(param="from_subscription"),
    subscriptions.CancellationScheduled: _refused(param="cancel_at"),
    subscriptions.PhasesMissing: _invalid("parameter_missing", "phases"),
    subscriptions.TooManyPhases: _invalid(param="phases"),
    subscriptions.PhaseStartMissing: _invalid("parameter_missing", "phases[0][start_date]"),
    subscriptions.PhaseStartFixed: _phase("start_date"),
    subscriptions.PhaseGap: _phase("start_date"),
    subscriptions.PhaseEndInvalid: _phase("end_date"),
    subscriptions.PhaseTrialInvalid: _phase("trial_end"),
    subscriptions.PhaseContentRefused: _phase_content,
    credits_.CreditAmountInvalid: _invalid(param="amount[monetary][value]"),
    credits_.CreditAmountTooLarge: _invalid(param="amount"),
    credits_.CreditCurrencyUnknown: _invalid(param="amount[monetary][currency]"),
    credits_.CreditScopeEmpty: _invalid("parameter_missing", "applicability_config[scope][prices]"),
    credits_.CreditPriceNotMetered: _price_of_scope,
    credits_.CreditExpiryInvalid: _refused(param="expires_at"),
    credits_.CreditGrantEnded: _refused(param="id"),
    credits_.CreditGrantInUse: _refused(param="id"),
    credits_.CreditGrantReserved: _refused(param="id"),
    credits_.CreditInsufficient: _refused("balance_insufficient", "amount"),
    credits_.CreditReservationEnded: _refused(param="id"),
    credits_.CreditReservationExceeded: _refused("amount_too_large", "amount"),
    credits_.CreditReservationCurrencyMismatch: _invalid(param="amount"),
    credits_.CreditReservationTooLong: _invalid(param="expires_after"),
    invoices.InvoiceNotDraft: _refused("invoice_not_editable"),
    invoices.InvoiceNotOpen: _refused("invoice_not_editable"),
    invoices.InvoicePartlySettled: _refused("invoice_not_editable"),
    invoices.InvoiceRevisedAlready: _refused("invoice_not_editable", "from_invoice[invoice]"),
    invoices.RevisedInvoiceSettled: _refused("invoice_not_editable"),
    invoices.PaymentAmountInvalid: _invalid(param="amount"),
    invoices.AmountNotWhole: _invalid(param="amount"),
    invoices.PaymentExceedsRemaining: _refused("amount_too_large", "amount"),
    invoices.PaymentInFuture: _refused(param="received_at"),
    invoices.PaymentNotReversible: _refused(),
    invoices.InvoiceCreditedSince: _refused(),
    invoices.RecipientMissing: _refused("customer_missing_email"),
    invoices.CreditNoteEmpty: _refused(param="amount"),
    invoices.CreditLineRefused: lambda error: StripeError(str(error), param=f"lines[{error.position}]", begun=True),
    invoices.CreditExceedsInvoice: _refused("amount_too_large", "amount"),
    invoices.CreditNoteSplitWrong: _refused(),
    invoices.CreditNoteNotVoidable: _refused(),
    invoices.NoUpcomingInvoice: _refused("invoice_upcoming_none"),
    invoices.AmountTooLarge: _refused("amount_too_large"),
    invoices.ItemCurrencyMismatch: _refused(param="currency"),
    invoices.ItemCustomerMismatch: _refused(param="customer"),
    invoices.ItemPriceRefused: _refused(param="price"),
    invoices.ItemOnFinalInvoice: _refused("invoice_not_editable"),
    invoices.ProrationNotEditable: _refused(param="amount"),
    invoices.DraftEditStale: _refused(),
    invoices.WhatIfRefused: _refused(),
    invoices.InvoiceNotDeletable: _refused("invoice_not_editable"),
    # Automatic recharges are set through another door.
    invoices.RechargePriceMissing: _refused(),
    invoices.RechargePriceRefused: _refused(),
    invoices.RechargeGivesNothing: _refused(),
    invoices.RechargeBoundsInvalid: _refused(),
    invoices.RechargeOutOfBounds: _refused(),
    invoices.ProrationDateOutsidePeriod: _refused(param="proration_date"),
    webhooks.WebhookUrlInvalid: _invalid("url_invalid", "url"),
    webhooks.EventTypeInvalid: _invalid(param="enabled_events"),
    webhooks.EventNotForEndpoint: _refused(param="webhook_endpoint"),
    # Of sending alone: no call is answered with it.
    webhooks.DestinationRefused: _refused(),
}


def saying_of(error: type[BillingError]) -> Saying | None:
    """The table's entry for an error: its own, or its family's."""
    return next((TABLE[family] for family in error.__mro__ if family in TABLE), None)


def spoken(error: Exception) -> StripeError | None:
    """An error in Stripe's words; None for what nobody foresaw."""
    if isinstance(error, StripeError):
        return error
    if isinstance(error, BillingError):
        saying = saying_of(type(error))
        return saying(error) if saying else None
    return None


def unavailable() -> StripeError:
    return StripeError("The service is not available for the moment.", status=503, kind=API_ERROR)


def unexpected() -> StripeError:
    return StripeError("Something went wrong on our side.", status=500, kind=API_ERROR, begun=True)


class Refusal(msgspec.Struct, omit_defaults=True, frozen=True):
    message: Annotated[str, Meta(description="What is wrong, for people.")]
    type: Annotated[str, Meta(description="`invalid_request_error`, `idempotency_error` or `api_error`.")]
    code: Annotated[str | UnsetType, Meta(description="What is wrong, for programs.")] = UNSET
    param: Annotated[str | UnsetType, Meta(description="The parameter at fault, as it is spelled on the wire.")] = UNSET


class ErrorEnvelope(msgspec.Struct, frozen=True):
    """Every refusal."""

    error: Refusal


def refusal_of(error: StripeError) -> Refusal:
    return Refusal(error.message, error.kind, error.code or UNSET, error.param or UNSET)


def envelope(error: StripeError) -> Wire:
    said: Wire = msgspec.to_builtins(ErrorEnvelope(refusal_of(error)))
    return said


def error_response(
    request: HttpRequest,
    error: Exception,
    *,
    speak: Callable[[Exception], StripeError | None] = spoken,
    envelope: Callable[[StripeError], Wire] = envelope,
) -> HttpResponse:
    """Answer a request with what went wrong; what nobody foresaw goes to the log with the request's id."""
    said = speak(error)
    if said is None and is_passing(error):
        # One line, since there will be many of them.
        logger.warning("%s: the database is not available: %s", request_id(request), str(error).strip())
        said = unavailable()
    if said is None:
        logger.error("%s: %s %s failed", request_id(request), request.method, request.path, exc_info=error)
        said = unexpected()
    response = json_response(encode(envelope(said)), said.status)
    if said.status == HTTPStatus.UNAUTHORIZED:
        response["WWW-Authenticate"] = 'Bearer realm="Tollbook"'
    elif said.status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}:
        response["Retry-After"] = str(_RETRY_AFTER_SECONDS)
    return response


def unrecognized(request: HttpRequest) -> StripeError:
    """No such address, or not with this method."""
    address = clipped(request.path)
    message = f"Unrecognized request URL ({request.method}: {address}). If you are trying to list objects, remove the trailing slash. If you are trying to retrieve an object, make sure you passed a valid (non-empty) identifier in your code."  # fmt: skip
    return StripeError(message, status=404, code="url_invalid")
