"""Keys that follow their file: who issues tokens changes its keys without asking who verifies them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from flowbus.errors import ConfigError
from flowbus.jwt.keys import Keys, load_keys
from flowbus.secrets import is_inline_key

if TYPE_CHECKING:
    from flowbus.jwt.options import JWT

#: What changes with a file: time of the last write, size, and which file it is.
Stamp = tuple[int, int, int]


class KeyFile:
    """The keys to verify by, read again once their file is another one.

    ``trouble`` says, for the end of a refusal, that the new file cannot be used; the keys from
    before count on. A file that is being written is complete at one of the next looks.
    """

    def __init__(self, jwt: JWT) -> None:
        self._jwt = jwt
        self._path = jwt.key if isinstance(jwt.key, str) and not is_inline_key(jwt.key) else None
        self._stamp = self._look()  # before the file is read: a change meanwhile is seen later
        self._keys = load_keys(jwt, "verify")
        self.trouble = ""

    def keys(self) -> Keys:
        """Return the keys of now; the look at the file costs about a microsecond."""
        if self._path is not None:
            stamp = self._look()
            if stamp != self._stamp:
                self._stamp = stamp
                self._renew()
        return self._keys

    def _look(self) -> Stamp | None:
        """Return the file's stamp, None where there is no file."""
        if self._path is None:
            return None
        try:
            found = os.stat(self._path)  # noqa: PTH116 - a Path would cost more than the look
        except (OSError, ValueError):
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _renew(self) -> None:
        try:
            self._keys = load_keys(self._jwt, "verify")
        except ConfigError as error:
            # The code alone: a refusal may be read by who is refused, and the text has the path.
            self.trouble = f"; the key file is a new one that cannot be used ({error.fault.code})"
        else:
            self.trouble = ""
