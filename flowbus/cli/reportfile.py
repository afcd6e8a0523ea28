"""Where ``--report`` goes: never half a report, and no surprise at the end of a long run."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson


class ReportFile:
    """A file that will be replaced as a whole; a device or pipe is written to as it is."""

    def __init__(self, name: str) -> None:
        """Raise OSError where it could not be written."""
        self.path = Path(name)
        self._stream: int | None = None
        if not _is_plain(self.path):
            self._stream = _open_stream(self.path)  # kept: a reader would take its end for ours
            return
        self.path = self.path.resolve()  # a symbolic link stays one
        descriptor, temporary = self._temporary()
        os.close(descriptor)
        Path(temporary).unlink()

    def write(self, report: Mapping[str, Any]) -> None:
        """Write the report; OSError where that fails, and then the old file is still whole."""
        data = orjson.dumps(report, default=repr, option=orjson.OPT_INDENT_2) + b"\n"
        if self._stream is not None:
            with os.fdopen(self._stream, "wb") as stream:
                stream.write(data)
            return
        descriptor, temporary = self._temporary()
        try:
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(descriptor, _mode(self.path))
                file.write(data)
                file.flush()
                os.fsync(descriptor)
            Path(temporary).replace(self.path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
            raise

    def _temporary(self) -> tuple[int, str]:
        return tempfile.mkstemp(prefix=f".{self.path.name}.", suffix=".tmp", dir=self.path.parent)


def _open_stream(path: Path) -> int:
    # Not blocking: a pipe that nobody reads is an error, not a wait.
    descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    os.set_blocking(descriptor, True)
    return descriptor


def _is_plain(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return True
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(21, "it is a directory", str(path))
    if stat.S_ISREG(mode) and not os.access(path, os.W_OK):
        raise PermissionError(13, "it is write-protected", str(path))
    return stat.S_ISREG(mode)


def _mode(path: Path) -> int:
    """Return the mode of the file that is replaced, or that of a new one."""
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask
