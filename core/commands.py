"""What commands read from their lines."""

from argparse import ArgumentTypeError
from datetime import UTC, datetime


def instant(text: str) -> datetime:
    """An ISO 8601 time; UTC unless it has an offset.

    :raises ArgumentTypeError: if it is none
    """
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no ISO 8601 time") from None
    return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)
