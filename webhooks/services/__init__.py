"""Every write to the outbox."""

from webhooks.services.endpoints import (
    SECRET_OVERLAP,
    create_endpoint,
    delete_endpoint,
    resend_event,
    roll_secret,
    update_endpoint,
)
from webhooks.services.pruning import EVENT_RETENTION, prune_events
from webhooks.services.recording import Before, record, record_report, record_view, take_snapshots
from webhooks.services.sending import send_all, send_to_endpoint

__all__ = [
    "EVENT_RETENTION",
    "SECRET_OVERLAP",
    "Before",
    "create_endpoint",
    "delete_endpoint",
    "prune_events",
    "record",
    "record_report",
    "record_view",
    "resend_event",
    "roll_secret",
    "send_all",
    "send_to_endpoint",
    "take_snapshots",
    "update_endpoint",
]
