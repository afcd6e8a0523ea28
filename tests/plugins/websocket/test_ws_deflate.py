"""Compressed messages out and in again, against two other implementations, and broken ones."""

from __future__ import annotations

import itertools
import os
import tracemalloc
import zlib

import pytest
from flowbus_websocket.protocol.assembly import Fragment, Item
from flowbus_websocket.protocol.decoder import Control, FrameDecoder
from flowbus_websocket.protocol.deflate import Deflater, Inflater
from flowbus_websocket.protocol.encoder import PING, FrameEncoder
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.exceptions import PayloadTooBig
from websockets.extensions.permessage_deflate import PerMessageDeflate as WebsocketsDeflate
from websockets.frames import Frame, Opcode
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, TextMessage
from wsproto.extensions import PerMessageDeflate as WsprotoDeflate

BITS = st.integers(8, 15)
messages = st.lists(
    st.one_of(
        st.text(max_size=100),
        st.binary(max_size=100),
        st.text("ab", max_size=30).map(lambda text: text * 40),
    ),
    max_size=8,
)
cuts = st.lists(st.integers(1, 40), max_size=60)


def encoder_of(
    *, masked: bool = False, bits: int = 15, takeover: bool = True, max_frame: int = 0, **more: int
) -> FrameEncoder:
    deflater = Deflater(bits, takeover=takeover)
    return FrameEncoder(masked=masked, max_frame=max_frame, deflater=deflater, **more)


def decoder_of(
    *,
    masked: bool = False,
    bits: int = 15,
    takeover: bool = True,
    max_message: int = 1 << 20,
    max_frame: int = 0,
    fragments: bool = False,
) -> FrameDecoder:
    return FrameDecoder(
        masked=masked,
        max_message=max_message,
        max_frame=max_frame,
        inflater=Inflater(bits, takeover=takeover),
        fragments=fragments,
    )


def decode(data: bytes, sizes: list[int], decoding: FrameDecoder) -> list[Item]:
    items, start = [], 0
    for size in [*sizes, len(data)]:
        items += decoding.receive(data[start : start + size])
        start += size
        while decoding.more:
            items += decoding.receive(b"")
    return items


def packed(data: bytes) -> bytes:
    """Return what a frame carries for ``data``."""
    return Deflater(15).piece(data, final=True)


def frame(payload: bytes, first: int = 0xC2) -> bytes:
    size = len(payload)
    if size < 126:
        return bytes([first, size]) + payload
    if size < 65536:
        return bytes([first, 126]) + size.to_bytes(2) + payload
    return bytes([first, 127]) + size.to_bytes(8) + payload


# ---- what is sent is what is received


@given(messages, cuts, BITS, st.booleans(), st.booleans(), st.sampled_from([0, 1, 7, 125]))
@settings(max_examples=200)
def test_messages_come_back_however_they_are_cut(
    sent: list[str | bytes],
    sizes: list[int],
    bits: int,
    takeover: bool,
    masked: bool,
    max_frame: int,
) -> None:
    encoder = encoder_of(masked=masked, bits=bits, takeover=takeover, max_frame=max_frame)
    data = b"".join(encoder.message(message) for message in sent)
    decoding = decoder_of(masked=masked, bits=bits, takeover=takeover)
    assert decode(data, sizes, decoding) == sent
    assert decoding.end is None
    assert not decoding.in_message


@given(messages, st.booleans(), st.sampled_from([0, 5]))
@settings(max_examples=50)
def test_every_strict_prefix_is_only_incomplete(
    sent: list[str | bytes], takeover: bool, max_frame: int
) -> None:
    encoder = encoder_of(takeover=takeover, max_frame=max_frame)
    data = b"".join(encoder.message(message) for message in sent[:3])
    for length in range(len(data)):
        decoding = decoder_of(takeover=takeover)
        got = decoding.receive(data[:length])
        assert got == sent[: len(got)]
        assert decoding.end is None
        assert got + decoding.receive(data[length:]) == sent[:3]


@given(st.lists(st.tuples(st.text(max_size=50), st.sampled_from([True, False, None]))))
def test_each_message_may_be_compressed_or_not(sent: list[tuple[str, bool | None]]) -> None:
    encoder = encoder_of(compress_min=20)
    decoding = decoder_of()
    for text, compress in sent:
        data = encoder.message(text, compress)
        expected = len(text.encode()) >= 20 if compress is None else compress
        assert bool(data[0] & 0x40) is expected
        assert decoding.receive(data) == [text]


