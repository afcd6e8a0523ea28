"""``flowbus ads tree``: the I/O devices and terminals behind a PLC."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import click

from flowbus_ads.cli.session import Device, device_at, table, with_client
from flowbus_ads.client import AdsClient
from flowbus_ads.iotree import IoServer, Key
from flowbus_ads.protocol.iotree import IO_PORT

_HEADS = ("ADDRESS", "TYPE", "NAME", "STATE", "LINK", "CRC A/B/C/D", "PRODUCT", "REVISION", "SERIAL")


@click.command("tree")
@device_at(IO_PORT, "AMS port of the I/O server.")
@click.option("--device", "wanted", metavar="ID|NAME", help="Only this device.")
@click.option("--terminal", metavar="ADDRESS|NAME", help="Only this terminal.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def tree_command(device: Device, wanted: str | None, terminal: str | None, as_json: bool) -> None:
    """Show the I/O server of the PLC, its EtherCAT devices and their terminals."""

    async def ask(client: AdsClient) -> dict[str, Any]:
        server = IoServer(client.target, device.port)
        if wanted is None and terminal is None:
            return await server.tree()
        return await server.part(_key(wanted), _key(terminal))

    found = with_client(device, ask)
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False, indent=2))
        return
    lines = _whole if "server" in found else _device if "terminals" in found else _terminal
    for line in lines(found):
        click.echo(line)


def _key(text: str | None) -> Key | None:
    """Return a number where it is one: an id or an address; else the name that it is."""
    return int(text) if text is not None and text.isascii() and text.isdigit() else text


def _whole(tree: Mapping[str, Any]) -> Iterator[str]:
    server = tree["server"]
    count = server["device_count"]
    yield f"{server['name']} {server['version']}.{server['build']}, {server['net_id']}, {_many(count, 'device')}"
    for device in tree["devices"]:
        yield ""
        yield from _device(device)


def _device(device: Mapping[str, Any]) -> Iterator[str]:
    said = [f"{device['id']} {_said(device['name'])}", _said(device["type"]), _said(device["net_id"])]
    if "state" in device:
        said += [_said(device["state"]), _many(device["terminal_count"], "terminal")]
    yield ", ".join(said)
    frames = device.get("frames")
    if frames:
        yield (
            f"  frames: {frames['cyclic']} cyclic, {frames['cyclic_lost']} lost, "
            f"{frames['queued']} queued, {frames['queued_lost']} lost"
        )
    if device.get("identity"):
        yield "  identity: " + ", ".join(f"{name} {value}" for name, value in device["identity"].items())
    if device["terminals"]:
        rows = [_HEADS, *[_row(terminal) for terminal in device["terminals"]]]
        yield from (f"  {line}" for line in table(rows))
    yield from _faults(device)
    for terminal in device["terminals"]:
        yield from _faults(terminal)


def _terminal(terminal: Mapping[str, Any]) -> Iterator[str]:
    yield from table([_HEADS, _row(terminal)])
    yield from _faults(terminal)


def _row(terminal: Mapping[str, Any]) -> tuple[str, ...]:
    identity, crc = terminal["identity"], terminal["crc"]
    numbers = ["-"] * 3
    if identity is not None:
        numbers = [f"0x{identity['product']:08X}", f"0x{identity['revision']:08X}", str(identity["serial"])]
    ports = "-" if crc is None else "/".join(map(str, crc.values()))
    words = [_said(terminal[name]) for name in ("type", "name", "state", "link")]
    return (str(terminal["address"]), *words, ports, *numbers)


def _faults(part: Mapping[str, Any]) -> Iterator[str]:
    """Yield what was not told, and why."""
    for fault in ([part["fault"]] if "fault" in part else part.get("faults", {}).values()):
        yield f"  {fault['code']}: {fault['text']}"


def _said(value: str | None) -> str:
    return "-" if value is None else value


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
