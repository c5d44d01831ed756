"""Parameters of every read of usage: the range, its windows, and what is asked by further keys of the payload."""

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError

from billing_project.api.stripe.fields import Array, ParamMixin, Text
from billing_project.api.stripe.parsers import Value
from billing_project.api.stripe.wire import clipped
from core.periods import DAY, HOUR, Period

MOST_KEYS = 10
MOST_VALUES = 100
KEY_LENGTH = 100
# A year of hours; a read of more buckets than that helps nobody and holds up others.
MOST_BUCKETS = 10_000

_LENGTHS = {"hour": HOUR, "day": DAY, "week": 7 * DAY, "month": 28 * DAY}


class DimensionFilters(ParamMixin, serializers.Field[dict[str, list[str]], Value, dict[str, list[str]], Any]):
    """Keys, and the values of each that are kept: one, or an array of them."""

    def to_internal_value(self, data: Value) -> dict[str, list[str]]:
        if not isinstance(data, dict):
            raise ValidationError("Invalid hash")
        if len(data) > MOST_KEYS:
            raise ValidationError(f"At most {MOST_KEYS} keys are accepted")
        values = Array(Text(KEY_LENGTH, clearable=""), most=MOST_VALUES)
        filters = {}
        for key, value in data.items():
            if not key or len(key) > KEY_LENGTH:
                raise ValidationError(f"Invalid key: {clipped(key)}; must have 1 to {KEY_LENGTH} characters")
            try:
                filters[key] = (
                    [Text(KEY_LENGTH).run_validation(value)]
                    if isinstance(value, str)
                    else list(values.run_validation(value))
                )
            except ValidationError as error:
                raise ValidationError({key: error.detail}) from error
        return filters


def group_by_keys() -> Array:
    return Array(Text(KEY_LENGTH), most=MOST_KEYS)


class Zone(ParamMixin, serializers.Field[ZoneInfo, Value, ZoneInfo, Any]):
    """The IANA name of a time zone."""

    def to_internal_value(self, data: Value) -> ZoneInfo:
        name = Text(100).run_validation(data)
        try:
            return ZoneInfo(name)
        # A name may also lead to a folder, or out of all of them.
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValidationError(f"Invalid time zone: {clipped(name)}; must be an IANA name") from error


def check_range(start: datetime, end: datetime, *, step: timedelta, called: str, names: tuple[str, str]) -> Period:
    """The range as a period.

    :param step: what both ends must be aligned with, ``called`` that
    :param names: what the ends are called on the wire
    :raises ValidationError: if an end is not aligned, or the range is empty
    """
    for name, instant in zip(names, (start, end), strict=True):
        # The epoch is the start of a minute, an hour and a UTC day.
        if int(instant.timestamp()) % int(step.total_seconds()):
            raise ValidationError({name: [ErrorDetail(f"{name} must be aligned with the start of {called}.")]})
    if start >= end:
        raise ValidationError({names[1]: [ErrorDetail(f"{names[1]} must be after {names[0]}.")]})
    return Period(start, end)


def check_buckets(period: Period, window: str | None, *, series: int = 1) -> None:
    """:raises ValidationError: if the range has too many windows"""
    if window is not None and series * ((period.end - period.start) // _LENGTHS[window]) > MOST_BUCKETS:
        message = f"The range has more than {MOST_BUCKETS} buckets: take a longer window or a shorter range."
        raise ValidationError({"value_grouping_window": [ErrorDetail(message)]})
