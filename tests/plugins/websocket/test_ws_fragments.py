"""Messages in fragments: built one by one, delivered one by one, and far too many of them."""

from __future__ import annotations

import tracemalloc

import pytest
from flowbus_websocket.protocol.assembly import MAX_EMPTY, Fragment, Item
from flowbus_websocket.protocol.decoder import FrameDecoder
from flowbus_websocket.protocol.deflate import Deflater, Inflater
from flowbus_websocket.protocol.encoder import FrameEncoder, OutOfOrder
from hypothesis import given
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, Message, Ping, TextMessage

texts = st.lists(st.text(max_size=30), min_size=1, max_size=8)
cuts = st.lists(st.integers(1, 40), max_size=60)


def decoder_of(
    *, max_message: int = 1 << 20, max_frame: int = 0, whole: bool = False
) -> FrameDecoder:
    return FrameDecoder(
        masked=False,
        max_message=max_message,
        max_frame=max_frame,
        inflater=Inflater(15),
        fragments=not whole,
    )


def decode(data: bytes, sizes: list[int], decoding: FrameDecoder) -> list[Item]:
    items, start = [], 0
    for size in [*sizes, len(data)]:
        items += decoding.receive(data[start : start + size])
        start += size
    return items


def code_of(decoding: FrameDecoder) -> int:
    assert decoding.end is not None
    assert not decoding.end.by_peer
    return decoding.end.code


# ---- out


@given(texts, st.booleans(), st.booleans(), st.sampled_from([0, 5]))
def test_parts_become_one_message(
    parts: list[str], masked: bool, compress: bool, max_frame: int
) -> None:
    encoder = FrameEncoder(masked=masked, max_frame=max_frame, deflater=Deflater(15))
    data = b""
    for number, part in enumerate(parts):
        final = number == len(parts) - 1
        data += encoder.fragment(part, final=final, compress=compress) + encoder.ping(b"!")
        assert encoder.in_message is not final
    decoding = FrameDecoder(masked=masked, max_message=1 << 20, inflater=Inflater(15))
    assert decoding.receive(data + encoder.message(b"after")) == ["".join(parts), b"after"]


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=6))
def test_another_implementation_puts_the_parts_together(parts: list[bytes]) -> None:
    encoder = FrameEncoder(masked=True)
    peer = Connection(ConnectionType.SERVER)
    got = b""
    for number, part in enumerate(parts):
        final = number == len(parts) - 1
        peer.receive_data(encoder.fragment(part, final=final) + encoder.ping())
        for event in peer.events():
            if isinstance(event, BytesMessage):
                got += event.data
                assert event.message_finished is final or len(part) > len(event.data)
            else:
                assert isinstance(event, Ping)
    assert got == b"".join(parts)


def test_text_may_be_given_in_bytes_cut_anywhere() -> None:
    encoder, data = FrameEncoder(masked=False), "äöü".encode()
    frames = encoder.fragment(data[:3], final=False, text=True) + encoder.fragment(
        data[3:], final=True, text=True
    )
    assert decoder_of(whole=True).receive(frames) == ["äöü"]


def test_what_does_not_go_with_the_message_is_refused_and_changes_nothing() -> None:
    encoder = FrameEncoder(masked=False, deflater=Deflater(15))
    data = encoder.fragment("a", final=False)
    with pytest.raises(OutOfOrder, match="binary cannot go on with a message of text"):
        encoder.fragment(b"b", final=True)
    with pytest.raises(OutOfOrder, match="a message in fragments is being sent"):
        encoder.message("c")
    data += encoder.fragment("d", final=True) + encoder.message("e")
    assert decoder_of(whole=True).receive(data) == ["ad", "e"]


# ---- in, one by one


def test_each_fragment_comes_as_soon_as_it_is_whole() -> None:
    encoder, decoding = FrameEncoder(masked=False), decoder_of()
    assert decoding.receive(encoder.fragment("one", final=False)) == [Fragment("one", False)]
    assert decoding.in_message
    second = encoder.fragment("two", final=False)
    assert decoding.receive(second[:4]) == []
    assert decoding.receive(second[4:]) == [Fragment("two", False)]
    assert decoding.receive(encoder.fragment("", final=True)) == [Fragment("", True)]
    assert not decoding.in_message
    assert decoding.receive(encoder.message(b"whole")) == [b"whole"]


