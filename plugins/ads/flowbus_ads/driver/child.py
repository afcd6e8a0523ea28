"""The child process of the driver ``pyads``: AMS frames in by a socket, calls of AdsLib, frames out.

It stands where a router's TCP connection stands for the own driver, so everything above it is the
same: names, types, sum commands, subscriptions. AdsLib wants care:

- one request at a time on a port of its own, so each worker thread has opened one;
- a router whose PLC was lost answers -1 for ever: the process ends, and a new one is started;
- closing with live notifications crashes: nothing is closed, the process just ends;
- a call cannot be taken back: what has waited too long for a thread is not begun, so that a write
  which has been given up is not done later.

Run as ``python -m flowbus_ads.driver.child DESCRIPTOR HOST OWN-NETID TIMEOUT``.
"""

from __future__ import annotations

import ctypes
import os
import queue
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from pyads import pyads_ex
from pyads.structs import SAdsNotificationAttrib, SAdsNotificationHeader, SAmsAddr, SAmsNetId

from flowbus_ads.protocol import commands
from flowbus_ads.protocol.ams import Frame, FrameReader, encode_frame
from flowbus_ads.protocol.constants import REQUEST, RESPONSE, Command, ErrorCode, Group
from flowbus_ads.protocol.errors import ProtocolError
from flowbus_ads.protocol.notifications import build_stream, ns_to_filetime

WORKERS: Final = 8
LOST: Final = 69  # exit code: the router has lost its PLC for good
_SYNC_TIMEOUT: Final = 0x745
_ROUTER_ERRORS: Final = 0x700  # return codes below are those of a router
_NOTES: Final = frozenset((Group.SUM_ADD_NOTIFICATION, Group.SUM_DELETE_NOTIFICATION))
_MAX_READ: Final = 16 << 20

_lib: Any = pyads_ex._adsDLL
_header_data: Final = SAdsNotificationHeader.data.offset

for _name in (
    "AdsSyncReadReqEx2", "AdsSyncReadWriteReqEx2", "AdsSyncWriteReqEx", "AdsSyncReadStateReqEx",
    "AdsSyncReadDeviceInfoReqEx", "AdsSyncWriteControlReqEx", "AdsSyncAddDeviceNotificationReqEx",
    "AdsSyncDelDeviceNotificationReqEx", "AdsAddRoute", "AdsPortOpenEx", "AdsSyncSetTimeoutEx",
):  # fmt: skip
    getattr(_lib, _name).restype = ctypes.c_long


class AdsLibError(Exception):
    """A call that AdsLib refused, with its return code."""

    def __init__(self, number: int) -> None:
        super().__init__(f"0x{number:X}")
        self.number = number


class Router:
    """AdsLib's router, and the routes that it was told."""

    def __init__(self, host: str, own: bytes) -> None:
        self._host = host.encode()
        self._known: set[bytes] = set()
        self._lock = threading.Lock()
        _lib.AdsSetLocalAddress(_net_id(own))

    def reach(self, net_id: bytes) -> None:
        """Make sure that there is a route to ``net_id``. Raises AdsLibError."""
        with self._lock:
            if net_id not in self._known:
                _checked(_lib.AdsAddRoute(_net_id(net_id), ctypes.c_char_p(self._host)))
                self._known.add(net_id)


