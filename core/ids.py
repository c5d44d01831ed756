"""One id per row, UUIDv7, and its spellings on the wire.

Stripe and Payment Kit spell an id as a prefix and 26 characters of base 32 (``mtr_06c3…``), which sort as the ids do.
LedgerBee spells the UUID.
"""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from uuid import UUID

from uuid_utils.compat import uuid7

# Crockford's alphabet in lower case: ascending in ASCII, so that spelled ids sort in order of creation.
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
# Python's own base 32 goes on with letters where Crockford leaves some out.
_TO_PYTHON = str.maketrans(_ALPHABET, "0123456789abcdefghijklmnopqrstuv")
_LENGTH = 26
# Two characters at a time, since each answer carries an id or two.
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
_SHIFTS = range(5 * (_LENGTH - 2), -1, -10)
# 26 characters hold 130 bits: a first character above "7" names no UUID.
_SPELLED = re.compile(f"[0-7][{_ALPHABET}]{{{_LENGTH - 1}}}")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_BITS_BELOW_THE_TIME = 80

__all__ = ["first_id", "made_at", "new_id", "read", "spell", "unspell"]


def new_id() -> UUID:
    """A fresh UUIDv7: ids made later sort later, to the millisecond."""
    return uuid7()


def first_id(instant: datetime) -> UUID:
    """Not greater than any id that is made from this instant on, and greater than those made a millisecond before."""
    return UUID(int=(instant - _EPOCH) // _MILLISECOND << _BITS_BELOW_THE_TIME)


def made_at(identifier: UUID) -> datetime:
    """When an id was made, to the millisecond."""
    return _EPOCH + (identifier.int >> _BITS_BELOW_THE_TIME) * _MILLISECOND


def spell(prefix: str, identifier: UUID) -> str:
    """Write an id as ``prefix_`` and 26 characters of base 32."""
    return f"{prefix}_{_in_base_32(identifier.int)}"


# Each answer and each event says the same few ids again and again.
@lru_cache(maxsize=4096)
def _in_base_32(number: int) -> str:
    return "".join([_PAIRS[(number >> shift) & 1023] for shift in _SHIFTS])


def unspell(prefix: str, text: str) -> UUID | None:
    """Read an id back; None when the text is no id of that prefix, so that callers answer "not found"."""
    head, separator, tail = text.rpartition("_")
    if head != prefix or not separator or _SPELLED.fullmatch(tail) is None:
        return None
    return UUID(int=int(tail.translate(_TO_PYTHON), 32))


def read(prefix: str, text: str) -> UUID | None:
    """Read an id in either spelling; None when the text is no such id."""
    found = unspell(prefix, text)
    if found is None:
        try:
            found = UUID(text)
        except ValueError:
            return None
        # Python reads braces and missing hyphens, too; one spelling is enough.
        if str(found) != text.lower():
            return None
    return found
