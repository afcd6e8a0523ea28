"""The server's half of the opening handshake on a stream."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import trio

from flowbus import Fault, Lost
from flowbus_websocket.faults import named
from flowbus_websocket.protocol.answer import Answering, BadRequest, Request, accept, refuse
from flowbus_websocket.protocol.extensions import Extension
from flowbus_websocket.protocol.handshake import Headers

LINGER: Final = 1.0  # seconds for a refused client to read why
RECEIVE: Final = 4096  # bytes


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What to answer a request: 101 opens the WebSocket, any other status refuses it.

    ``claims`` are those of a token that the client brought and that was verified. A client that is
    refused is told ``told``, or ``text`` where a stranger may know that.
    """

    status: int = 101
    headers: Headers = []
    subprotocol: str | None = None
    claims: dict[str, Any] | None = None
    fault: Fault | None = None
    text: str = ""
    told: str = ""


async def read_request(stream: trio.abc.Stream) -> Request:
    """Return the request of a client; Lost, with the answer given, where it is none."""
    answering = Answering()
    try:
        while True:
            data = await stream.receive_some(RECEIVE)
            if not data:
                raise Lost(named("bad_handshake"), "hung up before it asked for anything")
            request = answering.receive(bytes(data))
            if request is not None:
                return request
    except trio.BrokenResourceError as error:
        raise Lost(named("bad_handshake"), f"broke off: {error.__cause__ or error}") from error
    except BadRequest as error:
        await say(stream, refuse(error.status, error.headers, f"{error}\n"))
        raise Lost(named("bad_handshake"), f"{error}; answered {error.status}") from None


async def answer(
    stream: trio.abc.Stream,
    request: Request,
    decision: Decision,
    extension: Extension | None = None,
) -> None:
    """Send what was decided, and the extension to use; Lost where that is no, or the client gone."""
    if decision.status != 101:
        told = decision.told or decision.text
        await say(stream, refuse(decision.status, decision.headers, f"{told}\n"))
        fault = decision.fault or named("bad_handshake")
        raise Lost(fault, f"{decision.text}; answered {decision.status}")
    try:
        await stream.send_all(accept(request, decision.subprotocol, decision.headers, extension))
    except trio.BrokenResourceError as error:
        raise Lost(named("bad_handshake"), "hung up while it was answered") from error


async def say(stream: trio.abc.Stream, response: bytes) -> None:
    """Send a refusal, and give the client the time to read it."""
    with trio.move_on_after(LINGER):
        try:
            await stream.send_all(response)
            if isinstance(stream, trio.abc.HalfCloseableStream):
                await stream.send_eof()
            # Closing with unread bytes would reset the connection before the answer is read.
            while await stream.receive_some(RECEIVE):
                pass
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return
