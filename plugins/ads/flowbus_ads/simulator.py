"""The node ``ads-simulator``: a PLC inside the flow, for tests, demonstrations and commissioning."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import trio
from msgspec import Meta, field

from flowbus import Config, ConfigError, Message, NodeIO, Rejected, Secret, io_node
from flowbus_ads.link import default_net_id
from flowbus_ads.plc.behaviours import Behaviour, SymbolOptions
from flowbus_ads.plc.device import SimulatedPlc
from flowbus_ads.plc.iochanges import set_device, set_terminal
from flowbus_ads.plc.iodevices import IoDevice
from flowbus_ads.plc.iooptions import IoDeviceOptions
from flowbus_ads.plc.iotree import SimulatedIo
from flowbus_ads.plc.memory import PlcMemory
from flowbus_ads.plc.routes import Router
from flowbus_ads.plc.typedefs import Program, TypeOptions
from flowbus_ads.protocol.address import parse_net_id
from flowbus_ads.protocol.constants import PORT, AdsState
from flowbus_ads.protocol.discovery import UDP_PORT
from flowbus_ads.protocol.errors import EncodeError
from flowbus_ads.server import PlcServer
from flowbus_ads.udp import serve_router


class AdsSimulator(Config):
    """A simulated TwinCAT PLC that ADS clients can connect to."""

    host: Annotated[
        str,
        Meta(
            description="Address to listen on; several PLCs on one machine: 127.0.0.2, 127.0.0.3 ..."
        ),
    ] = "127.0.0.1"
    port: Annotated[
        int,
        Meta(
            ge=0,
            le=65535,
            description="TCP port; 0 takes any. Beckhoff's library dials 48898 only.",
        ),
    ] = PORT
    net_id: Annotated[str | None, Meta(description="AMS NetId; absent: `host` and .1.1.")] = None
    ams_port: Annotated[int, Meta(ge=1, le=65535, description="AMS port of the runtime.")] = 851
    symbols: Annotated[
        dict[str, SymbolOptions], Meta(description="Symbols by name: type, value and behaviour.")
    ] = field(default_factory=dict)
    udp_port: Annotated[
        Annotated[int, Meta(ge=0, le=65535)] | None,
        Meta(
            description="UDP port of discovery and routes, 0 for none; absent: 48899 beside the "
            "standard TCP port, else none."
        ),
    ] = None
    users: Annotated[
        dict[str, Secret], Meta(description="Who may add routes by UDP: passwords by user.")
    ] = field(default_factory=dict)
    route_required: Annotated[
        bool, Meta(description="Serve only clients from whose NetId a route is known, as TwinCAT does.")
    ] = False
    types: Annotated[
        dict[str, TypeOptions],
        Meta(description="Types that the program declares, by name: structures, enumerations, aliases."),
    ] = field(default_factory=dict)
    io: Annotated[
        tuple[IoDeviceOptions, ...],
        Meta(description="I/O devices that the I/O server (AMS port 300) tells of; none: no I/O server."),
    ] = ()
    cycle: Annotated[
        float,
        Meta(
            ge=0.0005,
            le=60,
            description="Seconds of a PLC cycle: values move, notifications leave.",
        ),
    ] = 0.01

    def __post_init__(self) -> None:
        if self.net_id is not None:
            parse_net_id(self.net_id)
        build_plc(self)


def build_plc(config: AdsSimulator) -> tuple[SimulatedPlc, list[Behaviour]]:
    """Return the device of a configuration. Raises ValueError naming the symbol that is wrong."""
    memory = PlcMemory(Program(config.types))
    for name, options in config.symbols.items():
        try:
            memory.add(name, options.type, options.value, options.comment, options.attributes)
        except ValueError as error:
            raise ValueError(f"symbol {name}: {error}") from None
    behaviours: list[Behaviour] = []
    for name, options in config.symbols.items():
        place = memory.find(name)
        if options.of and memory.find(options.of) is None:
            raise ValueError(f"symbol {name}: it echoes {options.of!r}, which is not declared")
        if options.behaviour != "constant" and place is not None:
            behaviours.append(Behaviour(place, options, memory))
    net_id = parse_net_id(config.net_id or default_net_id(config.host))
    # Handles of an earlier start must not mean anything now, as after a restart of a real PLC.
    first_handle = 0x1000 + time.time_ns() // 1_000_000 % 0xFFFF * 0x1000
    io = SimulatedIo(net_id, config.io, time.monotonic) if config.io else None
    plc = SimulatedPlc(net_id, config.ams_port, memory, first_handle=first_handle, io=io)
    return plc, behaviours


@io_node("ads-simulator", duplex=True, listens=True)
async def ads_simulator(config: AdsSimulator, io: NodeIO) -> None:
    """Serve a simulated PLC: clients' writes leave by `out`, messages set values or switch faults."""
    try:
        plc, behaviours = build_plc(config)
    except ValueError as error:
        raise ConfigError(str(error)) from None

    async def written(name: str, value: Any) -> None:
        await io.send(Message(value, name))

    router = _router(config, plc)
    server = PlcServer(
        plc, cycle=config.cycle, behaviours=behaviours, on_write=written, on_fault=io.fault,
        admits=router.admits,
    )  # fmt: skip
    udp_port = config.udp_port
    if udp_port is None:
        udp_port = UDP_PORT if config.port == PORT else 0
    async with trio.open_nursery() as nursery:
        port = await nursery.start(server.serve, config.host, config.port)
        if udp_port:
            await nursery.start(serve_router, router, config.host, udp_port)
        net_id = ".".join(map(str, plc.net_id))
        io.connected(f"{config.host}:{port}, {net_id}:{config.ams_port}")
        io.details(lambda: _details(server, router))

        async def handle(message: Message) -> None:
            apply(server, message)

        await io.each(handle)


