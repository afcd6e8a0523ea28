"""What an I/O server and its EtherCAT masters tell: questions with their answers' parsers, and the way back.

Every question is a plain ADS Read. The I/O server is AMS port 300 of the PLC's NetId; each EtherCAT
master has a NetId of its own and is asked on port 0xFFFF. Sources: the client of
DiamondLightSource/fastcs-catio 1.1 (`_constants.py`, `messages.py`), which is used on real
hardware; Beckhoff Information System, Tc2_IoFunctions (groups from 0x5000) and Tc2_EtherCAT (the
master's groups, ``ST_EcSlaveState``); ETG.1510 for the master's objects 0x8000 and up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import IntEnum
from struct import Struct
from typing import Any, Final, NamedTuple

from flowbus_ads.protocol.address import format_net_id
from flowbus_ads.protocol.errors import ProtocolError
from flowbus_ads.protocol.sums import ReadItem

IO_PORT: Final = 300
"""AMS port of the I/O server."""
MASTER_PORT: Final = 0xFFFF
"""AMS port of an EtherCAT master, at its own NetId."""

_IDENTITY: Final = Struct("<4I")
_FRAMES: Final = Struct("<5I")
_NAME: Final = 255
_TERMINAL_TYPE: Final = 16
_TERMINAL_NAME: Final = 32


class IoGroup(IntEnum):
    """Index groups of an EtherCAT master, and ``DEVICES`` of the I/O server (to which an id is added)."""

    MASTER_STATE = 0x3
    SLAVE_COUNT = 0x6
    SLAVE_ADDRESSES = 0x7
    SLAVE_STATES = 0x9
    FRAME_COUNTERS = 0xC
    SLAVE_IDENTITY = 0x11
    CRC_COUNTERS = 0x12
    DEVICES = 0x5000
    COE = 0xF302


class ListOffset(IntEnum):
    """Index offsets of the I/O server's list of devices, at 0x5000."""

    IDS = 0x1
    COUNT = 0x2


class DeviceOffset(IntEnum):
    """Index offsets of one I/O device, at 0x5000 + id."""

    NAME = 0x1
    NET_ID = 0x5
    TYPE = 0x7


CURRENT_STATE: Final = 0x100
"""Index offset of the master's current state."""
IDENTITY_OBJECT: Final = 0x1018
"""CoE object of vendor, product, revision and serial, at subindex 1 to 4."""
TERMINAL_OBJECTS: Final = 0x8000
"""CoE object of a master's first terminal; the next follow by one. Subindex 2 is its type, 3 its name."""


class Identity(NamedTuple):
    """Who made what; the CoE object 0x1018."""

    vendor: int
    product: int
    revision: int
    serial: int


class Frames(NamedTuple):
    """Frames of an EtherCAT master since it started or since they were set to zero; each wraps at 2³²."""

    system_time: int
    cyclic: int
    cyclic_lost: int
    queued: int
    queued_lost: int


class Crc(NamedTuple):
    """CRC errors of a terminal by port."""

    a: int = 0
    b: int = 0
    c: int = 0
    d: int = 0


class States(NamedTuple):
    """The two state bytes of a terminal."""

    state: int
    link: int


class Question(NamedTuple):
    """One Read and how its answer is read. ``what`` names it in an error."""

    what: str
    item: ReadItem
    parse: Callable[[bytes], Any]


# ---- the I/O server


def device_count() -> Question:
    """How many I/O devices there are."""
    item = (int(IoGroup.DEVICES), int(ListOffset.COUNT), 4)
    return Question("number of I/O devices", item, lambda data: _number(data, 2, 4))


def device_ids(count: int) -> Question:
    """The ids of ``count`` I/O devices."""
    item = (int(IoGroup.DEVICES), int(ListOffset.IDS), 2 + 2 * count)
    return Question("ids of the I/O devices", item, parse_device_ids)


def device_type(device: int) -> Question:
    """The type of an I/O device, a number."""
    item = (IoGroup.DEVICES + device, int(DeviceOffset.TYPE), 2)
    return Question(f"type of device {device}", item, lambda data: _number(data, 2, 2))


def device_name(device: int) -> Question:
    """The name of an I/O device."""
    item = (IoGroup.DEVICES + device, int(DeviceOffset.NAME), _NAME)
    return Question(f"name of device {device}", item, parse_text)


def device_net_id(device: int) -> Question:
    """The NetId of an I/O device, dotted."""
    item = (IoGroup.DEVICES + device, int(DeviceOffset.NET_ID), 6)
    return Question(f"NetId of device {device}", item, parse_dotted)


# ---- an EtherCAT master


def master_state() -> Question:
    """The state of the master's own state machine."""
    item = (int(IoGroup.MASTER_STATE), CURRENT_STATE, 2)
    return Question("state of the master", item, lambda data: _number(data, 2, 2))


def slave_count() -> Question:
    """How many terminals are configured."""
    item = (int(IoGroup.SLAVE_COUNT), 0, 2)
    return Question("number of terminals", item, lambda data: _number(data, 2, 2))


def frame_counters() -> Question:
    """The :class:`Frames` of the master."""
    return Question("frame counters", (int(IoGroup.FRAME_COUNTERS), 0, _FRAMES.size), parse_frames)


def master_identity() -> list[Question]:
    """The four numbers of the master's :class:`Identity`, each a CoE object."""
    return [
        Question(f"{name} of the master", coe(IDENTITY_OBJECT, index, 4), lambda data: _number(data, 4, 4))
        for index, name in enumerate(Identity._fields, 1)
    ]


