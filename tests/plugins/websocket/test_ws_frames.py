"""Frames out and in again, however the network cuts them."""

from __future__ import annotations

import pytest
from flowbus_websocket.protocol.codes import sendable
from flowbus_websocket.protocol.decoder import Control, Ended, FrameDecoder
from flowbus_websocket.protocol.encoder import PING, PONG, FrameEncoder
from hypothesis import example, given, settings
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, TextMessage

EDGES = [0, 1, 124, 125, 126, 127, 128, 1023, 1024, 1025, 65535, 65536, 65537]

messages = st.lists(st.one_of(st.text(max_size=200), st.binary(max_size=200)), max_size=8)
cuts = st.lists(st.integers(1, 40), max_size=60)


def decoder(*, masked: bool, max_message: int = 1 << 20, max_frame: int = 0) -> FrameDecoder:
    return FrameDecoder(masked=masked, max_message=max_message, max_frame=max_frame)


def pieces(data: bytes, sizes: list[int]) -> list[bytes]:
    cut, start = [], 0
    for size in sizes:
        cut.append(data[start : start + size])
        start += size
    return [piece for piece in [*cut, data[start:]] if piece]


def decode(data: bytes, sizes: list[int], decoding: FrameDecoder) -> list[str | bytes]:
    return [message for piece in pieces(data, sizes) for message in decoding.receive(piece)]


@given(messages, cuts, st.booleans(), st.sampled_from([0, 1, 7, 125]))
@settings(max_examples=200)
def test_messages_come_back_however_they_are_cut(
    sent: list[str | bytes], sizes: list[int], masked: bool, max_frame: int
) -> None:
    encoder = FrameEncoder(masked=masked, max_frame=max_frame)
    data = b"".join(encoder.message(message) for message in sent)
    decoding = decoder(masked=masked)
    assert decode(data, sizes, decoding) == sent
    assert decoding.end is None
    assert not decoding.in_message


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("size", EDGES)
def test_every_form_of_the_size(size: int, masked: bool) -> None:
    encoder = FrameEncoder(masked=masked)
    for message in ("a" * size, b"\x80" * size):
        frame = encoder.message(message)
        assert decoder(masked=masked).receive(frame) == [message]
        for cut in (1, 2, 3, 4, 9, 13, len(frame) - 1):
            assert decode(frame, [cut], decoder(masked=masked)) == [message]


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("size", EDGES)
def test_another_implementation_reads_it_and_writes_what_is_read(size: int, masked: bool) -> None:
    ours, theirs = FrameEncoder(masked=masked), decoder(masked=not masked)
    peer = Connection(ConnectionType.SERVER if masked else ConnectionType.CLIENT)
    peer.receive_data(ours.message("ä" * size))
    assert "".join(e.data for e in peer.events() if isinstance(e, TextMessage)) == "ä" * size
    assert theirs.receive(peer.send(BytesMessage(data=b"x" * size))) == [b"x" * size]


@given(st.binary(max_size=300), cuts, st.booleans())
@example(b"\x81\x7e\x00\x01", [], False)
@settings(max_examples=300)
def test_garbage_never_raises_and_depends_on_no_cut(
    data: bytes, sizes: list[int], masked: bool
) -> None:
    whole, cut = decoder(masked=masked), decoder(masked=masked)
    assert whole.receive(data) == decode(data, sizes, cut)
    assert whole.controls == cut.controls
    if whole.end is None or whole.end.code != 1007:  # text fails as early as it has come
        assert whole.end == cut.end


@given(messages, st.booleans(), st.sampled_from([0, 5]))
def test_every_strict_prefix_is_only_incomplete(
    sent: list[str | bytes], masked: bool, max_frame: int
) -> None:
    encoder = FrameEncoder(masked=masked, max_frame=max_frame)
    frames = [encoder.message(message) for message in sent]
    data = b"".join(frames)
    for length in range(len(data)):
        decoding = decoder(masked=masked)
        got = decoding.receive(data[:length])
        assert got == sent[: len(got)]
        assert decoding.end is None
        assert decoding.receive(data[length:]) == sent[len(got) :]


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"\xc1\x00", 1002),  # RSV1 without an extension
        (b"\xa1\x00", 1002),
        (b"\x91\x00", 1002),
        (b"\x83\x00", 1002),  # opcodes that nobody has defined
        (b"\x8b\x00", 1002),
        (b"\x80\x00", 1002),  # a continuation of nothing
        (b"\x01\x01a\x81\x01b", 1002),  # a message inside another
        (b"\x81\x7e\x00\x7d", 1002),  # sizes that are not in their shortest form
        (b"\x81\x7f" + (65535).to_bytes(8), 1002),
        (b"\x81\x7f\x80" + bytes(7), 1002),
        (b"\x09\x00", 1002),  # a ping in fragments
        (b"\x89\x7e\x00\x7e", 1002),  # a long ping
        (b"\x88\x01\x03", 1002),  # half a close code
        (b"\x88\x02\x03\xed", 1002),  # 1005 on the wire
        (b"\x88\x02\x0b\xb7", 1002),  # 2999
        (b"\x88\x03\x03\xe8\xff", 1007),  # a reason that is no UTF-8
        (b"\x81\x01\xff", 1007),
        (b"\x01\x01\xff", 1007),  # at the first fragment already
        (b"\x81\x02\xce\xba\x81\x02\xed\xa0", 1007),
        (b"\x01\x01\xce\x80\x00", 1007),  # half a character at the end
        (b"\x81\x85abcdeeeee", 1002),  # a server that masks
    ],
)
def test_violations_end_it_with_their_code(frame: bytes, code: int) -> None:
    for sizes in ([], [1] * len(frame)):
        decoding = decoder(masked=False)
        decode(frame, sizes, decoding)
        assert decoding.end is not None
        assert decoding.end.code == code
        assert not decoding.end.by_peer
        assert decoding.receive(b"\x81\x01a") == []


