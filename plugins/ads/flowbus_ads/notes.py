"""Who gets the notifications of a link: a table of source address and handle."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from flowbus_ads.protocol.ams import Frame
from flowbus_ads.protocol.notifications import Sample, parse_stream

Sink = Callable[[int, bytes], None]
"""Takes (FILETIME, value); must not wait."""

_MOST_EARLY: Final = 10_000
_MAX_ENDED: Final = 10_000


class EarlySamples:
    """Samples whose handle nobody knows yet, by source and handle; bounded, ``dropped`` are counted.

    When it is full a handle that has samples loses its oldest, another one its new sample.
    """

    def __init__(self, most: int = _MOST_EARLY) -> None:
        self.dropped = 0
        self._most, self._held = most, 0
        self._samples: dict[tuple[bytes, int], tuple[bytes, deque[Sample]]] = {}

    def put(self, source: bytes, own: bytes, sample: Sample) -> None:
        """Keep a sample that ``source`` sent to the own address ``own``."""
        key = source, sample[1]
        if self._held < self._most:
            self._held += 1
            self._samples.setdefault(key, (own, deque()))[1].append(sample)
            return
        self.dropped += 1
        if key in self._samples:
            samples = self._samples[key][1]
            samples.popleft()
            samples.append(sample)

    def take(self, source: bytes, handle: int) -> Iterable[Sample]:
        """Return the samples of a handle, oldest first, and forget them."""
        _, samples = self._samples.pop((source, handle), (b"", ()))
        self._held -= len(samples)
        return samples

    def take_all(self) -> list[tuple[bytes, bytes, int]]:
        """Forget everything; return source, own address and handle of what there was."""
        left = [(source, own, handle) for (source, handle), (own, _) in self._samples.items()]
        self._samples.clear()
        self._held = 0
        return left


class NoteTable:
    """Sinks by source and handle.

    A sample may come before the answer that names its handle: while an add is under way, unknown
    samples are kept for it. Without one, the target is told once to stop them. A source that was
    never added, as a router with a changed NetId sends, is matched by handle alone where that is
    unambiguous. ``delete`` takes source, own address and handle.
    """

    def __init__(self, delete: Callable[[bytes, bytes, int], None]) -> None:
        self.unknown = 0
        self._sinks: dict[bytes, dict[int, Sink]] = {}
        self._delete = delete
        self._adding = 0
        self._early = EarlySamples()
        self._ended: set[tuple[bytes, int]] = set()

    @property
    def early_dropped(self) -> int:
        """Samples dropped because too many came before the answer that names their handles."""
        return self._early.dropped

    def take(self, frame: Frame) -> None:
        """Give the samples of a notification frame to their sinks. Raises ProtocolError."""
        sinks = self._sinks.get(frame.source)
        for sample in parse_stream(frame.data):
            filetime, handle, value = sample
            sink = sinks.get(handle) if sinks is not None else self._by_handle(handle)
            if sink is None and self._adding:
                self._early.put(frame.source, frame.target, sample)
            elif sink is None:
                self._strange(frame.source, frame.target, handle)
            else:
                sink(filetime, value)

    def begin_add(self) -> None:
        """Keep unknown samples: an add request is under way."""
        self._adding += 1

    def end_add(self) -> None:
        """Let go of unknown samples: an add request has ended, and what is left has no owner."""
        self._adding -= 1
        if not self._adding:
            for source, own, handle in self._early.take_all():
                self._strange(source, own, handle)

    def add(self, source: bytes, handle: int, sink: Sink) -> None:
        """Route a handle to ``sink``, and first what has already come for it."""
        self._sinks.setdefault(source, {})[handle] = sink
        self._ended.discard((source, handle))
        for filetime, _, value in self._early.take(source, handle):
            sink(filetime, value)

    def remove(self, source: bytes, handle: int) -> None:
        """Forget a handle whose deletion is asked for; samples on their way are ignored."""
        self._sinks.get(source, {}).pop(handle, None)
        self._end(source, handle)

    def _by_handle(self, handle: int) -> Sink | None:
        found = [sinks[handle] for sinks in self._sinks.values() if handle in sinks]
        return found[0] if len(found) == 1 else None

    def _strange(self, source: bytes, own: bytes, handle: int) -> None:
        if (source, handle) not in self._ended:
            self.unknown += 1
            self._end(source, handle)
            self._delete(source, own, handle)

    def _end(self, source: bytes, handle: int) -> None:
        if len(self._ended) >= _MAX_ENDED:
            self._ended.clear()
        self._ended.add((source, handle))