def slave_addresses(count: int) -> Question:
    """The EtherCAT addresses of ``count`` terminals, in the order of the bus."""
    item = (int(IoGroup.SLAVE_ADDRESSES), 0, 2 * count)
    return Question("addresses of the terminals", item, lambda data: _numbers(data, "H", count))


def slave_states(count: int) -> Question:
    """The :class:`States` of ``count`` terminals, in the order of their addresses."""
    item = (int(IoGroup.SLAVE_STATES), 0, 2 * count)
    return Question("states of the terminals", item, lambda data: parse_states(data, count))


def crc_sums(count: int) -> Question:
    """The CRC errors of ``count`` terminals, over all ports of each."""
    item = (int(IoGroup.CRC_COUNTERS), 0, 4 * count)
    return Question("CRC errors of the terminals", item, lambda data: _numbers(data, "I", count))


def slave_identity(address: int) -> Question:
    """The :class:`Identity` of a terminal."""
    item = (int(IoGroup.SLAVE_IDENTITY), address, _IDENTITY.size)
    return Question(f"identity of terminal {address}", item, parse_identity)


def slave_crc(address: int) -> Question:
    """The :class:`Crc` of a terminal."""
    item = (int(IoGroup.CRC_COUNTERS), address, 16)
    return Question(f"CRC errors of terminal {address}", item, parse_crc)


def slave_type(position: int, address: int) -> Question:
    """The type of the terminal at a position from 0, such as EL3064; the master knows it."""
    item = coe(TERMINAL_OBJECTS + position, 2, _TERMINAL_TYPE)
    return Question(f"type of terminal {address}", item, parse_text)


def slave_name(position: int, address: int) -> Question:
    """The name of the terminal at a position from 0; its first 32 bytes, as CATio asks for it."""
    item = coe(TERMINAL_OBJECTS + position, 3, _TERMINAL_NAME)
    return Question(f"name of terminal {address}", item, parse_text)


def coe(index: int, subindex: int, length: int) -> ReadItem:
    """Return the Read of a CoE object: the offset has its index above and the subindex below."""
    return (int(IoGroup.COE), index << 16 | subindex, length)


# ---- answers


def parse_device_ids(data: bytes) -> list[int]:
    """Read the list of ids: first their number, then each, two bytes all."""
    count = _number(data, 2, 2)
    return _numbers(data[2:], "H", count)


def parse_text(data: bytes) -> str:
    """Read a text, which ends at a NUL or with the data."""
    return data.split(b"\0", 1)[0].decode("cp1252", "replace").strip()


def parse_dotted(data: bytes) -> str:
    """Read a NetId."""
    _at_least(data, 6)
    return format_net_id(data)


def parse_identity(data: bytes) -> Identity:
    """Read the identity of a terminal."""
    _at_least(data, _IDENTITY.size)
    return Identity(*_IDENTITY.unpack_from(data))


def parse_frames(data: bytes) -> Frames:
    """Read the frame counters."""
    _at_least(data, _FRAMES.size)
    return Frames(*_FRAMES.unpack_from(data))


def parse_crc(data: bytes) -> Crc:
    """Read the CRC errors of a terminal; the answer may end after the last port that it has."""
    _at_least(data, 4)
    if len(data) % 4:
        raise ProtocolError(f"{len(data)} bytes are no counters of four bytes each")
    return Crc(*_numbers(data[:16], "I", min(len(data), 16) // 4))


def parse_states(data: bytes, count: int) -> list[States]:
    """Read the state bytes of ``count`` terminals."""
    _at_least(data, 2 * count)
    return [States(data[at], data[at + 1]) for at in range(0, 2 * count, 2)]


def encode_device_ids(ids: Sequence[int]) -> bytes:
    """Write the list of ids."""
    return Struct(f"<{len(ids) + 1}H").pack(len(ids), *ids)


def encode_identity(identity: Identity) -> bytes:
    """Write an identity."""
    return _IDENTITY.pack(*identity)


def encode_frames(frames: Frames) -> bytes:
    """Write frame counters; what is above 2³² begins at zero again."""
    return _FRAMES.pack(*[number & 0xFFFF_FFFF for number in frames])


def encode_crc(crc: Crc) -> bytes:
    """Write the CRC errors of a terminal."""
    return _numbers_out("I", crc)


def encode_addresses(addresses: Sequence[int]) -> bytes:
    """Write addresses."""
    return _numbers_out("H", addresses)


def encode_sums(sums: Sequence[int]) -> bytes:
    """Write CRC sums."""
    return _numbers_out("I", sums)


def encode_states(states: Sequence[States]) -> bytes:
    """Write state bytes."""
    return bytes(byte for pair in states for byte in pair)


def _at_least(data: bytes, size: int) -> None:
    if len(data) < size:
        raise ProtocolError(f"{len(data)} bytes came, at least {size} are needed")


def _number(data: bytes, least: int, most: int) -> int:
    _at_least(data, least)
    return int.from_bytes(data[:most], "little")


def _numbers(data: bytes, code: str, count: int) -> list[int]:
    layout = Struct(f"<{count}{code}")
    _at_least(data, layout.size)
    return list(layout.unpack_from(data))


def _numbers_out(code: str, numbers: Sequence[int]) -> bytes:
    return Struct(f"<{len(numbers)}{code}").pack(*numbers)
