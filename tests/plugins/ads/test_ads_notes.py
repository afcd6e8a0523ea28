"""The table of notification sinks: early, strange and misaddressed samples."""

from __future__ import annotations

import pytest
from flowbus_ads.notes import EarlySamples, NoteTable, Sink
from flowbus_ads.protocol.ams import Frame
from flowbus_ads.protocol.constants import REQUEST, Command
from flowbus_ads.protocol.errors import ProtocolError
from flowbus_ads.protocol.notifications import build_stream

PLC, OTHER, OWN = b"plc-addr", b"oth-addr", b"own-addr"


class Table(NoteTable):
    """A table that keeps what it tells targets to delete."""

    def __init__(self) -> None:
        self.deleted: list[tuple[bytes, bytes, int]] = []
        self.heard: list[tuple[int, bytes]] = []
        super().__init__(lambda *what: self.deleted.append(what))

    def sink(self) -> Sink:
        return lambda filetime, value: self.heard.append((filetime, value))


def frame(handle: int, value: bytes = b"x", source: bytes = PLC, time: int = 1) -> Frame:
    data = build_stream([(time, [(handle, value)])])
    return Frame(OWN, source, Command.NOTIFICATION, REQUEST, 0, 0, data)


def test_a_sample_before_the_answer_that_names_its_handle_waits_for_it() -> None:
    table = Table()
    table.begin_add()
    table.take(frame(5, b"a"))
    table.take(frame(5, b"b", time=2))
    table.add(PLC, 5, table.sink())
    table.take(frame(5, b"c", time=3))
    table.end_add()
    assert table.heard == [(1, b"a"), (2, b"b"), (3, b"c")]
    assert table.deleted == []


def test_what_no_add_has_claimed_is_deleted_once() -> None:
    table = Table()
    table.begin_add()
    table.take(frame(6))
    table.end_add()
    table.take(frame(6))
    assert table.deleted == [(PLC, OWN, 6)]
    assert table.unknown == 1


def test_early_samples_are_bounded_and_what_is_dropped_is_counted() -> None:
    early = EarlySamples(3)
    for number, handle in enumerate((1, 2, 2, 2, 3)):
        early.put(PLC, OWN, (number, handle, b""))
    assert early.dropped == 2  # the oldest of 2, which has newer ones, and the only one of 3
    assert list(early.take(PLC, 2)) == [(2, 2, b""), (3, 2, b"")]
    assert list(early.take(PLC, 3)) == []
    early.put(PLC, OWN, (9, 4, b""))
    assert (early.dropped, early.take_all()) == (2, [(PLC, OWN, 1), (PLC, OWN, 4)])
    assert early.take_all() == []


def test_a_table_tells_how_many_early_samples_it_dropped() -> None:
    table = Table()
    table.begin_add()
    table.take(frame(5, b"a"))
    for number in range(10_000):
        table.take(frame(6, time=number))
    assert table.early_dropped == 1
    table.add(PLC, 5, table.sink())
    table.end_add()
    assert table.heard == [(1, b"a")]
    assert table.deleted == [(PLC, OWN, 6)]


def test_a_handle_is_told_apart_by_its_source() -> None:
    table, other = Table(), Table()
    table.add(PLC, 5, table.sink())
    table.add(OTHER, 5, other.sink())
    table.take(frame(5, b"p"))
    table.take(frame(5, b"o", OTHER))
    assert (table.heard, other.heard) == ([(1, b"p")], [(1, b"o")])


def test_a_source_that_was_never_added_is_matched_by_handle_where_that_is_unambiguous() -> None:
    table = Table()
    table.add(PLC, 5, table.sink())
    table.take(frame(5, b"p", b"strange!"))
    assert table.heard == [(1, b"p")]
    table.add(OTHER, 5, table.sink())
    table.take(frame(5, b"q", b"strange!"))
    assert table.heard == [(1, b"p")]
    assert table.deleted == [(b"strange!", OWN, 5)]


def test_samples_after_the_removal_are_ignored_and_a_new_add_hears_again() -> None:
    table = Table()
    table.add(PLC, 5, table.sink())
    table.remove(PLC, 5)
    table.take(frame(5))
    assert (table.heard, table.deleted) == ([], [])
    table.add(PLC, 5, table.sink())
    table.take(frame(5))
    assert table.heard == [(1, b"x")]


def test_a_notification_cut_short_is_refused() -> None:
    whole = frame(5, b"abc")
    with pytest.raises(ProtocolError, match="cut short"):
        Table().take(Frame(OWN, PLC, 8, REQUEST, 0, 0, whole.data[:-1]))