class Worker:
    """One thread's port: answers one request after the other."""

    def __init__(self, router: Router, send: Callable[[bytes], None], timeout: float) -> None:
        self._router, self._send = router, send
        self._port = _lib.AdsPortOpenEx()
        if not self._port:
            raise OSError("AdsLib opens no port")
        _lib.AdsSyncSetTimeoutEx(self._port, ctypes.c_long(round(timeout * 1000)))
        #: Callbacks that AdsLib may call at any time: they must outlive their notification.
        self._callbacks: list[Any] = []

    def answer(self, frame: Frame, latest: float) -> bytes | None:
        """Return the frame that answers a request; None where the PLC has not answered in time.

        Nothing is begun after ``latest``, in seconds of ``time.monotonic``.
        """
        error = 0
        try:
            self._router.reach(frame.target[:6])
            if time.monotonic() > latest:
                return None
            data = self._called(frame)
        except AdsLibError as refusal:
            number = refusal.number
            if number == _SYNC_TIMEOUT:
                return None
            if number < 0 or number > 0xFFFF_FFFF:
                os._exit(LOST)
            error = number if number < _ROUTER_ERRORS else 0
            data = b"" if error else commands.read_response(number)
        except ProtocolError:
            data = commands.read_response(ErrorCode.INVALID_SIZE)
        return encode_frame(
            Frame(frame.source, frame.target, frame.command, RESPONSE, error, frame.invoke_id, data)
        )

    def _called(self, frame: Frame) -> bytes:
        address = ctypes.byref(_address(frame.target))
        data = frame.data
        match frame.command:
            case Command.READ:
                return self._read(address, *commands.parse_read_request(data))
            case Command.WRITE:
                return self._write(address, *commands.parse_write_request(data))
            case Command.READ_WRITE:
                return self._read_write(address, *commands.parse_read_write_request(data))
            case Command.READ_STATE:
                return self._state(address)
            case Command.READ_DEVICE_INFO:
                return self._info(address)
            case Command.WRITE_CONTROL:
                return self._control(address, *commands.parse_control_request(data))
            case Command.ADD_NOTIFICATION:
                return self._add_note(frame, commands.parse_add_note_request(data))
            case Command.DELETE_NOTIFICATION:
                handle = commands.parse_u32(data, "notification handle")
                _checked(_lib.AdsSyncDelDeviceNotificationReqEx(self._port, address, _u32(handle)))
                return commands.result_response(0)
        raise AdsLibError(ErrorCode.UNKNOWN_COMMAND)

    def _read(self, address: Any, group: int, offset: int, length: int) -> bytes:
        buffer = ctypes.create_string_buffer(min(length, _MAX_READ))
        got = _u32(0)
        _checked(
            _lib.AdsSyncReadReqEx2(
                self._port, address, _u32(group), _u32(offset), _u32(len(buffer)), buffer,
                ctypes.byref(got),
            )
        )  # fmt: skip
        return commands.read_response(0, buffer.raw[: got.value])

    def _write(self, address: Any, group: int, offset: int, value: bytes) -> bytes:
        _checked(
            _lib.AdsSyncWriteReqEx(
                self._port, address, _u32(group), _u32(offset), _u32(len(value)), value
            )
        )
        return commands.result_response(0)

    def _read_write(self, address: Any, group: int, offset: int, length: int, value: bytes) -> bytes:
        if group in _NOTES:  # AdsLib knows only the notifications that it has asked for itself
            raise AdsLibError(ErrorCode.SERVICE_NOT_SUPPORTED)
        buffer = ctypes.create_string_buffer(min(length, _MAX_READ))
        got = _u32(0)
        _checked(
            _lib.AdsSyncReadWriteReqEx2(
                self._port, address, _u32(group), _u32(offset), _u32(len(buffer)), buffer,
                _u32(len(value)), value, ctypes.byref(got),
            )
        )  # fmt: skip
        return commands.read_response(0, buffer.raw[: got.value])

    def _state(self, address: Any) -> bytes:
        state, device = ctypes.c_uint16(), ctypes.c_uint16()
        _checked(
            _lib.AdsSyncReadStateReqEx(
                self._port, address, ctypes.byref(state), ctypes.byref(device)
            )
        )
        return commands.state_response(state.value, device.value)

    def _info(self, address: Any) -> bytes:
        name = ctypes.create_string_buffer(32)
        version = ctypes.create_string_buffer(4)
        _checked(_lib.AdsSyncReadDeviceInfoReqEx(self._port, address, name, version))
        numbers = struct.unpack("<BBH", version.raw)
        text = name.value.decode("cp1252", "replace")
        return commands.device_info_response(commands.DeviceInfo(text, *numbers))

    def _control(self, address: Any, state: int, device: int, value: bytes) -> bytes:
        _checked(
            _lib.AdsSyncWriteControlReqEx(
                self._port, address, ctypes.c_uint16(state), ctypes.c_uint16(device),
                _u32(len(value)), value,
            )
        )  # fmt: skip
        return commands.result_response(0)

    def _add_note(self, frame: Frame, spec: commands.NoteSpec) -> bytes:
        source, own, send = frame.target, frame.source, self._send

        samples = 0

        def tell(filetime: int, number: int, value: bytes) -> None:
            stream = build_stream([(filetime, [(number, value)])])
            send(encode_frame(Frame(own, source, Command.NOTIFICATION, REQUEST, 0, 0, stream)))

        def heard(address: Any, header: Any, user: int) -> None:
            nonlocal samples
            samples += 1
            sample = header.contents
            at = ctypes.addressof(sample) + _header_data
            tell(sample.nTimeStamp, sample.hNotification, ctypes.string_at(at, sample.cbSampleSize))

        callback = pyads_ex.NOTEFUNC(heard)
        self._callbacks.append(callback)
        attributes = SAdsNotificationAttrib()
        attributes.cbLength, attributes.nTransMode = spec.length, spec.mode
        attributes.nMaxDelay, attributes.nCycleTime = spec.max_delay, spec.cycle_time
        handle = _u32(0)
        _checked(
            _lib.AdsSyncAddDeviceNotificationReqEx(
                self._port, ctypes.byref(_address(source)), _u32(spec.group), _u32(spec.offset),
                ctypes.byref(attributes), callback, _u32(0), ctypes.byref(handle),
            )
        )  # fmt: skip
        # AdsLib drops a sample that comes before it has noted the handle, which with "on change" is
        # the present value: read, it may come twice, but not never.
        if not samples:
            address = ctypes.byref(_address(source))
            _, value = commands.parse_read_response(
                self._read(address, spec.group, spec.offset, spec.length)
            )
            if not samples:
                tell(ns_to_filetime(time.time_ns()), handle.value, value)
        return commands.handle_response(0, handle.value)


