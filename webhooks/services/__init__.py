"""Every write to the outbox."""

from webhooks.services.pruning import EVENT_RETENTION, prune_events
from webhooks.services.recording import Before, record, record_report, take_snapshots

__all__ = ["EVENT_RETENTION", "Before", "prune_events", "record", "record_report", "take_snapshots"]
