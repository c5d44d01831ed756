"""Metadata: the caller's own keys and values on an object, and how an update changes them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from core.errors import BillingError

MAX_KEYS = 50


class TooManyMetadataKeys(BillingError):
    """More keys than one object may carry, counted after the update was merged in."""

    def __init__(self, count: int) -> None:
        self.count = count
        super().__init__(f"metadata can have at most {MAX_KEYS} keys, not {count}")


@dataclass(frozen=True, slots=True)
class MetadataChange:
    """An update that leaves alone what it does not name.

    ``entries`` are set, or removed where the value is None; ``clear`` first removes all that was there.
    """

    entries: Mapping[str, str | None] = field(default_factory=dict)
    clear: bool = False

    def applied_to(self, current: Mapping[str, str]) -> dict[str, str]:
        """The metadata after the update.

        :raises TooManyMetadataKeys: if more than 50 keys would remain
        """
        merged = {} if self.clear else dict(current)
        for key, value in self.entries.items():
            if value is None:
                merged.pop(key, None)
            else:
                merged[key] = value
        if len(merged) > MAX_KEYS:
            raise TooManyMetadataKeys(len(merged))
        return merged
