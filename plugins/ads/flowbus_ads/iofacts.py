"""What an I/O server and its EtherCAT masters told, as objects that JSON can hold.

A fact that was not told is None, and ``faults`` beside it says why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from flowbus import Lost, Rejected
from flowbus_ads.protocol import iostates
from flowbus_ads.protocol.commands import DeviceInfo

NotTold = Rejected | Lost
"""What stands in the place of an answer that did not come."""


class Look(NamedTuple):
    """What one look at an EtherCAT master told; the last three have an entry per terminal.

    All but ``addresses`` may be a :data:`NotTold`.
    """

    addresses: list[int]
    state: Any
    frames: Any
    identity: Any
    states: Any
    crc_sums: Any


class Facts:
    """An object in the making."""

    def __init__(self, **fields: Any) -> None:
        self._fields: dict[str, Any] = fields
        self._faults: dict[str, dict[str, str]] = {}

    def put(self, name: str, answer: Any, show: Callable[[Any], Any] = lambda value: value) -> None:
        """Add a fact, as ``show(answer)``, or None and the fault in its place."""
        if isinstance(answer, NotTold):
            self._fields[name] = None
            self._faults[name] = fault(answer)
        else:
            self._fields[name] = show(answer)

    def done(self, **more: Any) -> dict[str, Any]:
        """Return the object; ``faults`` is there only where something is missing."""
        return {**self._fields, **more, **({"faults": self._faults} if self._faults else {})}


def fault(error: NotTold) -> dict[str, str]:
    """Return a fault as a part of a payload."""
    return {"code": error.fault.code, "text": error.text}


def server(info: DeviceInfo, net_id: str, device_count: int) -> dict[str, Any]:
    """Return what is known of an I/O server."""
    return {
        "name": info.name, "version": f"{info.version}.{info.revision}", "build": info.build,
        "net_id": net_id, "device_count": device_count,
    }  # fmt: skip


def head(number: int, name: Any, kind: Any, net_id: Any) -> dict[str, Any]:
    """Return what the I/O server knows of a device."""
    facts = Facts(id=number)
    facts.put("name", name)
    facts.put("type", kind, iostates.type_words)
    facts.put("net_id", net_id)
    return facts.done(type_number=None if isinstance(kind, NotTold) else kind)


def master(look: Look | NotTold) -> dict[str, Any]:
    """Return what an EtherCAT master told of itself; ``fault`` where it did not answer at all."""
    if isinstance(look, NotTold):
        return {"terminal_count": None, "fault": fault(look)}
    facts = Facts()
    facts.put("identity", look.identity, _fields)
    facts.put("state", look.state, iostates.state_words)
    facts.put("frames", look.frames, _fields)
    return facts.done(terminal_count=len(look.addresses))


def terminal(look: Look, place: int, answers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the terminal at a place: the answers about it alone, and what the master's lists tell of it."""
    facts = Facts(address=look.addresses[place])
    for name, answer in answers.items():
        facts.put(name, answer, _fields)
    states = _at(look.states, place)
    facts.put("state", states, lambda pair: iostates.state_words(pair.state))
    facts.put("link", states, lambda pair: iostates.link_words(pair.link))
    facts.put("crc_sum", _at(look.crc_sums, place))
    return facts.done()


def is_master(device: Mapping[str, Any]) -> bool:
    """Tell whether a device is an EtherCAT master that can be asked."""
    return device["type_number"] in iostates.DEVICE_TYPES and device["net_id"] is not None


def _fields(value: Any) -> Any:
    return value._asdict() if hasattr(value, "_asdict") else value


def _at(answers: Any, place: int) -> Any:
    return answers if isinstance(answers, NotTold) else answers[place]
