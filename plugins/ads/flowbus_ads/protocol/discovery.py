"""Datagrams of an ADS router (UDP 48899): who it is, and how it is told a route.

A datagram: cookie, invoke id, service, NetId (6 bytes) and AMS port (2 bytes) of the sender, count of
fields; then each field: tag and length (2 bytes each), data. Texts are closed by a zero byte. An answer
has the highest bit of its service set. Source: UdpTag and UdpServiceId in AdsLib's route handling of
Beckhoff/ADS, with the fields of a server's answer as routers of TwinCAT 3 send them.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from enum import IntEnum
from struct import Struct
from typing import Final

import msgspec

from flowbus_ads.protocol.errors import ProtocolError

UDP_PORT: Final = 48899
SYSTEM_SERVICE: Final = 10000
"""AMS port that datagrams name as their sender's."""

_COOKIE: Final = 0x7114_6603
_HEAD: Final = Struct("<III6sHI")
_FIELD: Final = Struct("<HH")
_ANSWER: Final = 0x8000_0000
_VERSION: Final = Struct("<BBH")
_OS: Final = Struct("<IIIII")
_MOST_FIELDS: Final = 64


class Service(IntEnum):
    """What a datagram asks for."""

    SERVER_INFO = 1
    ADD_ROUTE = 6


class Tag(IntEnum):
    """What a field is."""

    STATUS = 1
    PASSWORD = 2
    VERSION = 3
    OS = 4
    HOST = 5
    NET_ID = 7
    ROUTE_NAME = 12
    USER = 13
    FINGERPRINT = 18


class Datagram(msgspec.Struct, frozen=True, gc=False):
    """One datagram; ``net_id`` is its sender's. Of a tag that comes twice the first counts."""

    service: int
    net_id: bytes
    fields: Mapping[int, bytes]
    invoke_id: int = 0
    is_answer: bool = False
    port: int = SYSTEM_SERVICE

    def text(self, tag: Tag) -> str:
        """Return the text of a field, empty where there is none."""
        return self.fields.get(tag, b"").split(b"\0", 1)[0].decode("utf-8", "replace")


class ServerInfo(msgspec.Struct, frozen=True):
    """Who answered: ``version`` of TwinCAT as ``3.1.4024``, ``os`` as the router tells it."""

    net_id: str
    host_name: str
    version: str
    os: str
    fingerprint: str


def encode_datagram(datagram: Datagram) -> bytes:
    """Return the bytes of a datagram."""
    service = datagram.service | (_ANSWER if datagram.is_answer else 0)
    head = _HEAD.pack(
        _COOKIE, datagram.invoke_id, service, datagram.net_id, datagram.port, len(datagram.fields)
    )
    fields = [_FIELD.pack(tag, len(data)) + data for tag, data in datagram.fields.items()]
    return head + b"".join(fields)


def parse_datagram(data: bytes) -> Datagram:
    """Read a datagram. Raises ProtocolError for what is none."""
    try:
        cookie, invoke_id, service, net_id, port, count = _HEAD.unpack_from(data)
    except struct.error:
        raise ProtocolError(f"a datagram has {len(data)} bytes, {_HEAD.size} are needed") from None
    if cookie != _COOKIE:
        raise ProtocolError(f"a datagram begins with 0x{cookie:08X}, which is not that of ADS")
    fields: dict[int, bytes] = {}
    at = _HEAD.size
    for _ in range(min(count, _MOST_FIELDS)):
        if at + _FIELD.size > len(data):
            raise ProtocolError(f"a datagram of {len(data)} bytes is cut off at {at}")
        tag, length = _FIELD.unpack_from(data, at)
        at += _FIELD.size
        if at + length > len(data):
            raise ProtocolError(f"field {tag} of a datagram says {length} bytes, of {len(data) - at}")
        fields.setdefault(tag, data[at : at + length])
        at += length
    return Datagram(
        service & ~_ANSWER, net_id, fields, invoke_id, bool(service & _ANSWER), port
    )


def info_request(net_id: bytes, invoke_id: int) -> bytes:
    """Return the question who a router is."""
    return encode_datagram(Datagram(Service.SERVER_INFO, net_id, {}, invoke_id))


def info_answer(question: Datagram, net_id: bytes, host_name: str, version: tuple[int, int, int]) -> bytes:
    """Return what a router answers to that."""
    fields: dict[int, bytes] = {
        Tag.HOST: text(host_name), Tag.OS: _OS.pack(276, 0, 0, 0, 0).ljust(276, b"\0"),
        Tag.VERSION: _VERSION.pack(*version),
    }  # fmt: skip
    answer = Datagram(Service.SERVER_INFO, net_id, fields, question.invoke_id, is_answer=True)
    return encode_datagram(answer)


def parse_info(answer: Datagram) -> ServerInfo:
    """Read what a router tells of itself; what it does not tell is empty."""
    version = answer.fields.get(Tag.VERSION, b"")
    system = answer.fields.get(Tag.OS, b"")
    return ServerInfo(
        ".".join(map(str, answer.net_id)),
        answer.text(Tag.HOST),
        ".".join(map(str, _VERSION.unpack_from(version))) if len(version) >= _VERSION.size else "",
        _system(system),
        answer.text(Tag.FINGERPRINT),
    )


def route_request(
    net_id: bytes, invoke_id: int, *, name: str, address: str, user: str, password: str
) -> bytes:
    """Return the wish that a router takes in a route to ``net_id`` at ``address``."""
    fields: dict[int, bytes] = {
        Tag.ROUTE_NAME: text(name), Tag.NET_ID: net_id, Tag.USER: text(user),
        Tag.PASSWORD: text(password), Tag.HOST: text(address),
    }  # fmt: skip
    return encode_datagram(Datagram(Service.ADD_ROUTE, net_id, fields, invoke_id))


def route_answer(wish: Datagram, net_id: bytes, status: int) -> bytes:
    """Return what a router answers to that: 0, or an ADS return code."""
    fields: dict[int, bytes] = {Tag.STATUS: status.to_bytes(4, "little")}
    return encode_datagram(
        Datagram(Service.ADD_ROUTE, net_id, fields, wish.invoke_id, is_answer=True)
    )


def parse_route_answer(answer: Datagram) -> int:
    """Return the ADS return code of a router's answer, 0 where the route is there now."""
    status = answer.fields.get(Tag.STATUS)
    if status is None or len(status) != 4:
        raise ProtocolError("the answer to a route has no status")
    return int.from_bytes(status, "little")


def text(value: str) -> bytes:
    """Return a text as a field has it."""
    return value.encode() + b"\0"


def _system(data: bytes) -> str:
    """Return Windows' own version number; other systems tell theirs as a text."""
    if len(data) < _OS.size:
        return ""
    _, major, minor, build, platform = _OS.unpack_from(data)
    if major or minor or build:
        return f"Windows {major}.{minor}.{build} ({platform})"
    return data[_OS.size :].split(b"\0", 1)[0].decode("utf-8", "replace")
