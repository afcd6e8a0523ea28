"""The nodes about I/O: ``ads-io-tree`` tells what is there, ``ads-io-monitor`` how it fares."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from flowbus import Config, Message, NodeIO, Rejected, io_node
from flowbus_ads import faults
from flowbus_ads.addresses import AdsRef
from flowbus_ads.client import AdsClient
from flowbus_ads.iotree import IoServer, Key


class AdsIoTree(Config):
    """Tell the I/O devices and terminals of a TwinCAT system."""

    connection: Annotated[
        AdsRef,
        Meta(
            description="Name of the ads connection; its AMS port does not matter (300 where no PLC program runs)."
        ),
    ]
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
