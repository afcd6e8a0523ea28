"""The commands of ``flowbus ads``."""

from __future__ import annotations

import fnmatch
import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click
import trio

from flowbus import Rejected, Secret
from flowbus_ads import faults
from flowbus_ads.cli.session import (
    Attempt,
    Device,
    Unavailable,
    device_options,
    net_id,
    run,
    show,
    table,
    with_client,
)
from flowbus_ads.cli.tree import tree_command
from flowbus_ads.client import AdsClient
from flowbus_ads.device import shown
from flowbus_ads.discovery import Route, add_route, discover
from flowbus_ads.protocol.constants import AdsState, TransMode
from flowbus_ads.protocol.discovery import UDP_PORT
from flowbus_ads.protocol.notifications import filetime_to_ns
from flowbus_ads.protocol.symbols import SymbolEntry
from flowbus_ads.subscriptions import Terms
from flowbus_ads.writes import PreparedWrite

_WORDS: Final = {"TRUE": True, "FALSE": False}
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_UDP = click.option(
    "--udp-port", type=click.IntRange(1, 65535), default=UDP_PORT, show_default=True,
    help="UDP port of the router.",
)  # fmt: skip
_TIMEOUT = click.option(
    "--timeout", type=click.FloatRange(0.001, 3600), default=1.0, show_default=True,
    help="Seconds to wait for an answer; it is asked three times.",
)  # fmt: skip


@click.group("ads", context_settings={"help_option_names": ["-h", "--help"]})
def ads() -> None:
    """Talk to a Beckhoff TwinCAT PLC or another ADS device, without a flow."""


@ads.command("discover")
@click.argument("host")
@_UDP
@_TIMEOUT
@_JSON
def discover_command(host: str, udp_port: int, timeout: float, as_json: bool) -> None:
    """Ask the ADS router at HOST who it is: NetId, name, versions."""
    info = run(lambda: discover(host, timeout=timeout, port=udp_port))
    facts = {
        "net_id": info.net_id, "host_name": info.host_name, "twincat": info.version,
        "os": info.os, "fingerprint": info.fingerprint,
    }  # fmt: skip
    if as_json:
        click.echo(json.dumps(facts))
        return
    for line in table([(f"{name}:", value or "-") for name, value in facts.items()]):
        click.echo(line)


@ads.command("add-route")
@click.argument("host")
@click.option("--name", required=True, help="Name of the route on the PLC.")
@click.option("--user", required=True, help="A user of the PLC's operating system.")
@click.option(
    "--password-file", type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with the password; without it it is asked for.",
)  # fmt: skip
@click.option("--net-id", callback=net_id, metavar="NETID", required=True,
              help="AMS NetId of this host, which the connection names as `source_net_id`.")  # fmt: skip
@click.option("--address", required=True, help="Address of this host as the PLC sees it.")
@_UDP
@_TIMEOUT
def add_route_command(
    host: str, name: str, user: str, password_file: Path | None, net_id: str, address: str,
    udp_port: int, timeout: float,
) -> None:  # fmt: skip
    """Have the ADS router at HOST take in a route to this host."""
    if password_file is not None:
        password = password_file.read_text(encoding="utf-8").rstrip("\r\n")
    else:
        password = click.prompt(f"Password of {user} on {host}", hide_input=True)
    route = Route(name=name, user=user, password=Secret(password), net_id=net_id, address=address)

    async def add() -> None:
        await add_route(host, route, net_id=net_id, address=address, timeout=timeout, port=udp_port)

    run(add)
    click.echo(f"{host} has the route {name} to {net_id} at {address}")


@ads.command("symbols")
@device_options
@click.argument("pattern", default="")
@_JSON
def symbols_command(device: Device, pattern: str, as_json: bool) -> None:
    """List the symbols of the PLC: all, those with PATTERN in their name, or as `MAIN.*`."""
    entries = with_client(device, lambda client: client.upload_symbols())
    found = [entry for entry in entries if _fits(entry, pattern)]
    if as_json:
        click.echo(json.dumps([_described(entry) for entry in found], ensure_ascii=False))
        return
    rows = [(e.name, e.type_name, str(e.size), f"0x{e.group:X}:{e.offset}", e.comment) for e in found]
    for line in table([("NAME", "TYPE", "BYTES", "ADDRESS", "COMMENT"), *rows]):
        click.echo(line)


@ads.command("read")
@device_options
@click.argument("symbols", nargs=-1, required=True)
@_JSON
def read_command(device: Device, symbols: tuple[str, ...], as_json: bool) -> None:
    """Read SYMBOLS: values alone for one, with their names for several."""
    values = with_client(device, lambda client: client.read_many(symbols))
    refused = [value for value in values if isinstance(value, Rejected)]
    if len(refused) == len(values):
        raise Unavailable(refused[0])
    if as_json:
        pairs = zip(symbols, values, strict=True)
        click.echo(json.dumps({name: _plain(value) for name, value in pairs}, ensure_ascii=False))
        return
    if len(values) == 1:
        click.echo(show(values[0], as_json=False))
        return
    rows = [
        (name, f"({value.text})" if isinstance(value, Rejected) else show(value, as_json=False))
        for name, value in zip(symbols, values, strict=True)
    ]
    for line in table(rows):
        click.echo(line)


