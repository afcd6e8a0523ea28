"""Messages of a flow on their way out, for one peer and for several, and on their way in."""

from __future__ import annotations

from typing import Any

import pytest
from flowbus_websocket.incoming import Incoming
from flowbus_websocket.outgoing import Outgoing, frames_of
from flowbus_websocket.protocol.assembly import Fragment
from flowbus_websocket.protocol.decoder import FrameDecoder
from flowbus_websocket.protocol.deflate import Deflater, Inflater
from flowbus_websocket.protocol.encoder import FrameEncoder

from flowbus import Message, Rejected


def encoder_of(bits: int = 0, *, takeover: bool = True) -> FrameEncoder:
    deflater = Deflater(bits, takeover=takeover) if bits else None
    return FrameEncoder(masked=False, deflater=deflater, compress_min=100)


def message(payload: Any, **headers: Any) -> Message:
    return Message(payload, headers=headers)


def test_frames_are_built_once_for_all_who_get_the_same() -> None:
    outgoing = Outgoing(message("x" * 200))
    plain = [outgoing.frames(encoder_of()) for _ in range(3)]
    assert plain[0] is plain[1] is plain[2]
    alone = [outgoing.frames(encoder_of(15, takeover=False)) for _ in range(3)]
    assert alone[0] is alone[1] is alone[2]
    other = outgoing.frames(encoder_of(11, takeover=False))
    assert other is not alone[0]
    keeping = [outgoing.frames(encoder_of(15)) for _ in range(2)]
    assert keeping[0] is not keeping[1]
    masked = [outgoing.frames(FrameEncoder(masked=True)) for _ in range(2)]
    assert masked[0] != masked[1]


def test_whoever_does_not_compress_this_one_shares_it_with_those_who_never_do() -> None:
    for outgoing in (Outgoing(message("short")), Outgoing(message("x" * 200, compress=False))):
        assert outgoing.frames(encoder_of(15)) is outgoing.frames(encoder_of())
    small = Outgoing(message("short", compress=True))
    assert small.frames(encoder_of(15)) is not small.frames(encoder_of())


def test_several_peers_understand_what_each_of_them_gets() -> None:
    peers = [
        (encoder_of(bits, takeover=takeover), Inflater(bits, takeover=takeover))
        for bits in (9, 15)
        for takeover in (False, True)
        for _ in range(2)
    ]
    decoders = [FrameDecoder(masked=False, max_message=10_000, inflater=i) for _, i in peers]
    for number in range(10):
        # Only some get each message: what a peer has not got must not be referred to.
        outgoing = Outgoing(message(f"{number} " * 200))
        for place, ((encoder, _), decoding) in enumerate(zip(peers, decoders, strict=True)):
            if (number + place) % 3:
                assert decoding.receive(outgoing.frames(encoder)) == [f"{number} " * 200]


@pytest.mark.parametrize(
    "bad",
    [
        message("x", final=1),
        message("x", final="no"),
        message("x", compress="yes"),
        message("x", content_type="continuation"),
        message("x" * 126, content_type="ping"),
        message(b"\xff", content_type="text"),
    ],
)
def test_headers_that_mean_nothing_are_rejected(bad: Message) -> None:
    with pytest.raises(Rejected) as caught:
        Outgoing(bad)
    assert caught.value.fault.code == "ws.bad_payload"


def test_final_makes_fragments() -> None:
    encoder, decoding = encoder_of(), FrameDecoder(masked=False, max_message=100)
    wire = b""
    for sent in (
        message("a", final=False),
        message("?", content_type="ping"),
        message(b"b", content_type="text", final=False),
        message("c", final=True),
        message("whole", final=True),
        message("plain"),
    ):
        wire += frames_of(sent, encoder)
    assert decoding.receive(wire) == ["abc", "whole", "plain"]
    assert decoding.controls[0].payload == b"?"


@pytest.mark.parametrize(
    "late", [message("plain"), message({"a": 1}, x=1), message(b"b", final=True)]
)
def test_what_comes_between_fragments_is_rejected(late: Message) -> None:
    encoder = encoder_of()
    wire = frames_of(message("a", final=False), encoder)
    with pytest.raises(Rejected) as caught:
        frames_of(late, encoder)
    assert caught.value.fault.code == "ws.out_of_order"
    wire += frames_of(message("z", final=True), encoder)
    assert FrameDecoder(masked=False, max_message=100).receive(wire) == ["az"]


def test_a_peer_between_fragments_shares_with_nobody() -> None:
    within = encoder_of()
    Outgoing(message("a", final=False)).frames(within)
    last = Outgoing(message("b", final=True))
    assert last.frames(encoder_of()) != last.frames(within)
    assert last.is_part(within) is False
    assert Outgoing(message("a", final=False)).is_part(within)


def test_messages_have_the_headers_of_their_peer() -> None:
    incoming = Incoming({"connection": "c"}, fragments=False)
    text, binary = incoming.messages(["a", b"b"])
    assert (text.payload, text.headers) == ("a", {"connection": "c", "content_type": "text"})
    assert (binary.payload, binary.headers) == (b"b", {"connection": "c", "content_type": "binary"})


def test_fragments_say_whether_they_are_the_last() -> None:
    incoming = Incoming({}, fragments=True)
    items = [Fragment("a", False), Fragment("b", True), b"whole"]
    got = [
        (m.payload, m.headers["content_type"], m.headers["final"]) for m in incoming.messages(items)
    ]
    assert got == [("a", "text", False), ("b", "text", True), (b"whole", "binary", True)]
