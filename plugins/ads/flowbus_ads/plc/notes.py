"""Notifications of a simulated PLC: who wants which bytes when, and what is due."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Protocol

import msgspec

from flowbus_ads.protocol.ams import Frame, encode_frame
from flowbus_ads.protocol.constants import REQUEST, Command, ErrorCode, TransMode
from flowbus_ads.protocol.notifications import build_stream

Owner = int
"""Number of the TCP connection that a notification goes to."""


class Source(Protocol):
    """Where the values are."""

    def read(self, group: int, offset: int, length: int) -> bytes | ErrorCode:
        """Return ``length`` bytes, or why not."""


class Note(msgspec.Struct):
    """One notification; times in seconds of the clock that the caller passes."""

    handle: int
    owner: Owner
    client: bytes
    server: bytes
    group: int
    offset: int
    length: int
    mode: int
    cycle: float
    delay: float
    symbol_handle: int | None = None
    due: float = float("-inf")
    last: bytes | None = None
    held: list[tuple[int, bytes]] = msgspec.field(default_factory=list)
    held_since: float = 0.0


Outgoing = tuple[Owner, bytes]


class NoteBook:
    """All notifications of a device."""

    def __init__(self) -> None:
        self._notes: dict[int, Note] = {}
        self._next = 1

    def __len__(self) -> int:
        return len(self._notes)

    def add(self, note: Note) -> int:
        """Take in a notification and return its handle; its present value is due at once."""
        note.handle = self._next
        self._next += 1
        self._notes[note.handle] = note
        return note.handle

    def delete(self, handle: int) -> bool:
        """Forget a notification; False when there is none of this handle."""
        return self._notes.pop(handle, None) is not None

    def drop_owner(self, owner: Owner) -> None:
        """Forget what a closed connection had asked for."""
        self._notes = {h: note for h, note in self._notes.items() if note.owner != owner}

    def due(self, source: Source, now: float, filetime: int) -> list[Outgoing]:
        """Return the frames that are due, and plan the next samples."""
        ready: list[tuple[Note, list[tuple[int, bytes]]]] = []
        for note in self._notes.values():
            samples = self._samples(note, source, now, filetime)
            if samples:
                ready.append((note, samples))
        return list(_frames(ready))

    def burst(self, source: Source, filetime: int, count: int) -> list[Outgoing]:
        """Return ``count`` samples of every notification at once."""
        ready = []
        for note in self._notes.values():
            value = source.read(note.group, note.offset, note.length)
            if isinstance(value, bytes):
                ready.append((note, [(filetime + i, value) for i in range(count)]))
        return list(_frames(ready))

    def empty(self, filetime: int) -> list[Outgoing]:
        """Return an empty sample of every notification."""
        return list(_frames([(note, [(filetime, b"")]) for note in self._notes.values()]))

    def end_by_handle(self, filetime: int) -> list[Outgoing]:
        """End what hangs on symbol handles, with an empty sample each, as an online change does."""
        ended = [note for note in self._notes.values() if note.symbol_handle is not None]
        for note in ended:
            del self._notes[note.handle]
        return list(_frames([(note, [(filetime, b"")]) for note in ended]))

    def _samples(
        self, note: Note, source: Source, now: float, filetime: int
    ) -> list[tuple[int, bytes]]:
        if now >= note.due:
            note.due = now + note.cycle if note.due < now - note.cycle else note.due + note.cycle
            value = source.read(note.group, note.offset, note.length)
            wanted = note.mode == TransMode.CYCLIC or value != note.last
            if wanted and isinstance(value, bytes):
                note.held_since = note.held_since if note.held else now
                note.held.append((filetime, value))
                note.last = value
        if not note.held or now < note.held_since + note.delay:
            return []
        samples, note.held = note.held, []
        return samples


def _frames(ready: Iterable[tuple[Note, list[tuple[int, bytes]]]]) -> Iterator[Outgoing]:
    """One frame per connection and AMS client, its samples grouped by time."""
    by_client: dict[tuple[Owner, bytes, bytes], list[tuple[int, int, bytes]]] = {}
    for note, samples in ready:
        rows = by_client.setdefault((note.owner, note.client, note.server), [])
        rows.extend((filetime, note.handle, value) for filetime, value in samples)
    for (owner, client, server), rows in by_client.items():
        rows.sort(key=lambda row: row[0])
        stamps = [
            (filetime, [(handle, value) for _, handle, value in group])
            for filetime, group in groupby(rows, key=lambda row: row[0])
        ]
        data = build_stream(stamps)
        yield owner, encode_frame(Frame(client, server, Command.NOTIFICATION, REQUEST, 0, 0, data))
