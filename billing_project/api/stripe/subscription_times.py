"""What a subscription's parameters say of time: trials, anchors, pauses, its end."""

from datetime import datetime
from typing import Any

from billing_project.api.stripe.changes import Anchor
from billing_project.api.stripe.fields import Choice, Flag, Integer, Params, RetrieveParams, Timestamp, exclusive
from billing_project.api.stripe.parsers import Value
from invoices import services
from subscriptions.anchors import AnchorConfig
from subscriptions.intervals import Every
from subscriptions.models import Interval, Subscription

# As nobody is charged here, all of these come to the same but one: with "default_incomplete" a subscription waits until
# its first invoice was paid.
PAYMENT_BEHAVIORS = ("allow_incomplete", "default_incomplete", "error_if_incomplete", "pending_if_incomplete")
NOW = "now"
_TERMS = {
    "backdate_start_date": "backdated_to",
    "billing_cycle_anchor": "anchor_at",
    "billing_cycle_anchor_config": "anchor_config",
    "cancel_at": "cancel_at",
    "cancel_at_period_end": "cancel_at_period_end",
    "pending_invoice_item_interval": "pending_every",
    "trial_end": "trial_end_at",
    "trial_period_days": "trial_days",
}


class TimestampOrNow(Timestamp):
    """Unix seconds, or the word for at once."""

    def to_internal_value(self, data: Value) -> Any:
        return NOW if data == NOW else super().to_internal_value(data)


class AnchorConfigParams(Params):
    day_of_month = Integer(least=1, most=31, required=True)
    month = Integer(least=1, most=12)
    hour = Integer(least=0, most=23)
    minute = Integer(least=0, most=59)
    second = Integer(least=0, most=59)

    def validate(self, attrs: dict[str, Any]) -> Any:
        return AnchorConfig(**attrs)


class TrialEndBehaviorParams(Params):
    missing_payment_method = Choice(*Subscription.TrialEnd.values, required=True)


class TrialSettingsParams(Params):
    end_behavior = TrialEndBehaviorParams(required=True)


class PauseCollectionParams(Params):
    """Of an update; unset, collection goes on."""

    behavior = Choice(*Subscription.PausedCollection.values, required=True)
    resumes_at = Timestamp()


class UsageThroughParams(Params):
    type = Choice("none", "now", required=True)


class UnusedFromParams(Params):
    type = Choice("none", "now", required=True)


class BillForParams(Params):
    outstanding_usage_through = UsageThroughParams()
    unused_time_from = UnusedFromParams()


class PauseParams(RetrieveParams):
    bill_for = BillForParams()
    # What is billed for a pause is invoiced at once, either way.
    invoicing_behavior = Choice("invoice", "pending_invoice_item")
    type = Choice("subscription")


class ResumeParams(RetrieveParams):
    billing_cycle_anchor = Anchor()
    proration_behavior = Choice("always_invoice", "create_prorations", "none")
    payment_behavior = Choice("resume_on_payment_attempt", "resume_on_payment_success")

    unserved = ("proration_date",)


class PendingIntervalParams(Params):
    """How often pending invoice items are invoiced; unset, with the subscription's periods alone."""

    interval = Choice(*Interval.values, required=True)
    interval_count = Integer(least=1, default=1)

    def validate(self, attrs: dict[str, Any]) -> Any:
        return Every(attrs["interval"], attrs["interval_count"])


class TimeChangeParams(Params):
    """What an update may say of time."""

    cancel_at = Timestamp(clearable=None)
    cancel_at_period_end = Flag()
    pause_collection = PauseCollectionParams(clearable=None)
    pending_invoice_item_interval = PendingIntervalParams(clearable=None)
    trial_end = TimestampOrNow()

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs.get("cancel_at_period_end"):
            exclusive(attrs, "cancel_at", "cancel_at_period_end")
        checked: dict[str, Any] = super().validate(attrs)
        return checked


def times_of(params: dict[str, Any]) -> dict[str, Any]:
    """Take what an update says of time out of its parameters."""
    names = ("cancel_at", "cancel_at_period_end", "pause_collection", "pending_invoice_item_interval", "trial_end")
    return {name: params.pop(name) for name in names if name in params}


def change_times(subscription: Subscription, params: dict[str, Any], *, now: datetime, prorate: bool) -> None:
    """Make the changes that an update asks for.

    :param params: of :func:`times_of`
    :param now: the customer's time
    """
    if "trial_end" in params:
        ends_at = None if params["trial_end"] == NOW else params["trial_end"]
        services.change_trial_end(subscription=subscription, now=now, ends_at=ends_at, prorate=prorate)
    if "cancel_at" in params or "cancel_at_period_end" in params:
        services.cancel_later(
            subscription=subscription,
            now=now,
            at=params.get("cancel_at"),
            at_period_end=params.get("cancel_at_period_end", False),
            prorate=prorate,
        )
    if "pending_invoice_item_interval" in params:
        every = params["pending_invoice_item_interval"]
        services.change_pending_interval(subscription=subscription, now=now, every=every)
    if "pause_collection" in params:
        pause = params["pause_collection"]
        if pause is None:
            services.collect_again(subscription=subscription, now=now)
        else:
            services.pause_collection(subscription=subscription, now=now, **pause)


def terms_of(params: dict[str, Any]) -> dict[str, Any]:
    """Of a new subscription's parameters those that speak of time, as its service knows them. Taken out of ``params``."""
    terms: dict[str, Any] = {}
    for name, known_as in _TERMS.items():
        if name in params:
            terms[known_as] = params.pop(name)
    # A trial that ends now is none.
    if terms.get("trial_end_at") == NOW:
        del terms["trial_end_at"]
    if "trial_settings" in params:
        terms["trial_end_behavior"] = params.pop("trial_settings")["end_behavior"]["missing_payment_method"]
    terms["incomplete"] = params.pop("payment_behavior", "") == "default_incomplete"
    params.pop("off_session", None)
    return terms
