"""What a flow file says, as values."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from flowbus.jsontext import Document
from flowbus.problem import FlowFileError, JsonPath, Problem


class ConnectionSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A connection as the file has it; ``options`` are decoded by its type."""

    name: str
    type: str
    note: str = ""
    options: Mapping[str, Any]

    @property
    def path(self) -> JsonPath:
        """Where it stands in the file."""
        return ("connections", self.name)


class NodeSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A node as the file has it; ``options`` are decoded by its type.

    ``ttl`` in seconds: None leaves it to the type, infinity means never.
    """

    name: str
    type: str
    note: str = ""
    ttl: float | None = None
    options: Mapping[str, Any]

    @property
    def path(self) -> JsonPath:
        """Where it stands in the file."""
        return ("nodes", self.name)


class WireSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One wire, from one outlet of one node to one node. ``ttl`` in seconds, None for never."""

    source: str
    outlet: str
    to: str
    capacity: int = 128
    when_full: Literal["wait", "drop-oldest", "drop-newest", "reject"] = "wait"
    ttl: float | None = None
    buffer: Literal["memory", "disk"] = "memory"
    max_bytes: int | None = None
    note: str = ""
    path: JsonPath = ()
    from_star: bool = False

    @property
    def start(self) -> str:
        """Where it begins, as the file says it: ``node`` or ``node.outlet``."""
        return self.source if self.outlet == "out" else f"{self.source}.{self.outlet}"

    @property
    def label(self) -> str:
        """What identifies it: ``from→to``."""
        return f"{self.start}→{self.to}"


class FlowFile(msgspec.Struct, frozen=True, kw_only=True):
    """What a flow file says, without what is disabled.

    With ``problems`` it is only the part that could be read. ``disabled`` has the names of the
    nodes that were left out, ``idle_wires`` those from or to them.
    """

    file: str
    name: str
    note: str = ""
    connections: Mapping[str, ConnectionSpec] = {}
    nodes: Mapping[str, NodeSpec] = {}
    wires: tuple[WireSpec, ...] = ()
    disabled: frozenset[str] = frozenset()
    idle_wires: tuple[WireSpec, ...] = ()
    problems: tuple[Problem, ...] = ()
    document: Document

    @property
    def base_dir(self) -> Path:
        """The folder that relative paths in the file start from."""
        return base_dir(self.file)

    def require(self) -> FlowFile:
        """Return this flow; raises FlowFileError where the file has errors."""
        if self.problems:
            raise FlowFileError(self.problems)
        return self


def base_dir(file: str) -> Path:
    """Return the folder of a flow file, absolute; the working directory for what is no file."""
    return Path(file).absolute().parent
