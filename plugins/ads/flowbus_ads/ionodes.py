"""The nodes about I/O: ``ads-io-tree`` tells what is there, ``ads-io-monitor`` how it fares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import trio
from msgspec import Meta

from flowbus import Config, Message, NodeIO, Quality, Rejected, io_node
from flowbus_ads import faults
from flowbus_ads.addresses import AdsRef
from flowbus_ads.client import AdsClient
from flowbus_ads.iofacts import is_master
from flowbus_ads.iotree import IoServer, Key, one_of
from flowbus_ads.iowatch import Seen, Watch

_CONNECTION = Meta(
    description="Name of the ads connection; its AMS port does not matter (300 where no PLC program runs)."
)


class AdsIoTree(Config):
    """Tell the I/O devices and terminals of a TwinCAT system."""

    connection: Annotated[AdsRef, _CONNECTION]
    in_flight: Annotated[
        int, Meta(ge=1, le=100, description="Messages worked on at once; their order is kept.")
    ] = 1


@io_node("ads-io-tree")
async def ads_io_tree(config: AdsIoTree, io: NodeIO) -> None:
    """Send, for each message, the hierarchy of I/O server, EtherCAT devices and terminals.

    A payload such as {"device": 1, "terminal": "Term 4 (EL3064)"} asks for that part alone: a device
    by id or name, a terminal by EtherCAT address or name.
    """
    plc: AdsClient = await io.connection()
    server = IoServer(plc.target)

    async def tell(message: Message) -> Message:
        device, terminal = wanted(message.payload)
        if device is None and terminal is None:
            return message.with_payload(await server.tree())
        return message.with_payload(await server.part(device, terminal))

    await io.each(tell, limit=config.in_flight)


def wanted(payload: Any) -> tuple[Key | None, Key | None]:
    """Return the device and the terminal that a payload names; anything but an object names none."""
    if not isinstance(payload, dict):
        return None, None
    unknown = set(payload) - {"device", "terminal"}
    if unknown:
        text = f"unknown {min(map(str, unknown))!r}: give device and terminal, or no object for all"
        raise Rejected(faults.BAD_VALUE, text)
    return _key(payload, "device", "id"), _key(payload, "terminal", "address")


def _key(payload: dict[str, Any], part: str, number: str) -> Key | None:
    key = payload.get(part)
    if key is None or isinstance(key, str) or type(key) is int:
        return key
    raise Rejected(faults.BAD_VALUE, f"{part} is a name or a number (its {number}), not {key!r}")


class AdsIoMonitor(Config):
    """Watch the EtherCAT devices and terminals of a TwinCAT system."""

    connection: Annotated[AdsRef, _CONNECTION]
    device: Annotated[
        int | str | None, Meta(description="Id or name of the one device to watch; absent: all.")
    ] = None
    every: Annotated[float, Meta(gt=0, le=3600, description="Seconds between looks.")] = 1.0
    send: Annotated[
        Literal["changes", "always"],
        Meta(
            description="Send a device when a state, a link, lost frames or CRC errors of it changed, or at every look."
        ),
    ] = "changes"


@io_node("ads-io-monitor")
async def ads_io_monitor(config: AdsIoMonitor, io: NodeIO) -> None:
    """Send, for each EtherCAT device, its state, frame statistics and the states of its terminals.

    The topic is the device's name; `changed` has the addresses of the terminals that changed since the
    look before. A device that does not answer has its `fault`, and the node is degraded meanwhile.
    """
    plc: AdsClient = await io.connection()
    server = IoServer(plc.target)
    watches: list[Watch] = []
    turn = trio.current_time()
    while True:
        try:
            watches = watches or await _watches(server, config.device)
        except Rejected as error:
            if error.fault.temporary:
                raise
            io.degraded(error.fault, error.text)
        looks = await _looks(watches)
        for watch, seen in zip(watches, looks, strict=True):
            if seen.is_news or config.send == "always":
                await io.send(_message(watch, seen))
        missing = [seen.payload for seen in looks if "fault" in seen.payload]
        if missing:
            io.degraded(missing[0]["fault"]["code"], f"device {missing[0]['id']}: {missing[0]['fault']['text']}")
        elif watches:
            io.connected()
        turn = max(turn + config.every, trio.current_time())
        await trio.sleep_until(turn)


async def _watches(server: IoServer, key: Key | None) -> list[Watch]:
    """Return the EtherCAT masters to watch. Raises Rejected where there is none."""
    devices = await server.devices()
    if key is not None:
        devices = [one_of(key, devices, "id", "the I/O server has no device")]
    masters = [Watch(device, server.master(device)) for device in devices if is_master(device)]
    if not masters:
        what = f"device {key!r} is no EtherCAT master" if key is not None else "the I/O server has no EtherCAT master"
        raise Rejected(what)
    return masters


async def _looks(watches: Sequence[Watch]) -> list[Seen]:
    """Look at all devices at once."""
    seen: dict[int, Seen] = {}

    async def look(at: int) -> None:
        seen[at] = await watches[at].look()

    async with trio.open_nursery() as nursery:
        for at in range(len(watches)):
            nursery.start_soon(look, at)
    return [seen[at] for at in range(len(watches))]


def _message(watch: Watch, seen: Seen) -> Message:
    quality = Quality.GOOD if seen.is_whole else Quality.UNCERTAIN
    if "fault" in seen.payload:
        quality = Quality.BAD
    return Message(seen.payload, watch.topic, quality=quality)
