"""The children's log files."""

import os
import shutil
from pathlib import Path
from typing import IO

# A file that has grown beyond it is put aside as `<name>.log.1`, over the one before.
LARGEST_BYTES = 20 * 1024 * 1024


class LogFile:
    """A file that a child writes to until it ends.

    The child holds it open for appending, so it can be emptied under the child's hands: the next line goes to the
    new end. Lines written between copy and emptying are lost, which a log may.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[bytes] = os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab")

    @property
    def file(self) -> IO[bytes]:
        return self._file

    def rotate(self) -> None:
        """Put the file aside if it has grown too large."""
        if self.path.stat().st_size > LARGEST_BYTES:
            shutil.copy2(self.path, self.path.with_suffix(".log.1"))
            os.truncate(self.path, 0)

    def last_lines(self, count: int) -> str:
        """The end of the file, for a message on the terminal."""
        with self.path.open("rb") as file:
            file.seek(max(0, self.path.stat().st_size - 16_384))
            lines = file.read().decode(errors="replace").splitlines()
        return "\n".join(lines[-count:])