def test_without_an_agreement_nothing_is_compressed() -> None:
    encoder = FrameEncoder(masked=False)
    assert encoder.message("x" * 1000, compress=True)[0] == 0x81
    assert encoder.fragment("x", final=False, compress=True)[0] == 0x01


@given(st.binary(max_size=3000), st.integers(1, 9), st.integers(1, 9))
def test_a_window_of_256_bytes_is_never_looked_behind(data: bytes, level: int, memory: int) -> None:
    deflater = Deflater(8, level=level, mem_level=memory)
    narrow = zlib.decompressobj(-8)
    for message in (data, data[::-1], data * 3):
        wire = deflater.piece(message, final=True) + b"\x00\x00\xff\xff"
        assert narrow.decompress(wire) == message


# ---- other implementations


@given(messages, BITS, BITS, st.booleans(), st.booleans(), st.sampled_from([0, 9]))
@settings(max_examples=100)
def test_wsproto_reads_it_and_writes_what_is_read(
    sent: list[str | bytes], ours: int, theirs: int, we_keep: bool, they_keep: bool, max_frame: int
) -> None:
    theirs = max(theirs, 9)  # of its own, wsproto has no smaller window
    peer_deflate = WsprotoDeflate(
        client_max_window_bits=max(ours, 9), server_max_window_bits=theirs,
        client_no_context_takeover=not we_keep, server_no_context_takeover=not they_keep,
    )  # fmt: skip
    peer_deflate._enabled = True
    peer = Connection(ConnectionType.SERVER, extensions=[peer_deflate])
    encoder = encoder_of(masked=True, bits=ours, takeover=we_keep, max_frame=max_frame)
    decoding = decoder_of(bits=theirs, takeover=they_keep)
    for message in sent:
        peer.receive_data(encoder.message(message))
        parts = [event.data for event in peer.events()]
        assert message[:0].join(parts) == message  # type: ignore[arg-type]
        event = TextMessage(message) if isinstance(message, str) else BytesMessage(message)
        assert decoding.receive(peer.send(event)) == [message]


@given(messages, BITS, BITS, st.booleans(), st.booleans())
@settings(max_examples=100)
def test_websockets_reads_it_and_writes_what_is_read(
    sent: list[str | bytes], ours: int, theirs: int, we_keep: bool, they_keep: bool
) -> None:
    theirs = max(theirs, 9)  # it hands the 8 to zlib, which refuses
    peer = WebsocketsDeflate(not we_keep, not they_keep, ours, theirs)
    encoder = encoder_of(bits=ours, takeover=we_keep)
    decoding = decoder_of(bits=theirs, takeover=they_keep)
    for message in sent:
        data = message.encode() if isinstance(message, str) else message
        opcode = Opcode.TEXT if isinstance(message, str) else Opcode.BINARY
        wire = encoder.message(message)
        payload = wire[2 if wire[1] < 126 else 4 :]
        assert peer.decode(Frame(opcode, payload, rsv1=True)).data == data
        assert decoding.receive(Frame(opcode, data).serialize(mask=False, extensions=[peer])) == [
            message
        ]


# ---- control frames


@pytest.mark.parametrize("masked", [False, True])
def test_a_ping_between_fragments_disturbs_nothing(masked: bool) -> None:
    encoder = encoder_of(masked=masked)
    text = "äöü" * 100
    parts = [
        encoder.fragment(text[:50], final=False),
        encoder.ping(b"?"),
        encoder.fragment(text[50:], final=False),
        encoder.pong(b"!"),
        encoder.fragment("", final=True),
        encoder.message("after"),
    ]
    data = b"".join(parts)
    for sizes in ([], [1] * len(data)):
        decoding = decoder_of(masked=masked)
        assert decode(data, sizes, decoding) == [text, "after"]
        assert decoding.controls[0] == Control(PING, b"?")
        assert len(decoding.controls) == 2
        assert decoding.end is None


