"""The client's half of a connection: dial, ask, and hand over an open channel."""

from __future__ import annotations

import base64
import os
from typing import Any, Final

import msgspec
import trio

from flowbus import TLS, ConfigError, Lost
from flowbus_websocket.channel import GRACE, Channel
from flowbus_websocket.compression import Compression, inflater
from flowbus_websocket.dial import deadline_in, dial
from flowbus_websocket.endpoint import ends_of
from flowbus_websocket.faults import named
from flowbus_websocket.protocol.answer import Request as ServerRequest
from flowbus_websocket.protocol.ask import Asking, HandshakeError, Opened, Opening
from flowbus_websocket.protocol.decoder import FrameDecoder
from flowbus_websocket.protocol.encoder import FrameEncoder
from flowbus_websocket.protocol.extensions import Agreed, Extension, Offer
from flowbus_websocket.url import Address

_REFUSALS: Final = ("ws.tls_cert_refused", "ws.tls_cert_required")
_BY_STATUS: Final = {401: "authentication_refused", 403: "access_denied", 407: "proxy_error"}


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a channel takes and sends, in bytes, and its times, in seconds; 0 means no limit."""

    max_receive_message: int = 1 << 20
    max_receive_frame: int = 0
    max_send_frame: int = 0
    keepalive_interval: float = 20.0
    keepalive_timeout: float = 10.0
    close_timeout: float = 5.0
    compression: Compression | None = None
    compress_min: int = 0
    fragments: bool = False

    def agree(self, request: ServerRequest) -> tuple[Agreed | None, Extension | None]:
        """Return the compression that a server agrees to with a client, and its answer."""
        if self.compression is None:
            return None, None
        return request.deflate(self.compression.terms()) or (None, None)

    def channel(
        self,
        stream: trio.abc.Stream,
        *,
        is_client: bool,
        rest: bytes,
        deflate: Agreed | None = None,
    ) -> Channel:
        """Return the channel over a stream on which the handshake has been made.

        ``deflate`` is what was agreed on there, None for no compression.
        """
        compression = self.compression or Compression()
        decoder = FrameDecoder(
            masked=not is_client,
            max_message=self.max_receive_message,
            max_frame=self.max_receive_frame,
            inflater=inflater(deflate, is_client=is_client) if deflate else None,
            fragments=self.fragments,
        )
        encoder = FrameEncoder(
            masked=is_client,
            max_frame=self.max_send_frame,
            deflater=compression.deflater(deflate, is_client=is_client) if deflate else None,
            compress_min=self.compress_min,
        )
        return Channel(
            stream,
            decoder,
            encoder,
            rest=rest,
            keepalive_interval=self.keepalive_interval,
            keepalive_timeout=self.keepalive_timeout,
            close_timeout=self.close_timeout,
            deflate=deflate,
        )


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What to ask a server for. ``response_timeout`` in seconds, 0 means no limit."""

    address: Address
    subprotocols: tuple[str, ...] = ()
    require_subprotocol: bool = False
    headers: tuple[tuple[str, str], ...] = ()
    offers: tuple[Offer, ...] = ()
    response_timeout: float = 10.0


class Connected(msgspec.Struct, frozen=True):
    """An open connection: the channel, what the server agreed to, and between which ends."""

    address: Address
    channel: Channel
    opened: Opened
    ends: dict[str, Any]

    def place(self) -> dict[str, Any]:
        """Return what tells it from other connections, as an event shows it."""
        return {
            "url": str(self.address),
            "subprotocol": self.opened.subprotocol,
            "local": self.ends["local"],
            "remote": self.ends["remote"],
        }

    def details(self) -> dict[str, Any]:
        """Return what there is to know of it for good."""
        deflate = self.opened.deflate
        return {**self.place(), **self.ends, "compression": deflate and deflate._asdict()}


async def connect(
    request: Request, limits: Limits, tls: TLS | None, connect_timeout: float
) -> Connected:
    """Return an open connection; Lost with the fault of what failed."""
    stream = await dial(request.address, tls, connect_timeout)
    try:
        opened = await open_on(stream, request)
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    channel = limits.channel(stream, is_client=True, rest=opened.rest, deflate=opened.deflate)
    return Connected(request.address, channel, opened, ends_of(stream, tls or TLS()))


async def open_on(stream: trio.abc.Stream, request: Request) -> Opened:
    """Make the handshake on a connected stream; Lost with the fault of what failed."""
    key = base64.b64encode(os.urandom(16)).decode()
    address = request.address
    asking = Asking(
        Opening(
            address.host_header,
            address.target,
            key,
            request.subprotocols,
            request.headers,
            request.offers,
        )
    )
    try:
        data = asking.request()
    except ValueError as error:
        raise ConfigError(str(error)) from None
    with trio.move_on_after(deadline_in(request.response_timeout)):
        try:
            opened = await _exchange(stream, asking, data)
        except HandshakeError as error:
            name = _BY_STATUS.get(error.status, error.why)
            raise Lost(named(name), str(error)) from None
        if request.require_subprotocol and opened.subprotocol is None:
            text = f"the server chose none of {', '.join(request.subprotocols)}"
            raise Lost(named("subprotocol_refused"), text)
        return opened
    text = f"{address} did not answer within {request.response_timeout:g} s"
    raise Lost(named("response_timed_out"), text)


async def _exchange(stream: trio.abc.Stream, asking: Asking, data: bytes) -> Opened:
    """Send the request and return what the server agreed to.

    A server that breaks off while we send may have said why: so both go on at the same time. In TLS
    1.3 that is also where it refuses our certificate.
    """
    sent = False
    opened: Opened | None = None
    failed: Exception = ConnectionError("the server takes nothing more")

    async def send() -> None:
        nonlocal sent, failed
        try:
            await stream.send_all(data)
            sent = True
        except trio.BrokenResourceError as error:
            failed = error
            await trio.sleep(GRACE)
            nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        try:
            opened = await _response(stream, asking)
        except (trio.BrokenResourceError, HandshakeError, Lost) as error:
            failed = error
            nursery.cancel_scope.cancel()
    if opened is not None and sent:
        return opened
    if isinstance(failed, HandshakeError):
        raise failed
    fault = TLS.fault("ws", failed)
    if fault is not None and fault.code in _REFUSALS:
        raise Lost(fault, f"TLS: {TLS.why(failed)}") from failed
    if not sent:
        raise Lost(named("request_send_error"), f"{failed.__cause__ or failed}") from failed
    if isinstance(failed, Lost):
        raise failed
    text = f"the connection broke off before the answer: {failed.__cause__ or failed}"
    raise Lost(named("connection_lost"), text) from failed


async def _response(stream: trio.abc.Stream, asking: Asking) -> Opened:
    while True:
        data = await stream.receive_some(4096)
        if not data:
            raise Lost(named("connection_lost"), "the server hung up before it answered")
        opened = asking.receive(bytes(data))
        if opened is not None:
            return opened
