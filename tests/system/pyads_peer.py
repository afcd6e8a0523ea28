"""pyads (Beckhoff's AdsLib) against one simulated PLC, in a thread.

AdsLib dials TCP 48898 only, so the PLC has a loopback address of its own. Its router crashes the
process when a connection closes with live notifications, and must have its ports closed before
its routes: :func:`connected` keeps to that order.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
import trio
from flowbus_ads.client import AdsClient
from flowbus_ads.link import open_link

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


@asynccontextmanager
async def own_client(encoding: str = "cp1252") -> AsyncIterator[AdsClient]:
    """Yield a client of ours; its NetId is another than that of pyads, which has the loopback's."""
    async with open_link(HOST, 48898, connect_timeout=2.0, source_net_id="127.0.0.8.1.1") as link:
        client = AdsClient(link, NET_ID, 851, encoding=encoding)
        await client.start()
        yield client


async def use(call: Callable[[Any], Any]) -> Any:
    """Call ``call(plc)`` in a thread, with a deadline."""

    def run() -> Any:
        with connected() as plc:
            return call(plc)

    with trio.fail_after(30):
        return await trio.to_thread.run_sync(run, abandon_on_cancel=True)
