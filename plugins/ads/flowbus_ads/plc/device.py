"""The ADS services of a simulated PLC: one request frame in, one answer out.

Answers follow what TwinCAT does where clients depend on it: names without regard to case, a text
read returns at most its size, a stale handle gives 0x711, an unknown one 0x710.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Any, Final

from flowbus_ads.plc.handles import HandleTable, MethodCall
from flowbus_ads.plc.iotree import Silent, SimulatedIo
from flowbus_ads.plc.memory import Place, PlcMemory
from flowbus_ads.plc.notes import Note, NoteBook, Outgoing, Owner
from flowbus_ads.plc.responses import NO_RESPONSES
from flowbus_ads.plc.sums import SumServices
from flowbus_ads.protocol import commands
from flowbus_ads.protocol.address import ams_port
from flowbus_ads.protocol.ams import HEADER, Frame
from flowbus_ads.protocol.constants import (
    ONLINE_CHANGES,
    RESPONSE,
    AdsState,
    Command,
    ErrorCode,
    Group,
    TransMode,
)
from flowbus_ads.protocol.errors import ProtocolError
from flowbus_ads.protocol.symbols import encode_entry
from flowbus_ads.protocol.typeentries import encode_type

_STATE: Final = Struct("<HH")
_HANDLE: Final = Struct("<IIH")
"""What TwinCAT tells behind a handle: size, type decoration, length of the type's name."""
_SYSTEM_SERVICE: Final = 10000
_MAX_NOTES: Final = 10_000
Outcome = bytes | int
"""Bytes, or a return code."""


