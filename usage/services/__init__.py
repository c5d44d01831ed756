"""Every write to usage: taking events in, rolling them up, keeping the partitions."""

from usage.services.acceptance import UnknownCustomer, accept_events
from usage.services.adjustments import CANCELLATION_HOURS, cancel_event
from usage.services.claims import prune_retry_keys
from usage.services.imports import ImportResult, import_events
from usage.services.partitions import drop_partitions, ensure_partitions, maintain_partitions
from usage.services.rollup import RollUp, mark_dirty, recompute_dirty_hours, roll_up
from usage.services.streams import BatchKey, take_in_stream

__all__ = [
    "CANCELLATION_HOURS",
    "BatchKey",
    "ImportResult",
    "RollUp",
    "UnknownCustomer",
    "accept_events",
    "cancel_event",
    "drop_partitions",
    "ensure_partitions",
    "import_events",
    "maintain_partitions",
    "mark_dirty",
    "prune_retry_keys",
    "recompute_dirty_hours",
    "roll_up",
    "take_in_stream",
]