def apply(server: PlcServer, message: Message) -> None:
    """Obey a message: a command in its headers, else values to set. Raises Rejected."""
    command = message.headers.get("command")
    if command is not None:
        obey = COMMANDS.get(command)
        if obey is None:
            raise Rejected(f"unknown command {command!r}: one of {', '.join(COMMANDS)}")
        try:
            obey(server, message.payload)
        except (TypeError, ValueError, KeyError) as error:
            raise Rejected(
                f"command {command!r} with payload {message.payload!r}: {error}"
            ) from None
        return
    memory = server.plc.memory
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


def _mute(server: PlcServer, payload: Any) -> None:
    server.switches.mute = payload is not False


def _slow(server: PlcServer, payload: Any) -> None:
    server.switches.slow = float(payload)


def _garbage(server: PlcServer, payload: Any) -> None:
    server.switches.garbage = int(payload or 1)


def _wrong_invoke_id(server: PlcServer, payload: Any) -> None:
    server.switches.wrong_invoke_ids = int(payload or 1)


def _late(server: PlcServer, payload: Any) -> None:
    server.switches.late = float(payload)


def _oversize(server: PlcServer, payload: Any) -> None:
    server.switches.oversize = int(payload or 1)


def _truncate(server: PlcServer, payload: Any) -> None:
    server.switches.truncated = int(payload or 1)


def _symbol_version(server: PlcServer, payload: Any) -> None:
    server.plc.version = (server.plc.version + 1) & 0xFF


def _single_client(server: PlcServer, payload: Any) -> None:
    server.switches.single_client = payload is not False


def _no_sums(server: PlcServer, payload: Any) -> None:
    server.plc.sums_enabled = payload is False


def _state(server: PlcServer, payload: Any) -> None:
    server.plc.state = AdsState[str(payload).upper()]


def _io(server: PlcServer) -> Sequence[IoDevice]:
    if server.plc.io is None:
        raise ValueError("the simulated PLC has no I/O devices; declare them with `io`")
    return list(server.plc.io.devices.values())


COMMANDS: dict[str, Callable[[PlcServer, Any], None]] = {
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
    "drop": lambda server, payload: server.drop_clients(),
    "online-change": lambda server, payload: server.online_change(),
    "symbol-version": _symbol_version,
    "null-samples": lambda server, payload: server.null_samples(),
    "remove": lambda server, payload: server.plc.memory.remove(str(payload)),
    "io-terminal": lambda server, payload: set_terminal(_io(server), payload),
    "io-device": lambda server, payload: set_device(_io(server), payload),
    "burst": lambda server, payload: server.burst(int(payload or 100)),
}
"""What a message with ``headers.command`` does; its payload is the argument."""


def _router(config: AdsSimulator, plc: SimulatedPlc) -> Router:
    users = {name: password.reveal() for name, password in config.users.items()}
    version = (plc.info.version, plc.info.revision, plc.info.build)
    return Router(plc.net_id, version, users, required=config.route_required)


def _details(server: PlcServer, router: Router) -> dict[str, Any]:
    plc = server.plc
    return {
        "port": server.port, "clients": server.clients, "requests": plc.requests,
        "write_requests": plc.write_requests, "notifications": len(plc.notes),
        "dropped_notifications": server.dropped_notifications, "state": plc.state.name,
        "routes": {name: route.net_id for name, route in router.routes.items()},
    }  # fmt: skip