def test_a_client_that_does_not_mask_is_a_violation() -> None:
    decoding = decoder(masked=True)
    decoding.receive(FrameEncoder(masked=False).message("abcdefgh"))
    assert decoding.end == Ended(1002, "a client's frame is not masked", by_peer=False)


def test_what_came_before_a_violation_is_delivered() -> None:
    decoding = decoder(masked=False)
    assert decoding.receive(b"\x81\x01a\x82\x01b\xf0\x00\x81\x01c") == ["a", b"b"]
    assert decoding.end is not None


@pytest.mark.parametrize("masked", [False, True])
def test_sizes_count_bytes_and_are_refused_by_the_header(masked: bool) -> None:
    encoder = FrameEncoder(masked=masked)
    assert decoder(masked=masked, max_message=10).receive(encoder.message("ä" * 5)) == ["äääää"]
    for frame in (encoder.message("ä" * 6), encoder.message("x" * 70000)[:14]):
        decoding = decoder(masked=masked, max_message=10)
        assert decoding.receive(frame) == []
        assert decoding.end is not None
        assert decoding.end.code == 1009


def test_fragments_count_together_and_frames_alone() -> None:
    frames = FrameEncoder(masked=False, max_frame=4).message(b"x" * 12)
    assert decoder(masked=False, max_message=12, max_frame=4).receive(frames) == [b"x" * 12]
    for limits in ({"max_message": 11}, {"max_message": 12, "max_frame": 3}):
        decoding = decoder(masked=False, **limits)
        assert decoding.receive(frames) == []
        assert decoding.end is not None
        assert decoding.end.code == 1009


@pytest.mark.parametrize("masked", [False, True])
def test_controls_between_fragments(masked: bool) -> None:
    encoder = FrameEncoder(masked=masked)
    first, rest = FrameEncoder(masked=masked, max_frame=3).message("abcäöü"), encoder.ping(b"?")
    cut = 5 + 4 * masked
    data = first[:cut] + rest + encoder.pong() + first[cut:]
    for sizes in ([], [1] * len(data)):
        decoding = decoder(masked=masked)
        assert decode(data, sizes, decoding) == ["abcäöü"]
        assert decoding.controls == [Control(PING, b"?"), Control(PONG, b"")]


@pytest.mark.parametrize(
    ("code", "reason"), [(1000, ""), (1001, "bye"), (3000, "ä"), (4999, "z" * 123)]
)
def test_close_carries_code_and_reason(code: int, reason: str) -> None:
    decoding = decoder(masked=False)
    assert decoding.receive(FrameEncoder(masked=False).close(code, reason) + b"\x81\x01a") == []
    assert decoding.end == Ended(code, reason, by_peer=True)


def test_close_without_a_code_is_1005() -> None:
    decoding = decoder(masked=True)
    decoding.receive(FrameEncoder(masked=True).close(1005))
    assert decoding.end == Ended(1005, "", by_peer=True)


def test_a_long_reason_is_cut_between_characters() -> None:
    decoding = decoder(masked=False)
    decoding.receive(FrameEncoder(masked=False).close(1000, "ä" * 80))
    assert decoding.end == Ended(1000, "ä" * 61, by_peer=True)


@pytest.mark.parametrize("code", [0, 999, 1004, 1006, 1015, 1016, 2999, 5000])
def test_codes_that_are_never_sent(code: int) -> None:
    assert not sendable(code)
    with pytest.raises(ValueError, match="cannot be sent"):
        FrameEncoder(masked=False).close(code)


def test_a_control_frame_is_short() -> None:
    assert len(FrameEncoder(masked=False).ping(b"x" * 125)) == 127
    with pytest.raises(ValueError, match="at most 125"):
        FrameEncoder(masked=False).ping(b"x" * 126)


def test_every_masked_frame_has_a_key_of_its_own() -> None:
    encoder = FrameEncoder(masked=True)
    assert len({encoder.message(b"")[2:6] for _ in range(50)}) > 45
