"""The nodes about a device as a whole: ``ads-rpc`` calls its methods, ``ads-state`` its state."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import trio
from msgspec import Meta

from flowbus import Config, Message, NodeIO, Rejected, io_node
from flowbus_ads import faults
from flowbus_ads.addresses import AdsRef
from flowbus_ads.client import AdsClient
from flowbus_ads.protocol.constants import AdsState

_CONNECTION = Meta(description="Name of the ads connection.")


class AdsRpc(Config):
    """Call a method of a function block; the payload is an object of its inputs."""

    connection: Annotated[AdsRef, _CONNECTION]
    symbol: Annotated[str, Meta(min_length=1, description="The function block, such as MAIN.fbAxis.")]
    method: Annotated[str, Meta(min_length=1, description="Name of the method.")]
    in_flight: Annotated[
        int, Meta(ge=1, le=1000, description="Calls under way at once; above 1 their order is open.")
    ] = 1


@io_node("ads-rpc", ttl=10.0)
async def ads_rpc(config: AdsRpc, io: NodeIO) -> None:
    """Call a method once for each message and send on its result and outputs.

    A call whose outcome is not known is never made again: it is `flowbus.unconfirmed`.
    """
    plc: AdsClient = await io.connection()

    async def call(message: Message) -> Message:
        prepared = await plc.prepare_call(config.symbol, config.method, message.payload)
        with io.once(message):
            answer = await prepared.send()
        return message.with_payload(answer)

    await io.each(call, limit=config.in_flight)


class AdsStateConfig(Config):
    """Send the state of the device when it changes; a message sets it."""

    connection: Annotated[AdsRef, _CONNECTION]
    every: Annotated[
        float, Meta(gt=0, le=3600, description="Seconds between looks at the state.")
    ] = 1.0
    send: Annotated[
        Literal["changes", "always"], Meta(description="Send on change, or at every look.")
    ] = "changes"
    info: Annotated[
        bool, Meta(description="Have name and version of the device in each message.")
    ] = True
    allow: Annotated[
        tuple[Literal["run", "stop", "config", "reset", "reconfig"], ...],
        Meta(description="States that messages may set; none unless they are named here."),
    ] = ()


@io_node("ads-state", ttl=10.0)
async def ads_state(config: AdsStateConfig, io: NodeIO) -> None:
    """Send ADS state and device state; a payload such as "run" or {"state": "stop"} sets it."""
    plc: AdsClient = await io.connection()
    info: dict[str, Any] = {}
    if config.info:
        device = await plc.device_info()
        version = f"{device.version}.{device.revision}.{device.build}"
        info = {"device": device.name, "version": version}
    changed = trio.Event()

    async def set_state(message: Message) -> None:
        nonlocal changed
        state, device_state, data = wanted(message.payload, config.allow)
        with io.once(message):
            await plc.write_control(state, device_state, data)
        changed.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(io.each, set_state)
        last: tuple[int, int] | None = None
        while True:
            now = await plc.read_state()
            if config.send == "always" or now != last:
                await io.send(Message({**shown(*now), **info}, "state"))
            last = now
            with trio.move_on_after(config.every):
                await changed.wait()
                changed = trio.Event()


def shown(state: int, device_state: int) -> dict[str, Any]:
    """Return a state as a payload: ``state`` by its name, its number, the device's own."""
    known = state in AdsState._value2member_map_
    name = AdsState(state).name.lower() if known else f"unknown ({state})"
    return {"state": name, "number": state, "device_state": device_state}


def wanted(payload: Any, allowed: tuple[str, ...]) -> tuple[int, int, bytes]:
    """Return the ADS state, device state and data that a message asks for. Raises Rejected."""
    asked = payload if isinstance(payload, dict) else {"state": payload}
    name = asked.get("state")
    if not isinstance(name, str) or name.upper() not in AdsState.__members__:
        text = f"{name!r} is no state: say run, stop, config, reset or reconfig"
        raise Rejected(faults.BAD_VALUE, text)
    if name.lower() not in allowed:
        said = ", ".join(allowed) or "none"
        raise Rejected(f"this node may not set the state {name.lower()!r}; `allow` names {said}")
    device_state = asked.get("device_state", 0)
    if type(device_state) is not int or not 0 <= device_state <= 0xFFFF:
        raise Rejected(faults.BAD_VALUE, f"device_state is a number from 0 to 65535, not {device_state!r}")
    unknown = set(asked) - {"state", "device_state"}
    if unknown:
        raise Rejected(faults.BAD_VALUE, f"unknown {sorted(unknown)[0]!r}: give state and device_state")
    return AdsState[name.upper()], device_state, b""
