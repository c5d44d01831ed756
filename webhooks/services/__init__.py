"""Every write to the outbox."""

from webhooks.services.recording import Before, record, record_report, take_snapshots

__all__ = ["Before", "record", "record_report", "take_snapshots"]