class SimulatedPlc:
    """Symbols, handles, notifications and state of one device, shared by all its clients.

    ``writes`` collects (symbol, value) of what clients have written until someone takes it.
    ``requests`` and ``write_requests`` count what came in.
    """

    def __init__(
        self, net_id: bytes, port: int, memory: PlcMemory, *,
        name: str = "flowbus PLC", first_handle: int = 0x1000, io: SimulatedIo | None = None,
    ) -> None:  # fmt: skip
        self.net_id, self.port, self.memory, self.io = net_id, port, memory, io
        self.info = commands.DeviceInfo(name, 3, 1, 4024)
        self.state, self.device_state = AdsState.RUN, 0
        self.version = 1
        self.sums_enabled = True
        self.notes = NoteBook()
        self.writes: list[tuple[str, Any]] = []
        self.requests = 0
        self.write_requests = 0
        #: Called in each cycle while the program runs, with the seconds since its start.
        self.movers: list[Callable[[float], None]] = []
        self.responses = NO_RESPONSES
        self.handles = HandleTable(first_handle)
        if memory.find(ONLINE_CHANGES) is None:
            memory.add(ONLINE_CHANGES, "UDINT", 0)
        self._sums = SumServices(self)
        self._commands: dict[int, Callable[[Owner, Frame], bytes]] = {
            Command.READ_DEVICE_INFO: self._device_info,
            Command.READ: self._read,
            Command.WRITE: self._write,
            Command.READ_STATE: self._read_state,
            Command.WRITE_CONTROL: self._write_control,
            Command.ADD_NOTIFICATION: self._add_note,
            Command.DELETE_NOTIFICATION: self._delete_note,
            Command.READ_WRITE: self._read_write,
        }

    def answer(self, owner: Owner, frame: Frame) -> bytes:
        """Return the frame that answers a request of connection ``owner``; none where no answer comes."""
        self.requests += 1
        port = None if self.io is None else self.io.at(frame.target)
        error = self._route(frame) if port is None else ErrorCode.NONE
        try:
            if error:
                data = b""
            elif port is not None:
                data = port.answer(owner, frame, sums=self.sums_enabled)
            else:
                data = self._commands[frame.command](owner, frame)
        except ProtocolError:
            data = commands.read_response(ErrorCode.INVALID_SIZE)
        except Silent:
            return b""
        size = len(data)
        head = HEADER.pack(
            0, 32 + size, frame.source, frame.target, frame.command, RESPONSE, size, error,
            frame.invoke_id,
        )  # fmt: skip
        return head + data

    def online_change(self, filetime: int) -> list[Outgoing]:
        """Raise the symbol version, make every handle stale and end the notifications behind them."""
        self.version = (self.version + 1) & 0xFF
        self.handles.make_stale()
        self.count_online_change()
        return self.notes.end_by_handle(filetime)

    def count_online_change(self) -> None:
        """Raise the program's own counter of online changes."""
        count = self.memory.value(ONLINE_CHANGES)
        self.memory.set(ONLINE_CHANGES, (count + 1) & 0xFFFF_FFFF)

    @property
    def is_busy(self) -> bool:
        """True where a cycle has something to do."""
        return bool(self.movers) or len(self.notes) > 0

    def cycle(self, elapsed: float, now: float, filetime: int) -> list[Outgoing]:
        """Move the values, while the program runs, and return the notifications that are due."""
        if self.state == AdsState.RUN:
            for move in self.movers:
                move(elapsed)
        return self.notes.due(self, now, filetime)

    # ---- services by index, used by single and sum commands

    def read_index(self, group: int, offset: int, length: int) -> Outcome:
        """Read ``length`` bytes."""
        if self.responses and (given := self.responses.get(("read", group, offset))) is not None:
            return given[:length] if isinstance(given, bytes) else given
        if group == Group.SYM_VALUE_BY_HANDLE:
            place = self.handles.place(offset)
            if isinstance(place, ErrorCode):
                return place
            return self.memory.read(place.group, place.offset, min(length, place.size))
        if group in _TABLES:
            return _TABLES[group](self, length)
        return self.read(group, offset, length)

    def read(self, group: int, offset: int, length: int) -> bytes | ErrorCode:
        """Read what notifications may follow too: memory, the state, the symbol version."""
        if group == Group.DEVICE_DATA:
            return _STATE.pack(self.state, self.device_state)[offset:][:length]
        if group == Group.SYM_VERSION:
            return bytes((self.version,))
        return self.memory.read(group, offset, length)

    def write_index(self, group: int, offset: int, value: bytes) -> int:
        """Write bytes and note which symbols have changed."""
        if isinstance(given := self.responses.get(("write", group, offset)), int):
            self.write_requests += 1
            return given
        if group == Group.SYM_RELEASE_HANDLE:
            return self.handles.release(commands.parse_u32(value, "handle"))
        self.write_requests += 1
        if group != Group.SYM_VALUE_BY_HANDLE:
            result = self.memory.write(group, offset, value)
            if not result:
                self._wrote(self.memory.touched(group, offset, len(value)))
            return result
        place = self.handles.place(offset)
        if isinstance(place, ErrorCode):
            return place
        if len(value) > place.size or (len(value) < place.size and not place.is_text):
            return ErrorCode.INVALID_SIZE
        self.memory.write(place.group, place.offset, value)
        self._wrote([place])
        return ErrorCode.NONE

    def read_write_index(self, group: int, offset: int, length: int, value: bytes) -> Outcome:
        """Write bytes, read up to ``length`` bytes: the services by name."""
        if (given := self.responses.get(("read-write", group, offset))) is not None:
            return given[:length] if isinstance(given, bytes) else given
        if group == Group.SYM_VALUE_BY_HANDLE:
            return self._call(offset, length, value)
        by_name = _BY_NAME.get(group)
        if by_name is None and group not in _NAMED_OTHERWISE:
            return ErrorCode.INVALID_GROUP
        name = value.split(b"\0", 1)[0].decode("cp1252", "replace")
        if group == Group.DATATYPE_BY_NAME:
            return self._type_named(name, length)
        if group == Group.SYM_HANDLE_BY_NAME and "#" in name:
            return self._method_handle(name, length)
        place = self.memory.find(name)
        if place is None:
            return ErrorCode.SYMBOL_NOT_FOUND
        if group == Group.SYM_HANDLE_BY_NAME:
            return self._described(self.handles.new(place), place.size, place.type_name, length)
        assert by_name is not None
        answer = by_name(self, place)
        if isinstance(answer, bytes) and len(answer) > length:
            return ErrorCode.INVALID_SIZE
        return answer

    def _described(self, handle: int | None, size: int, type_name: str, length: int) -> Outcome:
        """Return a handle, and for a client that has room for it what it stands for."""
        if handle is None:
            return ErrorCode.NO_MORE_HANDLES
        number, text = handle.to_bytes(4, "little"), type_name.encode("cp1252", "replace")
        described = number + _HANDLE.pack(size, 0, len(text)) + text + b"\0"
        return described if len(described) <= length else number

    def _method_handle(self, path: str, length: int) -> Outcome:
        owner, _, name = path.partition("#")
        place = self.memory.find(owner)
        found = None if place is None else self.memory.program.method(place.type_name, name)
        if place is None or found is None:
            return ErrorCode.SYMBOL_NOT_FOUND
        handle = self.handles.new(place, MethodCall(f"{place.name}#{name}", *found))
        return self._described(handle, len(found[1]), "", length)

    def _call(self, handle: int, length: int, value: bytes) -> Outcome:
        """Call a method; it counts as written, with its inputs."""
        found = self.handles.call(handle)
        if isinstance(found, ErrorCode):
            return found
        name, signature, answer = found
        if length < len(answer) or len(value) != sum(codec.size for _, codec in signature.inputs):
            return ErrorCode.INVALID_SIZE
        inputs, at = {}, 0
        for parameter, codec in signature.inputs:
            inputs[parameter] = codec.decode(value[at : at + codec.size])
            at += codec.size
        self.write_requests += 1
        self.writes.append((name, inputs))
        return answer

    def _type_named(self, name: str, length: int) -> Outcome:
        entry = self.memory.program.table.get(name)
        if entry is None:
            return ErrorCode.SYMBOL_NOT_FOUND
        data = encode_type(entry)
        return data if len(data) <= length else ErrorCode.INVALID_SIZE

    def add_note(self, owner: Owner, frame: Frame, spec: commands.NoteSpec) -> tuple[int, int]:
        """Take in a notification; (result, handle)."""
        group, offset, handle = spec.group, spec.offset, None
        if group == Group.SYM_VALUE_BY_HANDLE:
            place = self.handles.place(offset)
            if isinstance(place, ErrorCode):
                return place, 0
            if spec.length > place.size:
                return ErrorCode.INVALID_SIZE, 0
            group, offset, handle = place.group, place.offset, spec.offset
        value = self.read(group, offset, spec.length)
        if not isinstance(value, bytes):
            return value, 0
        if spec.mode not in (TransMode.CYCLIC, TransMode.ON_CHANGE):
            return ErrorCode.TRANSMODE_NOT_SUPPORTED, 0
        if len(self.notes) >= _MAX_NOTES:
            return ErrorCode.NO_MORE_HANDLES, 0
        note = Note(
            0, owner, frame.source, frame.target, group, offset, spec.length, spec.mode,
            spec.cycle_time / 1e7, spec.max_delay / 1e7, handle,
        )  # fmt: skip
        return 0, self.notes.add(note)

    # ---- the commands

    def _route(self, frame: Frame) -> int:
        if frame.target[:6] != self.net_id:
            return ErrorCode.TARGET_MACHINE_NOT_FOUND
        port = ams_port(frame.target)
        if port == self.port:
            return 0 if frame.command in self._commands else ErrorCode.UNKNOWN_COMMAND
        state_only = frame.command in (Command.READ_STATE, Command.READ_DEVICE_INFO)
        return 0 if port == _SYSTEM_SERVICE and state_only else ErrorCode.TARGET_PORT_NOT_FOUND

    def _device_info(self, owner: Owner, frame: Frame) -> bytes:
        return commands.device_info_response(self.info)

    def _read_state(self, owner: Owner, frame: Frame) -> bytes:
        return commands.state_response(self.state, self.device_state)

    def _write_control(self, owner: Owner, frame: Frame) -> bytes:
        state, self.device_state, _ = commands.parse_control_request(frame.data)
        if state == AdsState.RESET:
            state = AdsState.STOP
        if state not in (AdsState.RUN, AdsState.STOP, AdsState.CONFIG):
            return commands.result_response(ErrorCode.INVALID_STATE)
        self.state = AdsState(state)
        return commands.result_response(0)

    def _read(self, owner: Owner, frame: Frame) -> bytes:
        return _answered(self.read_index(*commands.parse_read_request(frame.data)))

    def _write(self, owner: Owner, frame: Frame) -> bytes:
        return commands.result_response(self.write_index(*commands.parse_write_request(frame.data)))

    def _read_write(self, owner: Owner, frame: Frame) -> bytes:
        group, offset, length, value = commands.parse_read_write_request(frame.data)
        if Group.SUM_READ <= group <= Group.SUM_DELETE_NOTIFICATION:
            if not self.sums_enabled:
                return commands.read_response(ErrorCode.SERVICE_NOT_SUPPORTED)
            if (given := self.responses.get(("read-write", group, offset))) is not None:
                return _answered(given)
            return _answered(self._sums.answer(owner, frame, group, offset, value))
        return _answered(self.read_write_index(group, offset, length, value))

    def _add_note(self, owner: Owner, frame: Frame) -> bytes:
        spec = commands.parse_add_note_request(frame.data)
        return commands.handle_response(*self.add_note(owner, frame, spec))

    def _delete_note(self, owner: Owner, frame: Frame) -> bytes:
        known = self.notes.delete(commands.parse_u32(frame.data, "notification handle"))
        return commands.result_response(0 if known else ErrorCode.NOTIFICATION_HANDLE_INVALID)

    def _wrote(self, places: list[Place]) -> None:
        for place in places:
            self.writes.append((place.name, place.codec.decode(self.memory.raw(place))))


