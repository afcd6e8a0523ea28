"""The fault registry: every code that a status or a message can carry, with its cause and next step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec


class Fault(msgspec.Struct, frozen=True, gc=False):
    """One entry: a stable ``code`` (``domain.name``) and what a technician needs to know about it."""

    code: str
    name: str
    cause: str
    next_step: str
    number: int | None = None
    temporary: bool = False
    aliases: tuple[str, ...] = ()


REJECTED = Fault(
    "flowbus.rejected",
    "message rejected",
    "A node refused the message.",
    "Read the text beside this code: it says what the node expected; mend the sender or add a map before the node.",
)
LOST = Fault(
    "flowbus.lost",
    "peer lost",
    "The peer of a node or connection went away or cannot be reached.",
    "Check that the peer runs and that the address in the flow file is right; flowbus tries again by itself.",
)
BUG = Fault(
    "flowbus.bug",
    "node failed unexpectedly",
    "A node raised an error that it does not account for, or returned something that is no message.",
    "Report the text and the log around it to the author of the node's plugin; the rest of the flow runs on.",
)
UNCONFIRMED = Fault(
    "flowbus.unconfirmed",
    "outcome unknown",
    "A write was interrupted before the peer answered; it may or may not have taken effect.",
    'Read the value back before writing again; "retry": true on the node repeats such writes by itself.',
)
POISON = Fault(
    "flowbus.poison",
    "message breaks its peer",
    "Again and again the peer was lost within a second of this message alone, while another one passed.",
    "Look at the message on the error outlet; the peer's own log usually says why it hangs up.",
)
LEAKED = Fault(
    "flowbus.leaked",
    "message vanished",
    "A message went out of existence without an end; that is a bug in the node that held it.",
    "Report it to the author of the node's plugin: every message taken must be confirmed, rejected or sent on.",
)
WIRE_FULL = Fault(
    "flowbus.wire_full",
    "wire full",
    'A wire with "when_full": "reject" was full when the message came.',
    "Find out why the receiving node is slow or waiting (flowbus status), or give the wire more capacity.",
)
EXPIRED = Fault(
    "flowbus.expired",
    "message too old",
    "The message was older than the ttl of a node or wire before it could be delivered.",
    "Look at what the receiving node was waiting for; raise its ttl only if an old value may still be acted on.",
)
NODE_FAILED = Fault(
    "flowbus.node_failed",
    "receiving node has failed",
    "The node that should take the message crashed too often and is out of service.",
    "Look at the status of that node; it is tried again every five minutes.",
)
NODE_ENDED = Fault(
    "flowbus.node_ended",
    "receiving node has ended",
    "The node that should take the message has finished its work and takes no more.",
    "Remove the wire, or see why that node ends.",
)
CONFIG = Fault(
    "flowbus.config",
    "configuration wrong",
    "A value in the flow file or something that it refers to is wrong.",
    "Read the text beside this code, mend the flow file or the file it refers to, and run flowbus check.",
)
BLOCKED_LOOP = Fault(
    "flowbus.blocked_loop",
    "node held up the whole program",
    "A node computed for too long without giving way, so that nothing else could run.",
    "Give the node less work a message, or ask its author to move long work into a thread.",
)
CONNECTION_DOWN = Fault(
    "flowbus.connection_down",
    "connection is down",
    "The connection that the node works through is not up.",
    "Look at the status of the connection; the node goes on by itself once it is back.",
)

CORE_FAULTS: tuple[Fault, ...] = (
    REJECTED, LOST, BUG, UNCONFIRMED, POISON, LEAKED, WIRE_FULL, EXPIRED, NODE_FAILED, NODE_ENDED, CONFIG,
    BLOCKED_LOOP, CONNECTION_DOWN,
)  # fmt: skip


class FaultRegistry(Mapping[str, Fault]):
    """Faults by code; :meth:`find` also knows names, aliases and numbers."""

    def __init__(self, faults: Iterable[Fault] = CORE_FAULTS) -> None:
        self._by_code: dict[str, Fault] = {}
        self.add(faults)

    def add(self, faults: Iterable[Fault]) -> None:
        """Take in more entries. Raises ValueError where a code is taken by a different entry."""
        for fault in faults:
            if self._by_code.setdefault(fault.code, fault) != fault:
                raise ValueError(f"fault code {fault.code!r} is defined twice")

    def __getitem__(self, code: str) -> Fault:
        return self._by_code[code]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_code)

    def __len__(self) -> int:
        return len(self._by_code)

    def find(self, text: str) -> list[Fault]:
        """Entries whose code, name or alias is ``text`` (case ignored), else those that contain it."""
        wanted = text.casefold()
        exact = [f for f in self._by_code.values() if wanted in {name.casefold() for name in _names(f)}]
        return exact or [f for f in self._by_code.values() if any(wanted in n.casefold() for n in _names(f))]


def _names(fault: Fault) -> tuple[str, ...]:
    numbers = () if fault.number is None else (str(fault.number), hex(fault.number))
    return (fault.code, fault.name, *fault.aliases, *numbers)
