"""The keys of a flow file that have a meaning of their own, as configs."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from flowbus.config import ByteSize, Config

VERSION = 1
NAME = re.compile(r"[a-z][a-z0-9_-]*")
NAME_RULE = "a name begins with a to z and goes on with a to z, 0 to 9, _ and -"

Note = Annotated[str, Meta(description="A remark for people; the runtime ignores it.")]


class TopKeys(Config):
    """A flow: nodes and the wires between them."""

    flowbus: Annotated[int, Meta(description="Version of the file format: 1.")]
    name: Annotated[
        str | None, Meta(description="Name of the flow; without it, that of the file.")
    ] = None
    note: Note = ""
    connections: Annotated[
        dict[str, Any], Meta(description="Peers that several nodes share, by name.")
    ] = msgspec.field(default_factory=dict)
    nodes: Annotated[dict[str, Any], Meta(description="The nodes by name.")]
    wires: Annotated[list[Any], Meta(description="What leads from which outlet to which node.")] = (
        msgspec.field(default_factory=list)
    )


class NodeKeys(Config):
    """What every node may have beside the options of its type."""

    type: Annotated[str, Meta(description="The node's type.")]
    note: Note = ""
    disabled: Annotated[
        bool, Meta(description="Leave the node and its wires out, as if they were not there.")
    ] = False
    ttl: Annotated[
        Annotated[float, Meta(ge=0)] | None,
        Meta(
            description="Seconds after which a message that has not been taken expires; 0: never. "
            "Without it, the default of the type."
        ),
    ] = None


class ConnectionKeys(Config):
    """What every connection may have beside the options of its type."""

    type: Annotated[str, Meta(description="The connection's type.")]
    note: Note = ""


class WireKeys(Config):
    """The long form of a wire."""

    source: Annotated[
        str,
        Meta(
            description="`node`, `node.outlet`, or `*.error` and `*.status` for those of all nodes "
            "but the receiver."
        ),
    ] = msgspec.field(name="from")
    to: Annotated[str, Meta(description="The node that receives.")]
    capacity: Annotated[
        int, Meta(ge=1, le=1_000_000, description="Messages that the wire holds.")
    ] = 128
    when_full: Annotated[
        Literal["wait", "drop-oldest", "drop-newest", "reject"],
        Meta(
            description="What a full wire does: `wait` stops the sender (hence its other wires "
            "too), the others lose the oldest or the new message, or reject the new one."
        ),
    ] = "wait"
    ttl: Annotated[
        Annotated[float, Meta(ge=0)] | None,
        Meta(description="Seconds after which a message on the wire expires; 0: never."),
    ] = None
    buffer: Annotated[
        Literal["memory", "disk"], Meta(description="Where the wire keeps its messages.")
    ] = "memory"
    max_bytes: Annotated[
        ByteSize | None, Meta(description="Room on disk for a wire with buffer `disk`.")
    ] = None
    note: Note = ""
