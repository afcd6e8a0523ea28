"""The I/O server of a simulated PLC and its EtherCAT masters, each at an AMS address of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from flowbus_ads.plc.iodevices import IoDevice
from flowbus_ads.plc.iooptions import IoDeviceOptions
from flowbus_ads.plc.notes import NoteBook, Owner
from flowbus_ads.plc.sums import SumServices
from flowbus_ads.protocol import commands, iotree
from flowbus_ads.protocol.address import ams_address, parse_net_id
from flowbus_ads.protocol.ams import Frame
from flowbus_ads.protocol.constants import AdsState, Command, ErrorCode, Group
from flowbus_ads.protocol.iostates import Link
from flowbus_ads.protocol.iotree import Identity, IoGroup

_MASTER_IDENTITY: Final = Identity(2, 0x0001_0000, 0x0003_0001, 1)
Outcome = bytes | ErrorCode


class Silent(Exception):
    """Nobody answers this request; the client waits in vain."""


class SimulatedIo:
    """The I/O devices behind one PLC. Raises ValueError where two share an id, a NetId or an address."""

    def __init__(
        self, plc_net_id: bytes, devices: Sequence[IoDeviceOptions], clock: Callable[[], float]
    ) -> None:
        self.devices: dict[int, IoDevice] = {}
        server = ams_address(plc_net_id, iotree.IO_PORT)
        self._ports: dict[bytes, IoPort] = {server: IoPort("I/O Server", self._read_server)}
        for place, options in enumerate(devices, 1):
            number = options.id or place
            net_id = plc_net_id[:4] + bytes(((number + 1) & 0xFF, 1))
            if options.net_id is not None:
                net_id = parse_net_id(options.net_id)
            self._add(number, IoDevice(number, net_id, options, clock), plc_net_id)

    def _add(self, number: int, device: IoDevice, plc_net_id: bytes) -> None:
        if number in self.devices:
            raise ValueError(f"two I/O devices have the id {number}")
        if not device.is_master and device.terminals:
            raise ValueError(f"I/O device {number} has terminals and is no EtherCAT master (type {device.type})")
        self.devices[number] = device
        if not device.is_master:
            return
        address = ams_address(device.net_id, iotree.MASTER_PORT)
        if address in self._ports or device.net_id == plc_net_id:
            raise ValueError(f"I/O device {number} has a NetId that another has")
        self._ports[address] = Master(device)

    def at(self, address: bytes) -> IoPort | None:
        """Return who answers at an AMS address."""
        return self._ports.get(address)

    def _read_server(self, group: int, offset: int) -> Outcome:
        if group == IoGroup.DEVICES:
            if offset == iotree.ListOffset.COUNT:
                return len(self.devices).to_bytes(4, "little")
            if offset == iotree.ListOffset.IDS:
                return iotree.encode_device_ids(list(self.devices))
            return ErrorCode.INVALID_OFFSET
        device = self.devices.get(group - IoGroup.DEVICES)
        if device is None:
            return ErrorCode.INVALID_GROUP
        match offset:
            case iotree.DeviceOffset.NAME:
                return _text(device.name)
            case iotree.DeviceOffset.NET_ID:
                return device.net_id
            case iotree.DeviceOffset.TYPE:
                return device.type.to_bytes(2, "little")
        return ErrorCode.INVALID_OFFSET

class IoPort:
    """One AMS address: reads go to ``read(group, offset)``, alone or in a sum."""

    def __init__(self, name: str, read: Callable[[int, int], Outcome]) -> None:
        self.notes = NoteBook()
        self.info = commands.DeviceInfo(name, 3, 1, 4024)
        self._read, self._sums = read, SumServices(self)

    def answer(self, owner: Owner, frame: Frame, *, sums: bool) -> bytes:
        """Return the data that answers a request. Raises ProtocolError, and Silent where none comes."""
        match frame.command:
            case Command.READ_DEVICE_INFO:
                return commands.device_info_response(self.info)
            case Command.READ_STATE:
                return commands.state_response(AdsState.RUN, 0)
            case Command.READ:
                return _answered(self.read_index(*commands.parse_read_request(frame.data)))
            case Command.WRITE:
                write = commands.parse_write_request(frame.data)
                return commands.result_response(self.write_index(*write))
            case Command.READ_WRITE:
                group, offset, _, value = commands.parse_read_write_request(frame.data)
                if sums and Group.SUM_READ <= group <= Group.SUM_DELETE_NOTIFICATION:
                    return commands.read_response(0, self._sums.answer(owner, frame, group, offset, value))
                return commands.read_response(ErrorCode.INVALID_GROUP)
        return commands.result_response(ErrorCode.SERVICE_NOT_SUPPORTED)

    def read_index(self, group: int, offset: int, length: int) -> Outcome:
        """Read at most ``length`` bytes."""
        outcome = self._read(group, offset)
        return outcome[:length] if isinstance(outcome, bytes) else outcome

    def write_index(self, group: int, offset: int, value: bytes) -> ErrorCode:
        """Write nothing: an I/O server tells."""
        return ErrorCode.INVALID_GROUP

    def read_write_index(self, group: int, offset: int, length: int, value: bytes) -> Outcome:
        """There is no such service here."""
        return ErrorCode.INVALID_GROUP

    def add_note(self, owner: Owner, frame: Frame, spec: commands.NoteSpec) -> tuple[int, int]:
        """There are no notifications here."""
        return ErrorCode.SERVICE_NOT_SUPPORTED, 0


class Master(IoPort):
    """An EtherCAT master at its own NetId."""

    def __init__(self, device: IoDevice) -> None:
        super().__init__("EtherCAT Master", self._read_master)
        self._device = device

    def answer(self, owner: Owner, frame: Frame, *, sums: bool) -> bytes:
        """Return the data that answers a request, of a master that is not silent."""
        if self._device.silent:
            raise Silent
        return super().answer(owner, frame, sums=sums)

    def write_index(self, group: int, offset: int, value: bytes) -> ErrorCode:
        """Set the frame counters to zero; there is nothing else to write."""
        if group != IoGroup.FRAME_COUNTERS:
            return ErrorCode.INVALID_GROUP
        self._device.reset_frames()
        return ErrorCode.NONE

    def _read_master(self, group: int, offset: int) -> Outcome:
        device, terminals = self._device, self._device.terminals
        match group:
            case IoGroup.MASTER_STATE if offset == iotree.CURRENT_STATE:
                return device.state.to_bytes(2, "little")
            case IoGroup.SLAVE_COUNT:
                return len(terminals).to_bytes(2, "little")
            case IoGroup.SLAVE_ADDRESSES:
                return iotree.encode_addresses([terminal.address for terminal in terminals])
            case IoGroup.FRAME_COUNTERS:
                return iotree.encode_frames(device.frames())
            case IoGroup.SLAVE_STATES if not offset:
                return iotree.encode_states([terminal.states for terminal in terminals])
            case IoGroup.CRC_COUNTERS if not offset:
                return iotree.encode_sums([sum(terminal.crc) & 0xFFFF_FFFF for terminal in terminals])
            case IoGroup.SLAVE_STATES | IoGroup.CRC_COUNTERS | IoGroup.SLAVE_IDENTITY:
                return self._read_terminal(group, offset)
            case IoGroup.COE:
                return self._read_object(offset >> 16, offset & 0xFFFF)
        return ErrorCode.INVALID_OFFSET if group == IoGroup.MASTER_STATE else ErrorCode.INVALID_GROUP

    def _read_terminal(self, group: int, address: int) -> Outcome:
        terminal = next((t for t in self._device.terminals if t.address == address), None)
        if terminal is None:
            return ErrorCode.INVALID_OFFSET
        if terminal.silent:
            raise Silent
        if group == IoGroup.SLAVE_STATES:
            return iotree.encode_states([terminal.states])
        if group == IoGroup.SLAVE_IDENTITY:
            return iotree.encode_identity(terminal.identity)
        if terminal.link & Link.NOT_PRESENT:  # the counters are in the terminal, not in the master
            return ErrorCode.DEVICE_TIMEOUT
        return iotree.encode_crc(terminal.crc)

    def _read_object(self, index: int, subindex: int) -> Outcome:
        if index == iotree.IDENTITY_OBJECT and 1 <= subindex <= 4:
            return _MASTER_IDENTITY[subindex - 1].to_bytes(4, "little")
        position = index - iotree.TERMINAL_OBJECTS
        if not 0 <= position < len(self._device.terminals):
            return ErrorCode.INVALID_OFFSET
        terminal = self._device.terminals[position]
        match subindex:
            case 1:
                return terminal.address.to_bytes(2, "little")
            case 2:
                return _text(terminal.type).ljust(16, b"\0")
            case 3:
                return _text(terminal.name).ljust(32, b"\0")
        return ErrorCode.INVALID_OFFSET


def _answered(outcome: Outcome) -> bytes:
    if isinstance(outcome, bytes):
        return commands.read_response(0, outcome)
    return commands.read_response(outcome)


def _text(text: str) -> bytes:
    return text.encode("cp1252", "replace") + b"\0"