@pytest.mark.parametrize(
    "data",
    [
        b"\xc9\x00",  # a compressed ping
        b"\xc8\x00",
        b"\x41\x01a\xc0\x01b",  # RSV1 again on a continuation
        b"\xa1\x00",  # RSV2, RSV3
        b"\x91\x00",
        b"\xe1\x00",
        b"\xc3\x00",
    ],
)
def test_reserved_bits_where_they_must_not_be(data: bytes) -> None:
    for sizes in ([], [1] * len(data)):
        decoding = decoder_of()
        assert decode(data, sizes, decoding) == []
        assert decoding.end is not None
        assert decoding.end.code == 1002


# ---- what deflate allows and few do


def final_block(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(data) + stream.flush(zlib.Z_FINISH)


def test_the_examples_of_the_rfc() -> None:
    # RFC 7692, section 7.2.3
    for wire in (
        "c1 07 f2 48 cd c9 c9 07 00",  # one block
        "41 03 f2 48 cd 80 04 c9 c9 07 00",  # in two fragments
        "c1 0b 00 05 00 fa ff 48 65 6c 6c 6f 00",  # not compressed
        "c1 08 f3 48 cd c9 c9 07 00 00",  # a final block
        "c1 0d f2 48 05 00 00 00 ff ff ca c9 c9 07 00",  # two blocks
    ):
        data = bytes.fromhex(wire)
        for sizes in ([], [1] * len(data)):
            assert decode(data, sizes, decoder_of()) == ["Hello"]
    twice = bytes.fromhex("c1 07 f2 48 cd c9 c9 07 00 c1 05 f2 00 11 00 00")
    assert decoder_of().receive(twice) == ["Hello", "Hello"]
    assert decoder_of().receive(bytes.fromhex("c1 01 00")) == [""]
    assert encoder_of().message("Hello") == bytes.fromhex("c1 07 f2 48 cd c9 c9 07 00")


def test_final_blocks_in_fragments_and_messages_one_after_the_other() -> None:
    one, two = final_block(b"a" * 500), final_block(b"b" * 500) + b"\x00"
    data = frame(one, 0x42) + frame(two, 0x80) + frame(one + b"\x00") + frame(packed(b"c"))
    for sizes in ([], [1] * len(data)):
        decoding = decoder_of()
        assert decode(data, sizes, decoding) == [b"a" * 500 + b"b" * 500, b"a" * 500, b"c"]


def test_endless_final_blocks_are_given_up() -> None:
    decoding = decoder_of()
    assert decoding.receive(frame(b"\x03\x00" * 30_000)) == []
    assert decoding.end is not None
    assert (decoding.end.code, decoding.end.why) == (1007, "decompress_error")


# ---- broken data, bombs


@given(st.binary(min_size=1, max_size=300), st.binary(max_size=50), cuts)
@settings(max_examples=300)
def test_garbage_never_raises_and_depends_on_no_cut(
    data: bytes, before: bytes, sizes: list[int]
) -> None:
    good = encoder_of().message(before)
    for stream in (data, good + frame(data), frame(packed(before) + data, 0xC1), frame(data, 0x42)):
        whole, cut = decoder_of(max_message=10_000), decoder_of(max_message=10_000)
        assert whole.receive(stream) == decode(stream, sizes, cut)
        assert whole.controls == cut.controls
        if whole.end is None or whole.end.code != 1007:  # that fails as early as it has come
            assert whole.end == cut.end
        if whole.end is not None and not whole.end.by_peer:
            assert whole.end.code in (1002, 1007, 1009)


@pytest.mark.parametrize("cut", [0, 3])
def test_broken_data_is_1007(cut: int) -> None:
    decoding = decoder_of()
    data = frame(b"\xff" * 10)
    decoding.receive(data[:cut])
    decoding.receive(data[cut:])
    assert decoding.end is not None
    assert (decoding.end.code, decoding.end.why) == (1007, "decompress_error")


@pytest.mark.parametrize("cut", [0, 3])
def test_text_that_is_no_utf8_once_inflated_is_1007_too(cut: int) -> None:
    decoding = decoder_of()
    data = frame(packed(b"abc\xff"), 0xC1)
    decoding.receive(data[:cut])
    decoding.receive(data[cut:])
    assert decoding.end is not None
    assert (decoding.end.code, decoding.end.why) == (1007, "")


@pytest.mark.parametrize("first", [0xC2, 0x42])
@pytest.mark.parametrize("cut", [0, 5000])
def test_a_bomb_is_defused_while_it_is_inflated(first: int, cut: int) -> None:
    bomb = frame(packed(bytes(60_000_000)), first)
    assert len(bomb) < 70_000
    decoding = decoder_of(max_message=1 << 20)
    tracemalloc.start()
    try:
        decoding.receive(bomb[:cut])
        assert decoding.receive(bomb[cut:]) == []
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
    assert decoding.end is not None
    assert decoding.end.code == 1009


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("max_frame", [0, 500])
@pytest.mark.parametrize("fragments", [False, True])
def test_many_small_bombs_in_one_piece_come_out_one_by_one(
    masked: bool, max_frame: int, fragments: bool
) -> None:
    encoder = encoder_of(masked=masked, max_frame=max_frame)
    data = b"".join(encoder.message(bytes(1_000_000)) + encoder.ping() for _ in range(50))
    assert len(data) < 100_000
    decoding = decoder_of(masked=masked, fragments=fragments)
    total, calls, largest = 0, 0, 0
    while decoding.more or not calls:
        items = decoding.receive(b"" if calls else data)
        came = sum(len(i.payload if isinstance(i, Fragment) else i) for i in items)
        total, calls, largest = total + came, calls + 1, max(largest, came)
    assert total == 50_000_000
    assert largest <= 2 << 20
    assert len(decoding.controls) == 50
    assert decoding.receive(encoder.message("after")) == ["after"]


def test_a_peer_library_refuses_our_bomb_too() -> None:
    # That a limit is met by another implementation shows that it is a bomb.
    payload = packed(bytes(1_000_000))
    with pytest.raises(PayloadTooBig):
        WebsocketsDeflate(False, False, 15, 15).decode(
            Frame(Opcode.BINARY, payload, rsv1=True), max_size=999_999
        )


@pytest.mark.parametrize("size", [0, 1, 999, 1000])
@pytest.mark.parametrize("fill", [b"a", None])
@pytest.mark.parametrize("max_frame", [0, 100])
def test_the_limit_is_one_of_bytes_inflated(size: int, fill: bytes | None, max_frame: int) -> None:
    content = os.urandom(size) if fill is None else fill * size
    decoding = decoder_of(max_message=1000)
    assert decoding.receive(encoder_of(max_frame=max_frame).message(content)) == [content]
    decoding = decoder_of(max_message=1000)
    assert decoding.receive(encoder_of(max_frame=max_frame).message(content + b"x" * 1001)) == []
    assert decoding.end is not None
    assert decoding.end.code == 1009


def test_a_frame_limit_is_one_of_bytes_on_the_wire() -> None:
    data = encoder_of().message(b"a" * 100_000)
    assert decoder_of(max_frame=200).receive(data) == [b"a" * 100_000]
    decoding = decoder_of(max_frame=100)
    assert decoding.receive(data) == []
    assert decoding.end is not None
    assert decoding.end.code == 1009


# ---- memory


def test_an_idle_side_has_no_window_and_one_without_takeover_gives_it_back() -> None:
    def held(pairs: list[tuple[FrameEncoder, FrameDecoder]], say: bool) -> int:
        before = tracemalloc.get_traced_memory()[0]
        for takeover in itertools.repeat(False, 20):
            encoder, decoding = encoder_of(takeover=takeover), decoder_of(takeover=takeover)
            if say:
                assert decoding.receive(encoder.message("x" * 1000)) == ["x" * 1000]
            pairs.append((encoder, decoding))
        return (tracemalloc.get_traced_memory()[0] - before) // 20

    tracemalloc.start()
    try:
        idle, used = held([], say=False), held([], say=True)
    finally:
        tracemalloc.stop()
    assert idle < 3000
    assert used < idle + 1000


# ---- fragments one by one


@given(messages, cuts, st.sampled_from([0, 1, 7]), st.booleans())
@settings(max_examples=100)
def test_fragments_make_the_message(
    sent: list[str | bytes], sizes: list[int], max_frame: int, compressed: bool
) -> None:
    encoder = encoder_of(max_frame=max_frame)
    data = b"".join(encoder.message(message, compressed) for message in sent)
    got: list[str | bytes] = []
    parts: list[str | bytes] = []
    for item in decode(data, sizes, decoder_of(fragments=True)):
        if isinstance(item, Fragment):
            parts.append(item.payload)
            if item.final:
                got.append(parts[0][:0].join(parts))  # type: ignore[arg-type]
                parts = []
        else:
            assert not parts
            got.append(item)
    assert got == sent
