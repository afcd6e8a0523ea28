"""What the commands share: the options that say which device, and a client for as long as one runs."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any, Final, TypeVar

import click
import msgspec
import trio

from flowbus import Lost, Rejected
from flowbus_ads.client import AdsClient
from flowbus_ads.discovery import find_net_id
from flowbus_ads.link import default_net_id, open_link
from flowbus_ads.protocol.address import parse_net_id
from flowbus_ads.protocol.constants import PORT
from flowbus_ads.protocol.discovery import UDP_PORT

UNAVAILABLE: Final = 69
"""Exit code where the device is not there or refuses."""

T = TypeVar("T")
Command = Callable[..., Any]


class Device(msgspec.Struct, frozen=True):
    """Which device, and how it is reached; ``timeout`` in seconds."""

    host: str
    net_id: str | None
    port: int
    tcp_port: int
    udp_port: int
    source_net_id: str | None
    timeout: float


def net_id(ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Check an AMS NetId of the command line."""
    if value is not None:
        try:
            parse_net_id(value)
        except ValueError as error:
            raise click.BadParameter(str(error), ctx, parameter) from None
    return value


def device_options(command: Command) -> Command:
    """Give a command the argument HOST and the options of a device; it gets a :class:`Device`."""
    return device_at(851, "AMS port: 851 is the first PLC runtime, 10000 the system service.")(command)


def device_at(ams_port: int, port_help: str) -> Callable[[Command], Command]:
    """Return :func:`device_options` with another default of ``--port``."""
    return lambda command: _with_options(command, ams_port, port_help)


def _with_options(command: Command, ams_port: int, port_help: str) -> Command:

    @wraps(command)
    def with_device(**options: Any) -> Any:
        given = {name: options.pop(name) for name in Device.__struct_fields__}
        return command(Device(**given), **options)

    port = click.IntRange(1, 65535)
    for option in (
        click.option("--timeout", type=click.FloatRange(0.001, 3600), default=2.0, show_default=True,
                     help="Seconds to wait for an answer."),
        click.option("--source-net-id", callback=net_id, metavar="NETID",
                     help="Own AMS NetId; without it the own IP address and .1.1."),
        click.option("--udp-port", type=port, default=UDP_PORT, show_default=True,
                     help="UDP port of the router."),
        click.option("--tcp-port", type=port, default=PORT, show_default=True,
                     help="TCP port of the router."),
        click.option("--port", "-p", type=port, default=ams_port, show_default=True, help=port_help),
        click.option("--net-id", callback=net_id, metavar="NETID",
                     help="AMS NetId of the device; without it it is asked by UDP."),
        click.argument("host"),
    ):  # fmt: skip
        with_device = option(with_device)
    return with_device


def run(use: Callable[[], Awaitable[T]]) -> T:
    """Run ``use`` to its end; what the device refuses or that it is not there ends the program in words."""
    try:
        return trio.run(use)
    except KeyboardInterrupt:
        raise click.Abort from None
    except (Rejected, Lost, BaseExceptionGroup) as error:
        leaves = list(_leaves(error))
        known = [leaf for leaf in leaves if isinstance(leaf, Rejected | Lost)]
        if any(isinstance(leaf, KeyboardInterrupt) for leaf in leaves):
            raise click.Abort from None
        if not known or len(known) < len(leaves):
            raise
        raise Unavailable(known[0]) from None


def with_client(device: Device, use: Callable[[AdsClient], Awaitable[T]]) -> T:
    """Connect, call ``use(client)`` and return what it does; the client is kept alive meanwhile."""

    async def main() -> T:
        async with open_link(
            device.host, device.tcp_port,
            connect_timeout=max(device.timeout, 1.0), source_net_id=device.source_net_id,
        ) as link:  # fmt: skip
            target = device.net_id or await find_net_id(
                device.host, tcp_port=device.tcp_port, udp_port=device.udp_port,
                timeout=device.timeout / 2,
            )  # fmt: skip
            client = AdsClient(
                link, target or default_net_id(link.peer), device.port, timeout=device.timeout
            )
            await client.start()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(client.run)
                result = await use(client)
                nursery.cancel_scope.cancel()
            await client.close()
            return result

    return run(main)


class Attempt:
    """Something that is done once: while it is under way nobody knows whether it was done.

    ``what`` says it in the words of the error, such as ``MAIN.nCount was written``.
    """

    def __init__(self, what: str) -> None:
        self._what, self._is_under_way = what, False

    @contextmanager
    def once(self) -> Iterator[None]:
        """Do it in the body, where the client is."""
        self._is_under_way = True
        try:
            yield
        except Rejected:  # the device has said no
            self._is_under_way = False
            raise
        self._is_under_way = False

    @contextmanager
    def told(self) -> Iterator[None]:
        """Around all of it: have the error say so where the outcome is not known."""
        try:
            yield
        except Unavailable as error:
            if self._is_under_way:
                raise OutcomeUnknown(self._what, error.reason) from None
            raise


class OutcomeUnknown(click.ClickException):
    """The device was lost before it answered to something that is done once."""

    exit_code = UNAVAILABLE

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(
            f"flowbus.unconfirmed: whether {what} is not known: {reason}\n"
            "  next step: Look at what the device has before you do it again."
        )


class Unavailable(click.ClickException):
    """The device refuses, or is not there; ``reason`` says which, without the next step."""

    exit_code = UNAVAILABLE

    def __init__(self, why: Rejected | Lost) -> None:
        self.reason = f"{why.fault.code}: {why.text}"
        step = f"\n  next step: {why.fault.next_step}" if why.fault.next_step else ""
        super().__init__(self.reason + step)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from _leaves(part)
    else:
        yield error


def show(value: Any, *, as_json: bool) -> str:
    """Return a value as one line: a text as it is, anything else as JSON."""
    return value if isinstance(value, str) and not as_json else json.dumps(value, ensure_ascii=False)


def table(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Yield the lines of a table; the last column is as wide as it wants."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)] if rows else []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        yield "  ".join(cells).rstrip()
