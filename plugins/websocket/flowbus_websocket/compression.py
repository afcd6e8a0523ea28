"""How a connection compresses: the option, what it offers or answers, and the two halves of it."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from flowbus import Config
from flowbus_websocket.protocol.deflate import LEVEL, MEM_LEVEL, Deflater, Inflater
from flowbus_websocket.protocol.extensions import MAX_WINDOW_BITS, Agreed, Offer

# A server has many connections: with these, compressing takes it 23 KB instead of 270 and inflating
# 10 instead of 40, and messages of JSON become as small. Without taking its context over it holds
# the first only while it compresses, and a message for many is compressed once.
_SERVER_BITS: Final = 11
_SERVER_MEM_LEVEL: Final = 4

WindowBits = Annotated[int, Meta(ge=8, le=15)]
MemLevel = Annotated[int, Meta(ge=1, le=9)]


class Compression(Config):
    """How messages are compressed (permessage-deflate, RFC 7692)."""

    server_no_context_takeover: Annotated[
        bool | None,
        Meta(
            description="The server compresses each message by itself: less memory, and one for many "
            "clients is compressed once; without it true in a server, else false."
        ),
    ] = None
    client_no_context_takeover: Annotated[
        bool, Meta(description="The client compresses each message by itself: less memory there.")
    ] = False
    server_max_window_bits: Annotated[
        WindowBits | None,
        Meta(
            description="Window of the server, 2^bits bytes, from 8 to 15; without it 11 in a server of ours, else 15."
        ),
    ] = None
    client_max_window_bits: Annotated[
        WindowBits | None,
        Meta(
            description="Window of the client, 2^bits bytes, from 8 to 15; without it 11 in a server of ours, else 15."
        ),
    ] = None
    level: Annotated[
        int, Meta(ge=1, le=9, description="Effort of compressing, from 1 (quick) to 9 (small).")
    ] = LEVEL
    mem_level: Annotated[
        MemLevel | None,
        Meta(
            description="Memory to compress, 2^(9+n) bytes, n from 1 to 9; without it 4 in a server, else 8."
        ),
    ] = None

    def offer(self) -> Offer:
        """Return what a client asks for."""
        return Offer(
            bool(self.server_no_context_takeover),
            self.client_no_context_takeover,
            self.server_max_window_bits,
            self.client_max_window_bits or MAX_WINDOW_BITS,
        )

    def terms(self) -> Agreed:
        """Return what a server agrees to at most."""
        return Agreed(
            self.server_no_context_takeover is not False,
            self.client_no_context_takeover,
            self.server_max_window_bits or _SERVER_BITS,
            self.client_max_window_bits or _SERVER_BITS,
        )

    def deflater(self, agreed: Agreed, *, is_client: bool) -> Deflater:
        """Return what compresses the messages that this side sends."""
        bits, takeover = _side(agreed, client=is_client)
        mem_level = self.mem_level or (MEM_LEVEL if is_client else _SERVER_MEM_LEVEL)
        return Deflater(bits, takeover=takeover, level=self.level, mem_level=mem_level)


def inflater(agreed: Agreed, *, is_client: bool) -> Inflater:
    """Return what decompresses the messages of the peer."""
    bits, takeover = _side(agreed, client=not is_client)
    return Inflater(bits, takeover=takeover)


def compression_of(option: bool | Compression) -> Compression | None:
    """Return what the option ``compression`` means; None for no compression."""
    if isinstance(option, Compression):
        return option
    return Compression() if option else None


def _side(agreed: Agreed, *, client: bool) -> tuple[int, bool]:
    if client:
        return agreed.client_max_window_bits, not agreed.client_no_context_takeover
    return agreed.server_max_window_bits, not agreed.server_no_context_takeover
