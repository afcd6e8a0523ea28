"""What messages change at the I/O devices of a simulated PLC."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flowbus_ads.plc.iodevices import IoDevice, Terminal
from flowbus_ads.protocol.iostates import SlaveState
from flowbus_ads.protocol.iotree import Crc


def set_terminal(devices: Sequence[IoDevice], wish: Any) -> None:
    """Change a terminal: ``{"terminal", "device", "state", "link", "crc", "silent"}``.

    ``link`` is the byte of the link state, ``crc`` what is added: at port a, or by port. Raises
    ValueError, TypeError; then nothing has changed.
    """
    given = _wish(wish, {"device", "terminal", "state", "link", "crc", "silent"})
    terminal = _terminal(devices, given.get("device"), given.get("terminal"))
    state = _state(given["state"]) if "state" in given else terminal.state
    link = _link(given["link"]) if "link" in given else terminal.link
    crc = _more_crc(terminal.crc, given["crc"]) if "crc" in given else terminal.crc
    silent = _flag(given.get("silent", terminal.silent))
    terminal.state, terminal.link, terminal.crc, terminal.silent = state, link, crc, silent


def set_device(devices: Sequence[IoDevice], wish: Any) -> None:
    """Change a device: ``{"device", "state", "lost", "silent"}``; ``lost`` frames are added.

    Raises ValueError, TypeError; then nothing has changed.
    """
    given = _wish(wish, {"device", "state", "lost", "silent"})
    device = _device(devices, given.get("device"))
    state = _state(given["state"]) if "state" in given else device.state
    lost = _count(given.get("lost", 0))
    device.silent = _flag(given.get("silent", device.silent))
    device.state, device.lost = state, device.lost + lost


def _device(devices: Sequence[IoDevice], key: Any) -> IoDevice:
    for device in devices:
        if key in (device.number, device.name) and type(key) is not bool:
            return device
    raise ValueError(f"there is no I/O device {key!r}")


def _terminal(devices: Sequence[IoDevice], device: Any, key: Any) -> Terminal:
    among = devices if device is None else [_device(devices, device)]
    found = [t for d in among for t in d.terminals if key in (t.address, t.name)]
    if len(found) == 1 and type(key) is not bool:
        return found[0]
    raise ValueError(f"{'several devices have a' if found else 'there is no'} terminal {key!r}")


def _wish(wish: Any, names: set[str]) -> dict[str, Any]:
    if not isinstance(wish, dict):
        raise TypeError(f"an object with {', '.join(sorted(names))} is needed")
    for name in set(wish) - names:
        raise ValueError(f"unknown {name!r}: give {', '.join(sorted(names))}")
    return wish


def _state(given: Any) -> int:
    """Return a state byte: a name such as SAFEOP, or the byte itself for one with an error bit."""
    if isinstance(given, str) and given.upper() in SlaveState.__members__:
        return int(SlaveState[given.upper()])
    if type(given) is int and 0 <= given <= 0xFF:
        return given
    raise ValueError(f"{given!r} is no state: {', '.join(SlaveState.__members__)} or a byte")


def _link(given: Any) -> int:
    if type(given) is int and 0 <= given <= 0xFF:
        return given
    raise ValueError(f"{given!r} is no link state: a byte is needed, 0 for a good link, 1 for none")


def _count(given: Any) -> int:
    if type(given) is int and 0 <= given <= 0xFFFF_FFFF:
        return given
    raise ValueError(f"{given!r} is no count")


def _flag(given: Any) -> bool:
    if not isinstance(given, bool):
        raise TypeError(f"{given!r} is neither true nor false")
    return given


def _more_crc(crc: Crc, given: Any) -> Crc:
    more = given if isinstance(given, dict) else {"a": given}
    for port in set(more) - set(Crc._fields):
        raise ValueError(f"{port!r} is no port: {', '.join(Crc._fields)}")
    return Crc(*[
        (old + _count(more.get(port, 0))) & 0xFFFF_FFFF
        for port, old in zip(Crc._fields, crc, strict=True)
    ])  # fmt: skip
