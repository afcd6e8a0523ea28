"""Who gets the notifications of a link: a table of source address and handle."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from flowbus_ads.protocol.ams import Frame
from flowbus_ads.protocol.notifications import Sample, parse_stream

Sink = Callable[[int, bytes], None]
"""Takes (FILETIME, value); must not wait."""

_MAX_ORPHANS: Final = 1000
_MAX_ENDED: Final = 10_000


class Strange(NamedTuple):
    """A sample that has no sink (yet): who sent it, and to which own address."""

    source: bytes
    own: bytes
    sample: Sample


class NoteTable:
    """Sinks by source and handle.

    A sample may come before the answer that names its handle: while an add is under way, unknown
    samples are kept (at most 1000) for it. Without one, the target is told once to stop them. A
    source that was never added, as a router with a changed NetId sends, is matched by handle alone
    where that is unambiguous. ``delete`` takes source, own address and handle.
    """

    def __init__(self, delete: Callable[[bytes, bytes, int], None]) -> None:
        self.unknown = 0
        self._sinks: dict[bytes, dict[int, Sink]] = {}
        self._delete = delete
        self._adding = 0
        self._orphans: deque[Strange] = deque(maxlen=_MAX_ORPHANS)
        self._ended: set[tuple[bytes, int]] = set()

    def take(self, frame: Frame) -> None:
        """Give the samples of a notification frame to their sinks. Raises ProtocolError."""
        sinks = self._sinks.get(frame.source)
        for sample in parse_stream(frame.data):
            filetime, handle, value = sample
            sink = sinks.get(handle) if sinks is not None else self._by_handle(handle)
            if sink is None:
                self._strange(Strange(frame.source, frame.target, sample))
            else:
                sink(filetime, value)

    def begin_add(self) -> None:
        """Keep unknown samples: an add request is under way."""
        self._adding += 1

    def end_add(self) -> None:
        """Let go of unknown samples: an add request has ended, and what is left has no owner."""
        self._adding -= 1
        if not self._adding:
            orphans, self._orphans = self._orphans, deque(maxlen=_MAX_ORPHANS)
            for orphan in orphans:
                self._strange(orphan)

    def add(self, source: bytes, handle: int, sink: Sink) -> None:
        """Route a handle to ``sink``, and first what has already come for it."""
        self._sinks.setdefault(source, {})[handle] = sink
        self._ended.discard((source, handle))
        for orphan in list(self._orphans):
            filetime, number, value = orphan.sample
            if number == handle and orphan.source == source:
                self._orphans.remove(orphan)
                sink(filetime, value)

    def remove(self, source: bytes, handle: int) -> None:
        """Forget a handle whose deletion is asked for; samples on their way are ignored."""
        self._sinks.get(source, {}).pop(handle, None)
        self._end(source, handle)

    def _by_handle(self, handle: int) -> Sink | None:
        found = [sinks[handle] for sinks in self._sinks.values() if handle in sinks]
        return found[0] if len(found) == 1 else None

    def _strange(self, strange: Strange) -> None:
        handle = strange.sample[1]
        if self._adding:
            self._orphans.append(strange)
        elif (strange.source, handle) not in self._ended:
            self.unknown += 1
            self._end(strange.source, handle)
            self._delete(strange.source, strange.own, handle)

    def _end(self, source: bytes, handle: int) -> None:
        if len(self._ended) >= _MAX_ENDED:
            self._ended.clear()
        self._ended.add((source, handle))
