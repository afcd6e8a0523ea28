"""Where a node's messages leave: the wires of its outlets, and what happens to a rejected one."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from flowbus.clock import SECOND, Clock
from flowbus.counters import Counters
from flowbus.faults import BUG, Fault
from flowbus.message import Message
from flowbus.receipt import Receipt, on_error_branch
from flowbus.statuswire import StatusWire
from flowbus.wire import Wire

log = logging.getLogger("flowbus.node")


class FaultLog:
    """Counts every fault of one node and logs it once per kind and minute."""

    def __init__(self, node: str, counters: Counters, clock: Clock) -> None:
        self._node = node
        self._counters = counters
        self._clock = clock
        self._last: dict[str, tuple[int, int]] = {}  # code -> when logged, count then

    def note(self, fault: Fault, text: str, error: BaseException | None = None) -> None:
        """Count ``fault``; the log gets the traceback of ``error``, never the report."""
        counts = self._counters.faults
        counts[fault.code] += 1
        now = self._clock.now()
        logged, count = self._last.get(fault.code, (-61 * SECOND, 0))
        if now - logged < 60 * SECOND:
            return
        self._last[fault.code] = (now, counts[fault.code])
        more = counts[fault.code] - count - 1
        suffix = f" (and {more} more since the last report)" if more > 0 else ""
        level = logging.ERROR if fault is BUG else logging.WARNING
        extra = {"node": self._node, "code": fault.code}
        log.log(level, "%s: %s %s%s", self._node, fault.code, text, suffix, exc_info=error, extra=extra)


class Outlets:
    """The outgoing side of one node. ``by_name`` has every outlet, wired or not, but the two below."""

    __slots__ = ("by_name", "counters", "error", "faults", "node", "status")

    def __init__(self, node: str, names: tuple[str, ...], counters: Counters, faults: FaultLog) -> None:
        self.node = node
        self.counters = counters
        self.faults = faults
        self.by_name: dict[str, tuple[Wire, ...]] = dict.fromkeys(names, ())
        self.error: tuple[Wire, ...] = ()
        self.status: tuple[StatusWire, ...] = ()

    def connect(self, outlet: str, wire: Wire) -> None:
        """Let ``wire`` leave from ``outlet``."""
        if outlet == "error":
            self.error = (*self.error, wire)
        elif outlet == "status":
            assert isinstance(wire, StatusWire)
            self.status = (*self.status, wire)
        else:
            self.by_name[outlet] = (*self.by_name[outlet], wire)

    def wires(self, outlet: str) -> tuple[Wire, ...]:
        """Return the wires of ``outlet``; ValueError names the known ones if there is no such outlet."""
        try:
            return self.by_name[outlet]
        except KeyError:
            raise ValueError(unknown_outlet(outlet, self.by_name)) from None

    def reject(
        self, message: Message, receipt: Receipt, fault: Fault, text: str,
        error: BaseException | None = None,
    ) -> None:  # fmt: skip
        """End a message as rejected; it leaves by ``error`` if that is wired, once in its life."""
        self.counters.rejected += 1
        if receipt.handled or not self.error:
            self.faults.note(fault, text, error)
            receipt.reject(fault.code, text)
            return
        if error is not None:  # a bug is worth its traceback even where somebody handles the message
            self.faults.note(fault, text, error)
        else:
            self.counters.faults[fault.code] += 1
        branch = on_error_branch(receipt, fault.code, text)
        branch.fork(len(self.error) - 1)
        copy = message.with_headers(fault=describe(fault, text, self.node))
        for wire in self.error:
            wire.force(copy, branch)

    @property
    def overfull(self) -> bool:
        """True while an error branch holds more than its wire's capacity."""
        return any(wire.overfull for wire in self.error)

    async def wait_not_overfull(self) -> None:
        """Return once the error branches have taken in what was forced on them."""
        for wire in self.error:
            await wire.wait_not_overfull()


def describe(fault: Fault, text: str, node: str) -> Mapping[str, str]:
    """Return the header ``fault`` of a message on an error outlet."""
    return {
        "code": fault.code,
        "name": fault.name,
        "text": text,
        "node": node,
        "next_step": fault.next_step,
    }


def unknown_outlet(outlet: object, known: Mapping[str, object]) -> str:
    """Return the complaint about an outlet that the node's type does not declare."""
    return f"there is no outlet {outlet!r}; this node has {', '.join(known) or 'none'}"