def _u32(value: int) -> Any:
    return ctypes.c_uint32(value)


def _net_id(net_id: bytes) -> Any:
    return SAmsNetId((ctypes.c_ubyte * 6)(*net_id))


def _address(address: bytes) -> Any:
    return SAmsAddr(_net_id(address[:6]), int.from_bytes(address[6:], "little"))


def _checked(number: int) -> None:
    if number:
        raise AdsLibError(number)


def serve(sock: socket.socket, host: str, own: bytes, timeout: float) -> None:
    """Answer what comes until the other side closes."""
    sending = threading.Lock()

    def send(data: bytes) -> None:
        with sending:
            try:
                sock.sendall(data)
            except OSError:
                os._exit(0)  # nobody is there any more

    router = Router(host, own)
    waiting: queue.SimpleQueue[tuple[Frame, float]] = queue.SimpleQueue()

    def work() -> None:
        worker = Worker(router, send, timeout)
        while True:
            answer = worker.answer(*waiting.get())
            if answer is not None:
                send(answer)

    for number in range(WORKERS):
        threading.Thread(target=work, name=f"ads {number}", daemon=True).start()
    frames = FrameReader()
    while data := sock.recv(1 << 18):
        latest = time.monotonic() + timeout
        for frame in frames.feed(data):
            waiting.put((frame, latest))


def main() -> None:
    """Serve the socket of the command line; the process ends with it."""
    descriptor, host, own, timeout = sys.argv[1:5]
    with socket.socket(fileno=int(descriptor)) as sock:
        serve(sock, host, bytes(map(int, own.split("."))), float(timeout))
    os._exit(0)  # not by the interpreter's way out, which would tear AdsLib down


if __name__ == "__main__":
    main()
