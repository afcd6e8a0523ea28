"""The node websocket-server: it serves many clients."""

from __future__ import annotations

import trio

from flowbus import TLS, ConfigError, Lost, NodeIO, io_node
from flowbus_websocket.dial import reason_of_tls, tls_fault_of
from flowbus_websocket.server.access import Access
from flowbus_websocket.server.asking import Asking
from flowbus_websocket.server.client import Caller
from flowbus_websocket.server.commands import Commands
from flowbus_websocket.server.files import Folder
from flowbus_websocket.server.inbox import Inbox
from flowbus_websocket.server.listening import Listening
from flowbus_websocket.server.posting import Posting
from flowbus_websocket.server.reception import Decide, Reception
from flowbus_websocket.server.rules import Rules, Secured
from flowbus_websocket.server.ruling import Ruling
from flowbus_websocket.server.serving import Server
from flowbus_websocket.server.settings import WebSocketServer
from flowbus_websocket.settings import limits_of
from flowbus_websocket.welcome import Decision


@io_node("websocket-server", outlets=("out", "connection", "request"), duplex=True, listens=True)
async def websocket_server(config: WebSocketServer, io: NodeIO) -> None:
    """Serve WebSocket clients.

    What they send leaves by ``out`` with ``headers.connection`` and ``headers.remote``. A message
    with ``headers.connection`` (an id or a list of ids) goes to those clients, without it to all.
    Who comes and goes leaves by ``connection``, and with ``accept`` "ask" each request by ``request``.
    """
    rules = _rules(config)
    access = Access(config.allow_clients, config.block_clients, io.fault)
    asking: Asking | None = None
    if config.accept == "ask":
        asking = Asking(io, config.ask_timeout, [name.lower() for name in config.show_headers])
    decide = _decide_by(_ruling(config), asking)
    server = Server(io, rules, Reception(rules, access, decide))

    def say() -> None:
        (config.tls or TLS()).say_connected(io, "ws", _place(config, listening))

    async with trio.open_nursery() as nursery:
        clients = await nursery.start(server.hold)
        listening = Listening(
            config.place(),
            config.tuning(),
            server.serve,
            on_fault=io.fault,
            on_change=say,
            nursery=clients,
        )
        posting = Posting(io, rules, server.clients, Folder(config.files), nursery)
        commands = Commands(io, posting.addressed, listening, nursery)
        inbox = Inbox(io, posting, asking, commands)
        io.details(lambda: {**listening.as_dict(), **server.as_dict()})
        try:
            await listening.start()
            nursery.start_soon(server.look_after)
            while True:
                await inbox.take(await io.take_many())
                # Let the clients' queues empty before the next batch.
                await trio.lowlevel.checkpoint()
        finally:
            server.stop()
            await listening.close()


def _rules(config: WebSocketServer) -> Rules:
    try:
        tls = None if config.tls is None else Secured(config.tls, config.tls.server_context())
    except ConfigError as error:
        # A file may be put right, or replaced, while the flow runs.
        raise Lost(tls_fault_of(error), reason_of_tls(error)) from error
    return Rules(
        limits=limits_of(config),
        max_connections=config.max_connections,
        handshake_timeout=config.handshake_timeout,
        send_timeout=config.send_timeout,
        idle_timeout=config.idle_timeout,
        send_queue=config.send_queue,
        slow_client=config.slow_client,
        line_mode=config.line_mode,
        max_line=config.max_line,
        ping_events=config.ping_events,
        tls=tls,
    )


def _ruling(config: WebSocketServer) -> Ruling:
    try:
        return Ruling(config.rules())
    except ConfigError as error:
        # As above: the file of a key may be put right.
        raise Lost(error.fault, str(error)) from error


def _decide_by(ruling: Ruling, asking: Asking | None) -> Decide:
    async def decide(caller: Caller) -> Decision:
        decision = ruling.decide(caller)
        if asking is None or decision.status != 101:
            return decision
        return await asking.decide(caller)

    return decide


def _place(config: WebSocketServer, listening: Listening) -> str:
    scheme = "ws" if config.tls is None else "wss"
    host = f"[{config.host}]" if ":" in config.host else config.host
    place = f"{scheme}://{host}:{listening.port}{config.path or '/'}"
    return f"listening on {place}" if listening.open else f"not listening on {place}"
