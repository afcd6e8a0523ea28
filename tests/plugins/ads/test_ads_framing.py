"""Frames of AMS/TCP: whole, in pieces, cut short, and what is no frame."""

from __future__ import annotations

import pytest
from flowbus_ads.protocol.ams import HEADER_SIZE, Frame, FrameReader, encode_frame
from flowbus_ads.protocol.constants import REQUEST, Command
from flowbus_ads.protocol.errors import ProtocolError
from hypothesis import given
from hypothesis import strategies as st

# Captured from pyads 3.6.0 (Beckhoff's AdsLib): device info, state, handle by name, read by handle,
# release, write, symbol info, sum read, add and delete notification, write control.
CAPTURED = [
    bytes.fromhex(text)
    for text in (
        "0000200000007f000001010153037f0000010101307501000400000000000000000001000000",
        "0000200000007f000001010153037f0000010101307504000400000000000000000002000000",
        (
            "0000370000007f000001010153037f000001010130750900040017000000000000000300000003f0000000000000"
            "04000000070000004d41494e2e6e00"
        ),
        (
            "00002c0000007f000001010153037f0000010101307502000400"
            "0c000000000000000400000005f000000010000004000000"
        ),
        (
            "0000300000007f000001010153037f0000010101307503000400"
            "10000000000000000500000006f00000000000000400000000100000"
        ),
        (
            "00002e0000007f000001010153037f0000010101307503000400"
            "0e00000000000000060000002040000004000000020000000700"
        ),
        (
            "0000370000007f000001010153037f000001010130750900040017000000000000000700000009f0000000000000"
            "1e030000070000004d41494e2e6e00"
        ),
        (
            "0000480000007f000001010153037f000001010130750900040028000000000000000900000080f0000002000000"
            "1400000018000000404000000000000004000000404000000800000008000000"
        ),
        (
            "0000480000007f000001010153037f000001010130750600040028000000000000000a0000004040000000000000"
            "0400000004000000010000000100000000000000000000000000000000000000"
        ),
        "0000240000007f000001010153037f000001010130750700040004000000000000000b00000001000000",
        (
            "00002a0000007f000001010153037f0000010101307505000400"
            "0a000000000000000c00000005000000020000000000"
        ),
    )
]


@pytest.mark.parametrize("data", CAPTURED)
def test_a_captured_frame_is_read_and_written_back(data: bytes) -> None:
    (frame,) = FrameReader().feed(data)
    assert frame.flags == REQUEST
    assert encode_frame(frame) == data


@pytest.mark.parametrize("data", CAPTURED)
def test_no_strict_prefix_is_a_frame(data: bytes) -> None:
    for end in range(len(data)):
        reader = FrameReader()
        assert reader.feed(data[:end]) == []
        assert reader.pending == end
        assert len(reader.feed(data[end:])) == 1
        assert reader.pending == 0


@given(st.lists(st.integers(1, 60), max_size=40))
def test_pieces_of_any_size_give_the_same_frames(cuts: list[int]) -> None:
    stream = b"".join(CAPTURED)
    reader, frames, at = FrameReader(), [], 0
    for cut in [*cuts, len(stream)]:
        frames += reader.feed(stream[at : at + cut])
        at += cut
    assert [encode_frame(frame) for frame in frames] == CAPTURED


@given(
    st.integers(1, 9), st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF),
    st.integers(0, 0xFFFFFFFF), st.binary(max_size=200),
)  # fmt: skip
def test_every_frame_survives(command: int, flags: int, error: int, key: int, data: bytes) -> None:
    frame = Frame(b"targetid", b"sourceid", command, flags, error, key, data)
    assert FrameReader().feed(encode_frame(frame)) == [frame]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"HTTP/1.1 400 Bad Request", "begins with 4854"),
        (b"\x00\x01", "begins with 0001"),
        (b"\xff", "begins with ff"),
        (b"\x00\x00" + b"\xff" * 40, "announces"),
        (bytes(HEADER_SIZE), "length 0"),
    ],
)
def test_garbage_is_refused_early_and_for_good(data: bytes, text: str) -> None:
    reader = FrameReader()
    with pytest.raises(ProtocolError, match=text):
        reader.feed(data)
    with pytest.raises(ProtocolError, match=text):
        reader.feed(CAPTURED[0])


def test_an_unknown_command_is_garbage() -> None:
    frame = Frame(b"targetid", b"sourceid", 10, REQUEST, 0, 1, b"")
    with pytest.raises(ProtocolError, match="unknown command 10"):
        FrameReader().feed(encode_frame(frame))


def test_a_frame_above_the_limit_is_refused_before_its_data_comes() -> None:
    data = encode_frame(Frame(b"targetid", b"sourceid", Command.READ, REQUEST, 0, 1, bytes(101)))
    with pytest.raises(ProtocolError, match="limit is 100"):
        FrameReader(max_data=100).feed(data[:HEADER_SIZE])


@given(st.binary(min_size=HEADER_SIZE, max_size=200))
def test_random_bytes_never_do_anything_but_refuse_or_wait(data: bytes) -> None:
    reader = FrameReader()
    try:
        frames = reader.feed(data)
    except ProtocolError:
        return
    assert sum(HEADER_SIZE + len(frame.data) for frame in frames) + reader.pending == len(data)
