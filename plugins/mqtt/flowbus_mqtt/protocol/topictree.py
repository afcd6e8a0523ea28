"""Which subscriptions take a topic: a tree of filter levels."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class _Level(Generic[K, V]):
    __slots__ = ("below", "here")

    def __init__(self) -> None:
        self.below: dict[str, _Level[K, V]] = {}
        self.here: dict[K, V] = {}


class TopicTree(Generic[K, V]):
    """Values under valid topic filters, one for each filter and key (such as a client)."""

    def __init__(self) -> None:
        self._root: _Level[K, V] = _Level()

    def put(self, topic_filter: str, key: K, value: V) -> None:
        """Add or replace the value of ``key`` under a filter."""
        level = self._root
        for name in topic_filter.split("/"):
            level = level.below.setdefault(name, _Level())
        level.here[key] = value

    def remove(self, topic_filter: str, key: K) -> None:
        """Remove it where it is there, and the levels that nobody needs any more."""
        names = topic_filter.split("/")
        path = [self._root]
        for name in names:
            level = path[-1].below.get(name)
            if level is None:
                return
            path.append(level)
        path[-1].here.pop(key, None)
        for above, name in zip(reversed(path[:-1]), reversed(names), strict=True):
            level = above.below[name]
            if level.here or level.below:
                break
            del above.below[name]

    def match(self, topic: str) -> Iterator[tuple[K, V]]:
        """Yield the keys and values of every filter that takes ``topic``; a key may come again."""
        names = topic.split("/")
        levels = [self._root]
        wild = topic[:1] != "$"  # wildcards in the first level do not take $ topics (section 4.7.2)
        for name in names:
            following: list[_Level[K, V]] = []
            for level in levels:
                below = level.below
                if name in below:
                    following.append(below[name])
                if wild:
                    if "+" in below:
                        following.append(below["+"])
                    if "#" in below:
                        yield from below["#"].here.items()
            levels = following
            wild = True
        for level in levels:
            yield from level.here.items()
            if "#" in level.below:  # a/# takes a as well
                yield from level.below["#"].here.items()