def test_a_cut_character_is_kept_for_the_next_fragment() -> None:
    data = "äö€".encode()
    frames = [bytes([1 if not i else 0, 1, byte]) for i, byte in enumerate(data)]
    frames[-1] = b"\x80" + frames[-1][1:]
    decoding = decoder_of()
    got = [item for frame in frames for item in decoding.receive(frame)]
    assert got == [Fragment("ä", False), Fragment("ö", False), Fragment("€", True)]


@pytest.mark.parametrize(
    "data", [b"\x01\x01\xff", b"\x01\x01\xc3\x00\x01a", b"\x01\x01\xc3\x80\x00", b"\x81\x01\xc3"]
)
def test_broken_text_ends_it_in_fragments_too(data: bytes) -> None:
    decoding = decoder_of()
    assert decoding.receive(data) == []
    assert code_of(decoding) == 1007


@pytest.mark.parametrize("compress", [False, True])
def test_a_message_may_be_longer_than_the_limit_but_no_fragment(compress: bool) -> None:
    encoder, decoding = (
        FrameEncoder(masked=False, deflater=Deflater(15)),
        decoder_of(max_message=100),
    )
    total = 0
    for _ in range(1000):
        (item,) = decoding.receive(encoder.fragment("x" * 100, final=False, compress=compress))
        total += len(item[0])
    assert total == 100_000
    assert decoding.receive(encoder.fragment("x" * 101, final=True)) == []
    assert code_of(decoding) == 1009


@given(texts, cuts)
def test_fragments_depend_on_no_cut(parts: list[str], sizes: list[int]) -> None:
    encoder = FrameEncoder(masked=False, deflater=Deflater(15))
    last = len(parts) - 1
    data = b"".join(encoder.fragment(p, final=n == last) for n, p in enumerate(parts))
    assert decode(data, sizes, decoder_of()) == decode(data, [], decoder_of())


def test_what_another_implementation_sends_in_fragments() -> None:
    peer, decoding = Connection(ConnectionType.SERVER), decoder_of()
    events: list[Message] = [
        TextMessage("a", message_finished=False),
        TextMessage("b", message_finished=False),
        TextMessage("c"),
        BytesMessage(b"d"),
    ]
    got = [item for event in events for item in decoding.receive(peer.send(event))]
    assert got == [Fragment("a", False), Fragment("b", False), Fragment("c", True), b"d"]


# ---- floods


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("compress", [False, True])
def test_ten_thousand_tiny_fragments_are_a_message(whole: bool, compress: bool) -> None:
    encoder = FrameEncoder(masked=False, deflater=Deflater(15))
    data = b"".join(
        encoder.fragment(b"x", final=n == 9_999, compress=compress) for n in range(10_000)
    )
    for size in (len(data), 3):
        decoding, count, length, start = decoder_of(whole=whole), 0, 0, 0
        while start < len(data):
            for item in decoding.receive(data[start : start + size]):
                count += 1
                length += len(item.payload if isinstance(item, Fragment) else item)
            start += size
        assert (length, count) == (10_000, 1 if whole else 10_000)
        assert decoding.end is None


@pytest.mark.parametrize("compress", [False, True])
def test_endless_fragments_end_at_the_limit(compress: bool) -> None:
    encoder = FrameEncoder(masked=False, deflater=Deflater(15))
    decoding = decoder_of(max_message=100_000, whole=True)
    tracemalloc.start()
    try:
        sent = 0
        while decoding.end is None:
            assert (
                decoding.receive(encoder.fragment(b"x" * 10, final=False, compress=compress)) == []
            )
            sent += 10
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert (sent, code_of(decoding)) == (100_010, 1009)


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize(
    ("first", "then"),
    [
        (b"\x02\x00", b"\x00\x00"),
        (b"\x42\x00", b"\x00\x00"),
        (b"\x42\x05\x00\x00\x00\xff\xff", b"\x00\x05\x00\x00\x00\xff\xff"),  # empty blocks
    ],
)
def test_endless_fragments_that_bring_nothing_are_given_up(
    whole: bool, first: bytes, then: bytes
) -> None:
    decoding = decoder_of(whole=whole)
    assert decoding.receive(first + then * (MAX_EMPTY - 1)) == []
    assert decoding.end is None
    assert decoding.receive(then * 10) == []
    assert code_of(decoding) == 1008


def test_empty_fragments_are_counted_for_each_message() -> None:
    message = b"\x02\x00" + b"\x00\x00" * (MAX_EMPTY - 1) + b"\x80\x01x"
    decoding = decoder_of(whole=True)
    assert decoding.receive(message * 5) == [b"x"] * 5
    assert decoding.end is None