@ads.command("write", context_settings={"ignore_unknown_options": True})  # -5 is a value
@device_options
@click.argument("symbol")
@click.argument("value")
def write_command(device: Device, symbol: str, value: str) -> None:
    """Write VALUE, as JSON or a plain text, to SYMBOL: once, and say what the PLC has then."""
    attempt = Attempt(f"{symbol} was written")

    async def write(client: AdsClient) -> Any:
        prepared = await _prepared(client, symbol, value)
        with attempt.once():
            await prepared.send()
        return await client.read(symbol)

    with attempt.told():
        written = with_client(device, write)
    click.echo(f"{symbol} = {show(written, as_json=True)}")


async def _prepared(client: AdsClient, symbol: str, text: str) -> PreparedWrite:
    """Encode what a text means, or the text itself where the symbol wants one: 5 is a STRING too."""
    value = parsed(text)
    try:
        return await client.prepare({symbol: value})
    except Rejected as refusal:
        if refusal.fault is not faults.BAD_VALUE or value == text:
            raise
        try:
            return await client.prepare({symbol: text})
        except Rejected:
            raise refusal from None


@ads.command("watch")
@device_options
@click.argument("symbols", nargs=-1, required=True)
@click.option("--cycle", type=click.FloatRange(0, 400), default=0.1, show_default=True,
              help="Seconds between two looks of the PLC at a value.")  # fmt: skip
@click.option("--for", "seconds", type=click.FloatRange(0.001), help="End after so many seconds.")
@click.option("--count", type=click.IntRange(1), help="End after so many values.")
@_JSON
def watch_command(
    device: Device, symbols: tuple[str, ...], cycle: float, seconds: float | None,
    count: int | None, as_json: bool,
) -> None:  # fmt: skip
    """Print SYMBOLS whenever they change, until it is interrupted."""

    async def watch(client: AdsClient) -> None:
        send, receive = trio.open_memory_channel[tuple[str, int, Any]](math.inf)
        terms = Terms(TransMode.ON_CHANGE, cycle, 0.0)
        left = math.inf if count is None else count

        def deliver(name: str, filetime: int, value: Any) -> None:
            send.send_nowait((name, filetime, value))

        with trio.move_on_after(math.inf if seconds is None else seconds):
            async with client.subscribe(symbols, deliver, terms) as subscription:
                for why in subscription.missing.values():
                    if len(subscription.missing) == len(symbols):
                        raise why
                    click.echo(f"{why.fault.code}: {why.text}", err=True)
                while left > 0:
                    click.echo(_sample(*await receive.receive(), as_json=as_json))
                    left -= 1

    with_client(device, watch)


@ads.command("state")
@device_options
@click.option("--set", "wanted", type=click.Choice(["run", "stop", "config", "reset", "reconfig"]),
              help="Have the device go to this state.")  # fmt: skip
@_JSON
def state_command(device: Device, wanted: str | None, as_json: bool) -> None:
    """Show the state of the device, or set it."""
    attempt = Attempt(f"the state {wanted} was set")

    async def ask(client: AdsClient) -> dict[str, Any]:
        if wanted is not None:
            with attempt.once():
                await client.write_control(AdsState[wanted.upper()], 0)
        info = await client.device_info()
        version = f"{info.version}.{info.revision}.{info.build}"
        return {**shown(*await client.read_state()), "device": info.name, "version": version}

    with attempt.told():
        facts = with_client(device, ask)
    if as_json:
        click.echo(json.dumps(facts))
        return
    for line in table([(f"{name}:", str(value)) for name, value in facts.items()]):
        click.echo(line)


def parsed(text: str) -> Any:
    """Return the value that a text of the command line means: JSON, TRUE or FALSE, or else the text itself."""
    if text in _WORDS:
        return _WORDS[text]
    try:
        return json.loads(text)
    except ValueError:
        return text


def _fits(entry: SymbolEntry, pattern: str) -> bool:
    name, wanted = entry.name.casefold(), pattern.casefold()
    if any(letter in wanted for letter in "*?"):
        return fnmatch.fnmatchcase(name, wanted)
    return wanted in name


def _described(entry: SymbolEntry) -> dict[str, Any]:
    return {
        "name": entry.name, "type": entry.type_name, "size": entry.size, "group": entry.group,
        "offset": entry.offset, "comment": entry.comment, "attributes": dict(entry.attributes),
    }  # fmt: skip


def _plain(value: Any) -> Any:
    if isinstance(value, Rejected):
        return {"error": {"code": value.fault.code, "text": value.text}}
    return value


def _sample(name: str, filetime: int, value: Any, *, as_json: bool) -> str:
    moment = datetime.fromtimestamp(filetime_to_ns(filetime) / 1e9, UTC)
    if as_json:
        fields = {"time": moment.isoformat(), "symbol": name, "value": value}
        return json.dumps(fields, ensure_ascii=False)
    local = moment.astimezone().strftime("%H:%M:%S.%f")[:-3]
    return f"{local}  {name}  {show(value, as_json=False)}"


ads.add_command(tree_command)
