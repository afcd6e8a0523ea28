"""The data of ADS requests and responses, both ways.

A request's data is built by ``x_request`` and read by ``parse_x_request``; a response's data begins
with the result (4 bytes), which :func:`split_result` takes off. Source: ADS Specification, "ADS
Commands", one section per command.
"""

from __future__ import annotations

import struct
from struct import Struct
from typing import Any, Final, NamedTuple

from flowbus_ads.protocol.errors import ProtocolError

U32: Final = Struct("<I")
_U32x2: Final = Struct("<II")
_ADDRESS: Final = Struct("<III")
_READ_WRITE: Final = Struct("<IIII")
_STATE: Final = Struct("<HH")
_CONTROL: Final = Struct("<HHI")
_INFO: Final = Struct("<BBH16s")
NOTE_REQUEST: Final = Struct("<IIIIII16x")


class DeviceInfo(NamedTuple):
    """Answer of ReadDeviceInfo."""

    name: str
    version: int
    revision: int
    build: int


class NoteSpec(NamedTuple):
    """What AddDeviceNotification asks for; times in units of 100 ns."""

    group: int
    offset: int
    length: int
    mode: int
    max_delay: int
    cycle_time: int


def split_result(data: bytes) -> tuple[int, bytes]:
    """Return (result, rest) of a response's data."""
    if len(data) < 4:
        raise ProtocolError(f"a response has {len(data)} bytes of data, at least 4 are needed")
    return U32.unpack_from(data)[0], data[4:]


def read_request(group: int, offset: int, length: int) -> bytes:
    """Return the data of a Read request."""
    return _ADDRESS.pack(group, offset, length)


def parse_read_request(data: bytes) -> tuple[int, int, int]:
    """Return (group, offset, length)."""
    return _unpack(_ADDRESS, data, "Read request")


def read_response(result: int, data: bytes = b"") -> bytes:
    """Return the data of a Read or ReadWrite response."""
    return _U32x2.pack(result, len(data)) + data


def parse_read_response(data: bytes) -> tuple[int, bytes]:
    """Return (result, value) of a Read or ReadWrite response; an error may come without a value."""
    if len(data) < 8:
        return split_result(data)[0] or _truncated("a Read response", data), b""
    result, length = _U32x2.unpack_from(data)
    if len(data) - 8 < length:
        _truncated("a Read response", data)
    return result, data[8 : 8 + length]


def write_request(group: int, offset: int, value: bytes) -> bytes:
    """Return the data of a Write request."""
    return _ADDRESS.pack(group, offset, len(value)) + value


def parse_write_request(data: bytes) -> tuple[int, int, bytes]:
    """Return (group, offset, value)."""
    group, offset, length = _unpack(_ADDRESS, data, "Write request")
    if len(data) - 12 < length:
        _truncated("a Write request", data)
    return group, offset, data[12 : 12 + length]


def read_write_request(group: int, offset: int, read_length: int, value: bytes) -> bytes:
    """Return the data of a ReadWrite request."""
    return _READ_WRITE.pack(group, offset, read_length, len(value)) + value


def parse_read_write_request(data: bytes) -> tuple[int, int, int, bytes]:
    """Return (group, offset, length to read, value written)."""
    group, offset, read_length, length = _unpack(_READ_WRITE, data, "ReadWrite request")
    if len(data) - 16 < length:
        _truncated("a ReadWrite request", data)
    return group, offset, read_length, data[16 : 16 + length]


def result_response(result: int) -> bytes:
    """Return the data of a response that is nothing but a result."""
    return U32.pack(result)


def device_info_response(info: DeviceInfo) -> bytes:
    """Return the data of a ReadDeviceInfo response; the name is cut at 16 bytes."""
    name = info.name.encode("cp1252", "replace")[:16]
    return U32.pack(0) + _INFO.pack(info.version, info.revision, info.build, name)


def parse_device_info(rest: bytes) -> DeviceInfo:
    """Read a ReadDeviceInfo response after its result."""
    version, revision, build, name = _unpack(_INFO, rest, "ReadDeviceInfo response")
    text = name.split(b"\0", 1)[0].decode("cp1252", "replace")
    return DeviceInfo(text, version, revision, build)


def state_response(ads_state: int, device_state: int) -> bytes:
    """Return the data of a ReadState response."""
    return U32.pack(0) + _STATE.pack(ads_state, device_state)


def parse_state(rest: bytes) -> tuple[int, int]:
    """Return (ADS state, device state) of a ReadState response after its result."""
    return _unpack(_STATE, rest, "ReadState response")


def control_request(ads_state: int, device_state: int, data: bytes = b"") -> bytes:
    """Return the data of a WriteControl request."""
    return _CONTROL.pack(ads_state, device_state, len(data)) + data


def parse_control_request(data: bytes) -> tuple[int, int, bytes]:
    """Return (ADS state, device state, data)."""
    ads_state, device_state, length = _unpack(_CONTROL, data, "WriteControl request")
    return ads_state, device_state, data[8 : 8 + length]


def add_note_request(spec: NoteSpec) -> bytes:
    """Return the data of an AddDeviceNotification request (40 bytes), also an item of the sum command."""
    return NOTE_REQUEST.pack(*spec)


def parse_add_note_request(data: bytes) -> NoteSpec:
    """Read an AddDeviceNotification request; the 16 reserved bytes may be missing."""
    if len(data) < 24:
        _truncated("an AddDeviceNotification request", data)
    return NoteSpec(*NOTE_REQUEST.unpack(data[:24].ljust(40, b"\0")))


def handle_response(result: int, handle: int) -> bytes:
    """Return the data of an AddDeviceNotification response."""
    return _U32x2.pack(result, handle)


def parse_u32(data: bytes, what: str) -> int:
    """Read a number of four bytes, such as a handle."""
    return int(_unpack(U32, data, what)[0])


def _unpack(layout: Struct, data: bytes, what: str) -> tuple[Any, ...]:
    try:
        return layout.unpack_from(data)
    except struct.error:
        raise ProtocolError(
            f"a {what} has {len(data)} bytes of data, at least {layout.size} are needed"
        ) from None


def _truncated(what: str, data: bytes) -> int:
    raise ProtocolError(f"{what} announces more bytes than the {len(data)} it has")
