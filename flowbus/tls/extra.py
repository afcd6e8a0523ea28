"""The libraries that only some TLS options need; the extra ``flowbus[tls]`` installs them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from flowbus.tls.faults import TLSConfigError

INSTALL: Final = "pip install 'flowbus[tls]'"


@contextmanager
def needed_for(option: str) -> Iterator[None]:
    """Import inside this what ``option`` needs; TLSConfigError names the command that installs it."""
    try:
        yield
    except ImportError as error:
        text = f"{option}: needs {error.name or error}, which is not installed here; {INSTALL}"
        raise TLSConfigError("setup", text) from None
