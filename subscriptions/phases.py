"""When the phases of a schedule begin and end. No ORM, no clock."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from core.periods import Interval, Period, boundary, floor_midnight, next_index
from subscriptions.errors import PhaseEndInvalid, PhaseGap, PhaseTrialInvalid

_SOONEST = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Length:
    """So many days, weeks, months or years."""

    interval: Interval
    count: int


@dataclass(frozen=True, slots=True)
class Outline:
    """What is said of a phase's time.

    :ivar start_at: where it begins, if that is said: where the one before it ends
    :ivar end_at: where it ends, if that is said; else ``length`` says it, or the start of the one after it
    :ivar recurs: how often its prices are billed, which is also how long it is where nothing says so
    :ivar is_trial: all of it is a trial; else ``trial_end_at`` says until when it is one
    :ivar resets_anchor: boundaries count from its start
    """

    recurs: Length
    start_at: datetime | None = None
    end_at: datetime | None = None
    length: Length | None = None
    is_trial: bool = False
    trial_end_at: datetime | None = None
    resets_anchor: bool = False


@dataclass(frozen=True, slots=True)
class Span:
    """When a phase is."""

    period: Period
    trial_end_at: datetime | None


def lay_out(
    outlines: Sequence[Outline],
    *,
    start_at: datetime,
    anchor_at: datetime,
    recurs: Length | None = None,
    zone: ZoneInfo | None = None,
) -> list[Span]:
    """Lay phases out one after another.

    Months are counted from where the subscription's own boundaries are counted, so that a phase of three months ends with
    the third billing period, be it one that began on a 31st.

    :param start_at: where the first one begins
    :param anchor_at: where the subscription's boundaries count from then
    :param recurs: how often it was billed before; None if it begins with these
    :param zone: where boundaries are midnights, if they are
    :raises PhaseGap: :raises PhaseEndInvalid: :raises PhaseTrialInvalid: what they say
    """
    spans: list[Span] = []
    for position, outline in enumerate(outlines):
        if outline.start_at not in {None, start_at}:
            raise PhaseGap(position)
        if outline.resets_anchor or recurs not in {None, outline.recurs}:
            anchor_at = start_at
        recurs = outline.recurs
        following = outlines[position + 1].start_at if position + 1 < len(outlines) else None
        end_at = _end(outline, following, start_at, anchor_at, zone)
        if end_at <= start_at:
            raise PhaseEndInvalid(position)
        trial_end_at = end_at if outline.is_trial else outline.trial_end_at
        if trial_end_at is not None:
            if not start_at < trial_end_at <= end_at or outline.resets_anchor:
                raise PhaseTrialInvalid(position)
            anchor_at = trial_end_at
        spans.append(Span(Period(start_at, end_at), trial_end_at))
        start_at = end_at
    return spans


def _end(
    outline: Outline, following: datetime | None, start_at: datetime, anchor_at: datetime, zone: ZoneInfo | None
) -> datetime:
    if outline.end_at is not None:
        return outline.end_at
    if outline.length is None and following is not None:
        return following
    return _after(start_at, outline.length or outline.recurs, anchor_at, zone)


def _after(start_at: datetime, length: Length, anchor_at: datetime, zone: ZoneInfo | None) -> datetime:
    """Where a length ends that begins at an instant: on a boundary, if it begins on one."""
    index = next_index(anchor_at, length.interval, 1, start_at - _SOONEST, zone)
    if zone is not None and boundary(anchor_at, length.interval, 1, index, zone) != start_at:
        # A first period begins on its day, and not at midnight.
        index -= 1
        is_aligned = boundary(anchor_at, length.interval, 1, index, zone) == floor_midnight(start_at, zone)
    else:
        is_aligned = boundary(anchor_at, length.interval, 1, index, zone) == start_at
    if is_aligned:
        return boundary(anchor_at, length.interval, 1, index + length.count, zone)
    return boundary(start_at, length.interval, 1, length.count, zone)
