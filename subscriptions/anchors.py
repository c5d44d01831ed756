"""Where billing periods are counted from, if that is said by a day of the month."""

import calendar
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

_MONTHS = {"month": 1, "year": 12}
# A 29 February comes back after eight years at the latest.
_TRIES = 9 * 12


@dataclass(frozen=True, slots=True)
class AnchorConfig:
    """A day of the month, as in "on the 31st, at 9:00": in shorter months it is the last day.

    :ivar month: a month in which a period begins; of meaning where a period is longer than a month
    :ivar hour: this and the rest of the time: those of the instant that is counted from, if not given
    """

    day_of_month: int
    month: int | None = None
    hour: int | None = None
    minute: int | None = None
    second: int | None = None

    def anchor(self, after: datetime, interval: str, interval_count: int, zone: tzinfo | None = None) -> datetime:
        """An anchor whose boundaries lie on this day, the first one as soon as possible after an instant.

        It is a boundary in a month that has the day, so that it never clamps. That may be some periods from now: the
        first boundary is still the next one after the instant.

        :param zone: have boundaries be midnights of this zone, and days and months be those of its calendar
        :raises ValueError: if the interval is of days or weeks
        """
        if interval not in _MONTHS:
            raise ValueError("days and weeks have no day of the month")
        months = _MONTHS[interval] * interval_count
        local = after.astimezone(zone or UTC)
        first = local.year * 12 + local.month - 1
        while not self._begins_in(first, months) or self._in_month(first, local, zone) <= after:
            first += 1
        candidates = range(first, first + _TRIES * months, months)
        longest = next((month for month in candidates if _days(month) >= self.day_of_month), None)
        if longest is None:
            longest = max(candidates, key=_days)
        return self._in_month(longest, local, zone)

    def _begins_in(self, month: int, months: int) -> bool:
        # Where periods do not fit into years, a month can be meant only once for each.
        rhythm = months if 12 % months == 0 else 12
        return self.month is None or (month + 1 - self.month) % rhythm == 0

    def _in_month(self, month: int, local: datetime, zone: tzinfo | None) -> datetime:
        day = min(self.day_of_month, _days(month))
        at = local.replace(year=month // 12, month=month % 12 + 1, day=day, microsecond=0, fold=0)
        if zone is not None:
            return at.replace(hour=0, minute=0, second=0).astimezone(UTC)
        return at.replace(
            hour=at.hour if self.hour is None else self.hour,
            minute=at.minute if self.minute is None else self.minute,
            second=at.second if self.second is None else self.second,
        )


def _days(month: int) -> int:
    return calendar.monthrange(month // 12, month % 12 + 1)[1]
