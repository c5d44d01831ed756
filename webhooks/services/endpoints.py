"""Endpoints are opened, changed and closed, and sent events once more."""

import re
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import transaction

from core.errors import NotFound
from core.metadata import MetadataChange
from webhooks.addresses import read_url
from webhooks.errors import EventNotForEndpoint, EventTypeInvalid
from webhooks.models import Delivery, Event, WebhookEndpoint
from webhooks.models.endpoints import EVERYTHING
from webhooks.services.queueing import PATIENCE

if TYPE_CHECKING:
    from accounts.models import Environment

# For as long after a roll, messages are signed with the secret before, too.
SECRET_OVERLAP = timedelta(hours=24)
_TYPE = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)+")
Status = WebhookEndpoint.Status


def create_endpoint(
    *,
    environment: "Environment",
    url: str,
    enabled_events: Sequence[str],
    now: datetime,
    description: str = "",
    metadata: MetadataChange | None = None,
) -> WebhookEndpoint:
    """Have events posted to an address from now on.

    :param enabled_events: types of events; ``*`` alone for all
    :raises WebhookUrlInvalid: if messages cannot, or must not, be sent there
    :raises EventTypeInvalid: if that is no list of types
    :raises TooManyMetadataKeys: if the metadata has more than 50 keys
    """
    _check_url(url, environment)
    return WebhookEndpoint.objects.create(
        environment=environment,
        url=url,
        enabled_events=_checked_types(enabled_events),
        description=description,
        metadata=(metadata or MetadataChange()).applied_to({}),
        secret=_new_secret(),
        created_at=now,
    )


@transaction.atomic
def update_endpoint(
    *,
    endpoint: WebhookEndpoint,
    url: str | None = None,
    enabled_events: Sequence[str] | None = None,
    description: str | None = None,
    disabled: bool | None = None,
    metadata: MetadataChange | None = None,
) -> WebhookEndpoint:
    """Change what is given, leave the rest. What waits to be sent goes to the new address.

    :param disabled: nothing is sent to a disabled endpoint, and what happens meanwhile never will be; what waited is sent
        when it is enabled again, if it is not too old by then
    :raises NotFound: if the endpoint was deleted
    :raises WebhookUrlInvalid: :raises EventTypeInvalid: :raises TooManyMetadataKeys: what they say
    """
    endpoint = _locked(endpoint)
    if url is not None:
        _check_url(url, endpoint.environment)
        endpoint.url = url
    if enabled_events is not None:
        endpoint.enabled_events = _checked_types(enabled_events)
    if description is not None:
        endpoint.description = description
    if metadata is not None:
        endpoint.metadata = metadata.applied_to(endpoint.metadata)
    if disabled is not None:
        endpoint.status = Status.DISABLED if disabled else Status.ENABLED
        endpoint.disabled_because = ""
    if url is not None or disabled is False:
        # A fresh start: what failed for the old address, or before the pause, says nothing of the new.
        endpoint.failing_since = endpoint.resumes_at = None
    endpoint.save(
        update_fields=[
            "url",
            "enabled_events",
            "description",
            "metadata",
            "status",
            "disabled_because",
            "failing_since",
            "resumes_at",
        ]
    )
    return endpoint


@transaction.atomic
def roll_secret(*, endpoint: WebhookEndpoint, now: datetime) -> WebhookEndpoint:
    """Give an endpoint a new secret. For a day messages are signed with both, so that none is refused meanwhile.

    :raises NotFound: if the endpoint was deleted
    """
    endpoint = _locked(endpoint)
    endpoint.previous_secret, endpoint.secret = endpoint.secret, _new_secret()
    endpoint.previous_secret_until = now + SECRET_OVERLAP
    endpoint.save(update_fields=["secret", "previous_secret", "previous_secret_until"])
    return endpoint


@transaction.atomic
def delete_endpoint(*, endpoint: WebhookEndpoint, now: datetime) -> None:
    """Close an endpoint for good. What waited for it is never sent.

    :raises NotFound: if that was done before
    """
    endpoint = _locked(endpoint)
    endpoint.deleted_at = now
    endpoint.save(update_fields=["deleted_at"])
    endpoint.deliveries.pending().update(state=Delivery.State.FAILED)


@transaction.atomic
def resend_event(*, event: Event, endpoint: WebhookEndpoint, now: datetime) -> Delivery:
    """Send an event to an endpoint once more, or for the first time, out of turn.

    :param now: the wall's time
    :raises NotFound: if the endpoint is not the event's environment's, or was deleted
    :raises EventNotForEndpoint: if it is disabled
    """
    endpoint = _locked(endpoint)
    if endpoint.environment_id != event.environment_id:
        raise NotFound("webhook endpoint", str(endpoint.pk))
    if endpoint.status == Status.DISABLED:
        raise EventNotForEndpoint
    delivery, _ = Delivery.objects.update_or_create(
        endpoint=endpoint,
        event=event,
        defaults={
            "environment_id": event.environment_id,
            "state": Delivery.State.PENDING,
            "attempts": 0,
            "is_resent": True,
            "due_at": now,
            "gives_up_at": now + PATIENCE,
        },
    )
    # It need not wait for one that failed and holds the others.
    endpoint.resumes_at = None
    endpoint.save(update_fields=["resumes_at"])
    return delivery


def _locked(endpoint: WebhookEndpoint) -> WebhookEndpoint:
    # no_key: recording an event refers to the endpoint, and need not wait.
    present = WebhookEndpoint.objects.present().select_related("environment")
    locked = present.select_for_update(of=("self",), no_key=True).filter(pk=endpoint.pk).first()
    if locked is None:
        raise NotFound("webhook endpoint", str(endpoint.pk))
    return locked


def _check_url(url: str, environment: "Environment") -> None:
    allow_private = settings.WEBHOOKS_ALLOW_PRIVATE
    read_url(url, must_be_secure=environment.is_live and not allow_private, allow_private=allow_private)


def _checked_types(names: Sequence[str]) -> list[str]:
    distinct = list(dict.fromkeys(names))
    if distinct == [EVERYTHING]:
        return distinct
    for name in distinct:
        if not _TYPE.fullmatch(name):
            raise EventTypeInvalid(name)
    if not distinct:
        raise EventTypeInvalid("")
    return distinct


def _new_secret() -> str:
    return f"whsec_{secrets.token_hex(32)}"
