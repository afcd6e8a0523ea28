"""The node ``ads-simulator``: a PLC inside the flow, for tests, demonstrations and commissioning."""

from __future__ import annotations

import time
from typing import Annotated, Any, Final

import trio
from msgspec import Meta, field

from flowbus import Config, ConfigError, FilePath, Message, NodeIO, Secret, io_node
from flowbus_ads.link import default_net_id
from flowbus_ads.plc.behaviours import Behaviour, SymbolOptions
from flowbus_ads.plc.device import SimulatedPlc
from flowbus_ads.plc.iooptions import IoDeviceOptions
from flowbus_ads.plc.iotree import SimulatedIo
from flowbus_ads.plc.memory import PlcMemory
from flowbus_ads.plc.programs import RuntimeOptions, joined, load_program
from flowbus_ads.plc.responses import ResponseOptions, responses
from flowbus_ads.plc.routes import Router
from flowbus_ads.plc.typedefs import Program, TypeOptions
from flowbus_ads.protocol.address import parse_net_id
from flowbus_ads.protocol.constants import PORT
from flowbus_ads.protocol.discovery import UDP_PORT
from flowbus_ads.server import PlcServer
from flowbus_ads.simulatorcommands import apply
from flowbus_ads.udp import serve_router

_LAST_PORT: Final = 0xFFFF


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
    symbols_file: Annotated[
        FilePath | None,
        Meta(description="A JSON or TOML file (.toml) of `symbols` and `types`, beside those given here."),
    ] = None
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
    responses: Annotated[
        tuple[ResponseOptions, ...],
        Meta(description="Answers of the first runtime to single index groups and offsets."),
    ] = ()
    runtimes: Annotated[
        dict[str, RuntimeOptions],
        Meta(
            description="More runtimes, by AMS port. A message whose headers have `ams_port` is for "
            "that one; the headers of what clients write there have it."
        ),
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
        if not self.symbols_file:  # else :meth:`check_files` does, once it may read it
            build_plcs(self)

    def check_files(self) -> None:
        """Raise ConfigError where the file of symbols cannot be used."""
        if self.symbols_file:
            _built(self)


def build_plcs(config: AdsSimulator) -> list[SimulatedPlc]:
    """Return the runtimes of a configuration. Raises ValueError naming the symbol that is wrong."""
    net_id = parse_net_id(config.net_id or default_net_id(config.host))
    io = SimulatedIo(net_id, config.io, time.monotonic) if config.io else None
    program = RuntimeOptions(symbols=config.symbols, types=config.types)
    if config.symbols_file:
        program = joined(program, load_program(config.symbols_file))
    plcs = [_runtime(net_id, config.ams_port, program, io)]
    plcs[0].responses = responses(config.responses)
    for port, options in config.runtimes.items():
        if not port.isdecimal() or not 1 <= int(port) <= _LAST_PORT:
            raise ValueError(f"runtimes: {port!r} is no AMS port, 1 to {_LAST_PORT}")
        if int(port) == config.ams_port:
            raise ValueError(f"runtimes: {port} is that of the first runtime, `ams_port`")
        try:
            plcs.append(_runtime(net_id, int(port), options))
        except ValueError as error:
            raise ValueError(f"runtime {port}: {error}") from None
    return plcs


def _built(config: AdsSimulator) -> list[SimulatedPlc]:
    try:
        return build_plcs(config)
    except ValueError as error:
        option = "symbols_file" if config.symbols_file else ""
        raise ConfigError(str(error), option=option) from None


def _runtime(
    net_id: bytes, port: int, config: RuntimeOptions, io: SimulatedIo | None = None
) -> SimulatedPlc:
    memory = PlcMemory(Program(config.types))
    for name, options in config.symbols.items():
        try:
            memory.add(name, options.type, options.value, options.comment, options.attributes)
        except ValueError as error:
            raise ValueError(f"symbol {name}: {error}") from None
    # Handles of an earlier start must not mean anything now, as after a restart of a real PLC.
    first_handle = 0x1000 + time.time_ns() // 1_000_000 % 0xFFFF * 0x1000
    plc = SimulatedPlc(net_id, port, memory, first_handle=first_handle, io=io)
    for name, options in config.symbols.items():
        place = memory.find(name)
        if options.of and memory.find(options.of) is None:
            raise ValueError(f"symbol {name}: it echoes {options.of!r}, which is not declared")
        if options.behaviour != "constant" and place is not None:
            plc.movers.append(Behaviour(place, options, memory).move)
    return plc


@io_node("ads-simulator", duplex=True, listens=True)
async def ads_simulator(config: AdsSimulator, io: NodeIO) -> None:
    """Serve a simulated PLC: clients' writes leave by `out`, messages set values or switch faults."""
    plc, *others = _built(config)

    async def written(runtime: SimulatedPlc, name: str, value: Any) -> None:
        headers = {} if runtime is plc else {"ams_port": runtime.port}
        await io.send(Message(value, name, headers=headers))

    router = _router(config, plc)
    server = PlcServer(
        plc, *others, cycle=config.cycle, on_write=written, on_fault=io.fault,
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


def _router(config: AdsSimulator, plc: SimulatedPlc) -> Router:
    users = {name: password.reveal() for name, password in config.users.items()}
    version = (plc.info.version, plc.info.revision, plc.info.build)
    return Router(plc.net_id, version, users, required=config.route_required)


def _details(server: PlcServer, router: Router) -> dict[str, Any]:
    plcs = server.runtimes.values()
    return {
        "port": server.port, "clients": server.clients,
        "requests": sum(plc.requests for plc in plcs),
        "write_requests": sum(plc.write_requests for plc in plcs),
        "handles": sum(len(plc.handles) for plc in plcs),
        "notifications": sum(len(plc.notes) for plc in plcs),
        "dropped_notifications": server.dropped_notifications, "state": server.plc.state.name,
        "routes": {name: route.net_id for name, route in router.routes.items()},
    }  # fmt: skip
