"""Every write to usage: taking events in, rolling them up, putting right what is wrong, keeping the partitions."""

from usage.services.acceptance import UnknownCustomer, accept_events
from usage.services.adjustments import CANCELLATION_HOURS, cancel_event, notice_cancellations
from usage.services.backfills import add_backfill, carry_out_backfill, lines_of, make_room, outcomes_of
from usage.services.batching import accept_event, side_by_side
from usage.services.claims import prune_retry_keys
from usage.services.error_reports import report_rejections
from usage.services.identified import IdentifiedUsage, find_identified, take_in_identified
from usage.services.imports import ImportResult, import_events
from usage.services.partitions import drop_partitions, ensure_partitions, has_all_events, maintain_partitions
from usage.services.recount import recount, recount_sample, resolve_difference
from usage.services.rejections import prune_rejections
from usage.services.repair import Rebuilt, mark_dirty, rebuild_summaries, recompute_dirty_hours
from usage.services.reporting import Report, report_usage
from usage.services.restore import adopt_cluster
from usage.services.rollup import RollUp, roll_up
from usage.services.storing import BatchKey
from usage.services.streams import take_in_stream

__all__ = [
    "CANCELLATION_HOURS",
    "BatchKey",
    "IdentifiedUsage",
    "ImportResult",
    "Rebuilt",
    "Report",
    "RollUp",
    "UnknownCustomer",
    "accept_event",
    "accept_events",
    "add_backfill",
    "adopt_cluster",
    "cancel_event",
    "carry_out_backfill",
    "drop_partitions",
    "ensure_partitions",
    "find_identified",
    "has_all_events",
    "import_events",
    "lines_of",
    "maintain_partitions",
    "make_room",
    "mark_dirty",
    "notice_cancellations",
    "outcomes_of",
    "prune_rejections",
    "prune_retry_keys",
    "rebuild_summaries",
    "recompute_dirty_hours",
    "recount",
    "recount_sample",
    "report_rejections",
    "report_usage",
    "resolve_difference",
    "roll_up",
    "side_by_side",
    "take_in_identified",
    "take_in_stream",
]
