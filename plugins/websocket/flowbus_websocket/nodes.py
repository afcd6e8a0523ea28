"""The node websocket-client: it stays connected to one server."""

from __future__ import annotations

from flowbus import NodeIO, io_node
from flowbus_websocket.clientlife import ClientLife
from flowbus_websocket.settings import WebSocketClient


@io_node("websocket-client", outlets=("out", "connection"), duplex=True)
async def websocket_client(config: WebSocketClient, io: NodeIO) -> None:
    """Exchange messages with a WebSocket server: the inbox goes there, what it sends leaves by out.

    A message with ``headers.command`` is a command: ``close`` (``code``, ``reason``), ``connect``
    (``url``, ``headers``, ``token``) or ``ping`` (``payload``, ``deadline``). That it is connected, and
    with which code the connection ended, leaves by ``connection``.
    """
    await ClientLife(config, io).run()
