"""Messages to webhook endpoints, as Stripe's SDKs take them apart: ``stripe.Webhook.construct_event``."""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime

from billing_project.api.stripe.events import shape_of_event
from billing_project.api.stripe.kinds import EVENT
from billing_project.api.stripe.objects import write
from billing_project.api.stripe.wire import encode, timestamp
from webhooks.models import Event

_USER_AGENT = "Tollbook/1.0 (webhooks)"


class StripeMessenger:
    def body(self, event: Event) -> bytes:
        environment = event.environment
        completed = EVENT.complete(environment).get(pk=event.pk)
        return encode(write(shape_of_event(completed), {}, livemode=environment.is_live)).encode()

    def headers(self, body: bytes, *, secrets: Sequence[str], at: datetime) -> Mapping[str, str]:
        sent_at = timestamp(at)
        signatures = [f"v1={_signature(body, secret, sent_at)}" for secret in secrets]
        return {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": _USER_AGENT,
            "Stripe-Signature": ",".join([f"t={sent_at}", *signatures]),
        }


def _signature(body: bytes, secret: str, sent_at: int) -> str:
    return hmac.new(secret.encode(), f"{sent_at}.".encode() + body, hashlib.sha256).hexdigest()
