"""What a message to ``ads-simulator`` does: values to set, or a command that switches a fault."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flowbus import Message, Rejected
from flowbus_ads.plc.device import SimulatedPlc
from flowbus_ads.plc.iochanges import set_device, set_terminal
from flowbus_ads.plc.iodevices import IoDevice
from flowbus_ads.protocol.constants import AdsState
from flowbus_ads.protocol.errors import EncodeError
from flowbus_ads.server import PlcServer


def apply(server: PlcServer, message: Message) -> None:
    """Obey a message: a command in its headers, else values to set. Raises Rejected."""
    plc = _runtime_of(server, message)
    command = message.headers.get("command")
    if command is not None:
        obey = COMMANDS.get(command)
        if obey is None:
            raise Rejected(f"unknown command {command!r}: one of {', '.join(COMMANDS)}")
        try:
            obey(server, plc, message.payload)
        except (TypeError, ValueError, KeyError) as error:
            raise Rejected(
                f"command {command!r} with payload {message.payload!r}: {error}"
            ) from None
        return
    memory = plc.memory
    values = {message.topic: message.payload}
    if memory.find(message.topic) is None and isinstance(message.payload, dict):
        values = message.payload
    for name, value in values.items():
        try:
            memory.set(name, value)
        except KeyError:
            raise Rejected(f"the simulated PLC has no symbol {name!r}") from None
        except EncodeError as error:
            raise Rejected(f"{name}: {error}") from None


def _runtime_of(server: PlcServer, message: Message) -> SimulatedPlc:
    port = message.headers.get("ams_port", server.plc.port)
    plc = server.runtimes.get(port) if isinstance(port, int) else None
    if plc is None:
        ports = ", ".join(map(str, server.runtimes))
        raise Rejected(f"the simulated PLC has no runtime at AMS port {port!r}, but {ports}")
    return plc


def _mute(server: PlcServer, plc: SimulatedPlc, payload: Any) -> None:
    server.switches.mute = payload is not False


def _slow(server: PlcServer, plc: SimulatedPlc, payload: Any) -> None:
    server.switches.slow = float(payload)


def _garbage(server: PlcServer, plc: SimulatedPlc, payload: Any) -> None:
    server.switches.garbage = int(payload or 1)


def _wrong_invoke_id(server: PlcServer, plc: SimulatedPlc, payload: Any) -> None:
    server.switches.wrong_invoke_ids = int(payload or 1)


def _late(server: PlcServer, plc: SimulatedPlc, payload: Any) -> None:
    server.switches.late = float(payload)


def _oversize(server: PlcServer, plc: SimulatedPlc, payload: Any) -> None:
    server.switches.oversize = int(payload or 1)


def _truncate(server: PlcServer, plc: SimulatedPlc, payload: Any) -> None:
    server.switches.truncated = int(payload or 1)


def _symbol_version(server: PlcServer, plc: SimulatedPlc, payload: Any) -> None:
    plc.version = (plc.version + 1) & 0xFF


def _single_client(server: PlcServer, plc: SimulatedPlc, payload: Any) -> None:
    server.switches.single_client = payload is not False


def _no_sums(server: PlcServer, plc: SimulatedPlc, payload: Any) -> None:
    plc.sums_enabled = payload is False


def _state(server: PlcServer, plc: SimulatedPlc, payload: Any) -> None:
    plc.state = AdsState[str(payload).upper()]


def _io(plc: SimulatedPlc) -> Sequence[IoDevice]:
    if plc.io is None:
        raise ValueError("the simulated PLC has no I/O devices; declare them with `io`")
    return list(plc.io.devices.values())


COMMANDS: dict[str, Callable[[PlcServer, SimulatedPlc, Any], None]] = {
    "mute": _mute,
    "slow": _slow,
    "garbage": _garbage,
    "oversize": _oversize,
    "truncate": _truncate,
    "late": _late,
    "wrong-invoke-id": _wrong_invoke_id,
    "single-client": _single_client,
    "no-sums": _no_sums,
    "state": _state,
    "drop": lambda server, plc, payload: server.drop_clients(),
    "online-change": lambda server, plc, payload: server.online_change(plc),
    "symbol-version": _symbol_version,
    "online-change-count": lambda server, plc, payload: plc.count_online_change(),
    "null-samples": lambda server, plc, payload: server.null_samples(plc),
    "remove": lambda server, plc, payload: plc.memory.remove(str(payload)),
    "io-terminal": lambda server, plc, payload: set_terminal(_io(plc), payload),
    "io-device": lambda server, plc, payload: set_device(_io(plc), payload),
    "burst": lambda server, plc, payload: server.burst(plc, int(payload or 100)),
}
"""What a message with ``headers.command`` does; its payload is the argument."""
