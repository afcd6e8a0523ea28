"""Lines cut out of a stream, whatever pieces it comes in."""

from __future__ import annotations

import itertools

import pytest
from flowbus_websocket.protocol.lines import Line, LineCutter
from hypothesis import given
from hypothesis import strategies as st


def cut(max_line: int, *pieces: str | bytes) -> list[tuple[str | bytes, bool]]:
    cutter = LineCutter(max_line)
    lines = [line for piece in pieces for line in cutter.feed(piece)]
    return [tuple(line) for line in lines + cutter.end()]


@pytest.mark.parametrize(
    ("pieces", "lines"),
    [
        (["a\nb\r\n"], [("a", True), ("b", True)]),
        (["a", "b\r", "\nc\n"], [("ab", True), ("c", True)]),
        (["\n\r\n"], [("", True), ("", True)]),
        (["a\rb\n"], [("a\rb", True)]),
        (["rest"], [("rest", False)]),
        (["\r"], [("\r", False)]),
        ([b"a\r\nb", b"\n"], [(b"a", True), (b"b", True)]),
        (["ab", b"cd\n"], [("ab", False), (b"cd", True)]),
        ([b"ab", "cd\n"], [(b"ab", False), ("cd", True)]),
        (["12345\n"], [("12345", True)]),
        (["12345\r\n"], [("12345", True)]),
        (["12345", "\r", "\n"], [("12345", True)]),
        (["123456\n"], [("12345", False), ("6", True)]),
        (["1234567890\r\n"], [("12345", False), ("67890", True)]),
        (["1234567890ab"], [("12345", False), ("67890", False), ("ab", False)]),
        (["12345\r6\n"], [("12345", False), ("\r6", True)]),
        ([], []),
    ],
)
def test_lines(pieces: list[str | bytes], lines: list[tuple[str | bytes, bool]]) -> None:
    assert cut(5, *pieces) == lines


STREAMS = st.text(alphabet="ab\r\nä", max_size=60)


@given(STREAMS, st.lists(st.integers(0, 60), max_size=6), st.integers(1, 7), st.booleans())
def test_it_does_not_matter_how_the_stream_is_cut(
    stream: str, cuts: list[int], max_line: int, binary: bool
) -> None:
    data: str | bytes = stream.encode() if binary else stream
    places = [0, *sorted(cuts), len(data)]
    pieces = [data[start:end] for start, end in itertools.pairwise(places)]
    assert cut(max_line, *pieces) == cut(max_line, data)


@given(STREAMS, st.integers(1, 7))
def test_nothing_is_lost_and_no_line_is_too_long(stream: str, max_line: int) -> None:
    lines = cut(max_line, stream)
    joined = "".join(str(content) + ("\n" if eol else "") for content, eol in lines)
    assert joined == stream.replace("\r\n", "\n") or "\r" in stream
    assert joined.replace("\r", "") == stream.replace("\r", "")
    assert all(len(content) <= max_line + 1 for content, _ in lines)
    assert all(len(content) <= max_line for content, eol in lines if eol)


def test_what_waits_for_its_end_is_bounded() -> None:
    cutter = LineCutter(10)
    for _ in range(1000):
        cutter.feed(b"x" * 7)
        assert len(cutter._binary) <= 11
    assert cutter.feed(b"\n") == [Line(b"x" * 10, eol=True)]  # 7000 of them in all
