"""Which addresses may connect: lists of addresses, networks, host names and patterns with ``*``."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable, Iterable
from typing import Final

import msgspec
import trio

from flowbus import Fault
from flowbus_websocket.faults import named

KEPT: Final = 60.0  # seconds for which the answer of a name server is used again
MOST: Final = 4096  # answers that are kept

_IPV4_PATTERN: Final = re.compile(r"(\d{1,3}|\*)(\.(\d{1,3}|\*)){0,3}")
_IPV6_PATTERN: Final = re.compile(r"[0-9a-fA-F:*]*:[0-9a-fA-F:*]*")
_HOST: Final = re.compile(r"[A-Za-z0-9*]([A-Za-z0-9*_-]*\.?)*")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
OnFault = Callable[[Fault, str], None]


class Entries(msgspec.Struct, frozen=True):
    """The entries of one list, by what has to be done to compare them."""

    networks: tuple[Network, ...] = ()
    addresses: tuple[re.Pattern[str], ...] = ()
    names: tuple[str, ...] = ()
    hosts: tuple[re.Pattern[str], ...] = ()

    def has_address(self, address: str) -> bool:
        """Tell whether an entry is about this very address, without asking a name server."""
        number = ipaddress.ip_address(address)
        return any(number in network for network in self.networks) or any(
            pattern.fullmatch(address) for pattern in self.addresses
        )


def entries_of(texts: Iterable[str]) -> Entries:
    """Return what a list says. ValueError names the entry that is none."""
    networks, addresses, names, hosts = [], [], [], []
    for text in texts:
        if "*" not in text and (network := _network(text)) is not None:
            networks.append(network)
        elif "*" in text and (_IPV4_PATTERN.fullmatch(text) or _IPV6_PATTERN.fullmatch(text)):
            addresses.append(_pattern(text))
        elif not _HOST.fullmatch(text) or not re.search(r"[A-Za-z]", text):
            raise ValueError(
                f'"{text}" is no address, network (10.0.0.0/8), host or pattern with *'
            )
        elif "*" in text:
            hosts.append(_pattern(text))
        else:
            names.append(text.lower())
    return Entries(tuple(networks), tuple(addresses), tuple(names), tuple(hosts))


def _network(text: str) -> Network | None:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        if "host bits" in str(error):
            raise ValueError(f'"{text}" has bits set that its mask leaves to the hosts') from None
        return None


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(re.escape(text).replace(r"\*", ".*"), re.IGNORECASE)


class Access:
    """Says which addresses may connect; ``block`` wins, and an empty ``allow`` allows everybody.

    A host name stands for its addresses, a pattern of names for the addresses whose name it fits
    and that this name leads back to. A name that cannot be looked up is nobody's.
    """

    def __init__(self, allow: Iterable[str], block: Iterable[str], on_fault: OnFault) -> None:
        self._allow = entries_of(allow)
        self._block = entries_of(block)
        self._anybody = self._allow == Entries()
        self._on_fault = on_fault
        self._answers: dict[str, tuple[float, frozenset[str]]] = {}

    async def admits(self, address: str) -> bool:
        """Tell whether ``address``, an IPv4 or IPv6 address, may connect."""
        address = address.partition("%")[0]  # the zone of a link-local address is ours, not its
        if await self._lists(self._block, address):
            return False
        return self._anybody or await self._lists(self._allow, address)

    async def _lists(self, entries: Entries, address: str) -> bool:
        if entries.has_address(address):
            return True
        for name in entries.names:
            if address in await self._addresses_of(name):
                return True
        if not entries.hosts:
            return False
        return any(
            pattern.fullmatch(name)
            for name in await self._names_of(address)
            for pattern in entries.hosts
        )

    async def _addresses_of(self, name: str) -> frozenset[str]:
        if (known := self._known(name)) is not None:
            return known
        try:
            found = await trio.socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            self._on_fault(named("resolver_error"), f"{name} in a list of clients: {error}")
            return self._keep(name, frozenset())
        return self._keep(name, frozenset(str(entry[4][0]) for entry in found))

    async def _names_of(self, address: str) -> frozenset[str]:
        if (known := self._known(address)) is not None:
            return known
        try:
            name, _ = await trio.socket.getnameinfo((address, 0), socket.NI_NAMEREQD)
        except (OSError, UnicodeError):  # most clients have no name
            return self._keep(address, frozenset())
        # Whoever owns an address may give it any name; only the owner of the name can confirm it.
        confirmed = address in await self._addresses_of(name.lower())
        return self._keep(address, frozenset({name.lower()} if confirmed else ()))

    def _known(self, question: str) -> frozenset[str] | None:
        when, answer = self._answers.get(question, (-KEPT, frozenset[str]()))
        return answer if trio.current_time() - when < KEPT else None

    def _keep(self, question: str, answer: frozenset[str]) -> frozenset[str]:
        if len(self._answers) >= MOST:
            self._answers.clear()
        self._answers[question] = trio.current_time(), answer
        return answer
