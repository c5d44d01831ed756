"""Meters, kept in memory for half a second (see :mod:`core.caches`)."""

from collections.abc import Collection, Mapping
from uuid import UUID

from core.caches import BriefCache
from meters.models import Meter

MeterKey = tuple[UUID, str]


def _read_by_id(meters: Collection[tuple[UUID, UUID]]) -> Mapping[tuple[UUID, UUID], Meter]:
    found = Meter.objects.filter(
        environment__in={environment for environment, _ in meters}, pk__in={pk for _, pk in meters}
    )
    wanted = set(meters)
    return {key: meter for meter in found if (key := (meter.environment_id, meter.pk)) in wanted}


def _read_active(meters: Collection[MeterKey]) -> Mapping[MeterKey, Meter]:
    found = Meter.objects.active().filter(
        environment__in={environment for environment, _ in meters}, event_name__in={name for _, name in meters}
    )
    wanted = set(meters)
    return {key: meter for meter in found if (key := (meter.environment_id, meter.event_name)) in wanted}


# By environment and event name. Whoever takes one out does not change it.
active_meters: BriefCache[MeterKey, Meter] = BriefCache(_read_active, most=10_000)
# By environment and id, whatever their state.
meters_by_id: BriefCache[tuple[UUID, UUID], Meter] = BriefCache(_read_by_id, most=10_000)