def _answered(outcome: Outcome) -> bytes:
    if isinstance(outcome, bytes):
        return commands.read_response(0, outcome)
    return commands.read_response(outcome)


_TABLES: Final[dict[int, Callable[[SimulatedPlc, int], Outcome]]] = {
    Group.SYM_UPLOAD: lambda plc, length: plc.memory.upload()[:length],
    Group.SYM_UPLOAD_INFO: lambda plc, length: plc.memory.upload_info(extended=False)[:length],
    Group.SYM_UPLOAD_INFO2: lambda plc, length: plc.memory.upload_info(extended=True)[:length],
    Group.DATATYPE_UPLOAD: lambda plc, length: plc.memory.upload_types()[:length],
}
_NAMED_OTHERWISE: Final = frozenset((Group.SYM_HANDLE_BY_NAME, Group.DATATYPE_BY_NAME))
_BY_NAME: Final[dict[int, Callable[[SimulatedPlc, Place], Outcome]]] = {
    Group.SYM_VALUE_BY_NAME: lambda plc, place: plc.memory.raw(place),
    Group.SYM_INFO_BY_NAME: lambda plc, place: commands.read_request(
        place.group, place.offset, place.size
    ),
    Group.SYM_INFO_BY_NAME_EX: lambda plc, place: encode_entry(plc.memory.entry(place)),
}
