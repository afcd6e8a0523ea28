"""The node websocket-server: it serves many clients."""

from __future__ import annotations

import trio

from flowbus import ConfigError, Lost, NodeIO, io_node
from flowbus_websocket.dial import reason_of_tls, tls_fault_of
from flowbus_websocket.faults import named
from flowbus_websocket.protocol.answer import Request
from flowbus_websocket.server.listen import accept_all, open_listeners, port_of
from flowbus_websocket.server.posting import Posting
from flowbus_websocket.server.rules import Rules
from flowbus_websocket.server.serving import Decide, Server
from flowbus_websocket.server.settings import WebSocketServer
from flowbus_websocket.settings import limits_of
from flowbus_websocket.welcome import Decision


@io_node("websocket-server", outlets=("out", "connection"), duplex=True, listens=True)
async def websocket_server(config: WebSocketServer, io: NodeIO) -> None:
    """Serve WebSocket clients.

    What they send leaves by ``out`` with ``headers.connection`` and ``headers.remote``. A message
    with ``headers.connection`` (an id or a list of ids) goes to those clients, without it to all.
    Who comes and goes leaves by ``connection``.
    """
    rules = _rules(config)
    server = Server(io, rules, _decide_by(config))
    posting = Posting(io, rules, server.clients)
    listeners = await open_listeners(config.host, config.port)
    io.details(lambda: {"connections": [c.as_dict() for c in server.clients.values()]})
    async with trio.open_nursery() as nursery:
        try:
            for listener in listeners:
                nursery.start_soon(accept_all, listener, nursery, server.serve, io.fault)
            nursery.start_soon(server.keep_alive)
            io.connected(f"listening on {_place(config, port_of(listeners))}")
            while True:
                for delivery in await io.take_many():
                    await posting.post(delivery)
                # Let the clients' queues empty before the next batch.
                await trio.lowlevel.checkpoint()
        finally:
            for listener in listeners:
                await trio.aclose_forcefully(listener)


def _rules(config: WebSocketServer) -> Rules:
    try:
        context = config.tls.server_context() if config.tls is not None else None
    except ConfigError as error:
        # A file may be put right, or replaced, while the flow runs.
        raise Lost(tls_fault_of(error), reason_of_tls(error)) from error
    return Rules(
        limits=limits_of(config),
        max_connections=config.max_connections,
        handshake_timeout=config.handshake_timeout,
        send_queue=config.send_queue,
        slow_client=config.slow_client,
        tls=context,
    )


def _decide_by(config: WebSocketServer) -> Decide:
    async def decide(request: Request) -> Decision:
        if config.path is not None and request.path != config.path:
            text = f"nothing is served at {request.path}"
            return Decision(status=404, fault=named("wrong_path"), text=text)
        return Decision()

    return decide


def _place(config: WebSocketServer, port: int) -> str:
    scheme = "ws" if config.tls is None else "wss"
    host = f"[{config.host}]" if ":" in config.host else config.host
    return f"{scheme}://{host}:{port}{config.path or '/'}"
