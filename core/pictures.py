"""What a picture's first bytes say of it. It is decoded nowhere here: a small file can unfold to any size."""

import struct
from dataclasses import dataclass
from typing import Literal

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
# Those with the picture's size in them; the codes between mean something else.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


@dataclass(frozen=True, slots=True)
class Picture:
    """
    :ivar width: pixels
    :ivar height: pixels
    """

    format: Literal["png", "jpg"]
    width: int
    height: int


def look_at(image: bytes) -> Picture | None:
    """Format and size of a PNG or JPEG; None for anything else."""
    try:
        if image.startswith(_PNG) and image[12:16] == b"IHDR":
            return Picture("png", *struct.unpack(">II", image[16:24]))
        if image.startswith(_JPEG):
            return _jpeg(image)
    except (struct.error, IndexError):
        pass  # It ends within its head.
    return None


def _jpeg(image: bytes) -> Picture | None:
    at = 2
    while image[at] == 0xFF:  # noqa: PLR2004 (what a segment begins with)
        code = image[at + 1]
        (length,) = struct.unpack(">H", image[at + 2 : at + 4])
        if code in _FRAMES:
            height, width = struct.unpack(">HH", image[at + 5 : at + 9])
            return Picture("jpg", width, height)
        at += 2 + length
    return None
