"""pyads (Beckhoff's AdsLib) against one simulated PLC, in a thread.

AdsLib dials TCP 48898 only, so the PLC has a loopback address of its own. Its router crashes the
process when a connection closes with live notifications, and must have its ports closed before
its routes: :func:`connected` keeps to that order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import trio

pyads = pytest.importorskip("pyads")
from pyads import pyads_ex  # noqa: E402

HOST = "127.0.0.42"
NET_ID = "5.42.0.1.1.1"


@contextmanager
def connected() -> Iterator[Any]:
    plc = pyads.Connection(NET_ID, 851, HOST)
    plc.open()
    try:
        plc.set_timeout(5000)
        yield plc
    finally:
        pyads_ex.adsPortCloseEx(plc._port)
        pyads_ex.adsDelRoute(plc._adr.netIdStruct())
        plc._port, plc._open = None, False


async def use(call: Callable[[Any], Any]) -> Any:
    """Call ``call(plc)`` in a thread, with a deadline."""

    def run() -> Any:
        with connected() as plc:
            return call(plc)

    with trio.fail_after(30):
        return await trio.to_thread.run_sync(run, abandon_on_cancel=True)
