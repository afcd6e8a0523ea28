"""The I/O devices of a simulated PLC and their terminals: what they are and how they fare."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from flowbus_ads.plc.iooptions import IoDeviceOptions, IoTerminalOptions
from flowbus_ads.protocol import iostates
from flowbus_ads.protocol.iostates import SlaveState
from flowbus_ads.protocol.iotree import Crc, Frames, States

_FRAMES_PER_SECOND: Final = 1000
_QUEUED_PER_SECOND: Final = 10


class Terminal:
    """A terminal. ``silent``: what is asked of it alone gets no answer; absent ones are refused."""

    def __init__(self, place: int, address: int, options: IoTerminalOptions) -> None:
        self.address, self.type = address, options.type
        self.name = options.name or f"Term {place} ({options.type})"
        self.identity = options.identity()
        self.state, self.link = int(SlaveState[options.state]), 0
        self.crc = Crc()
        self.silent = False

    @property
    def states(self) -> States:
        """Its two state bytes."""
        return States(self.state, self.link)


class IoDevice:
    """An I/O device. Its frames are counted by ``clock`` (seconds): a thousand a second."""

    def __init__(
        self, number: int, net_id: bytes, options: IoDeviceOptions, clock: Callable[[], float]
    ) -> None:
        self.number, self.net_id, self.type = number, net_id, options.type
        self.name = options.name or f"Device {number} (EtherCAT)"
        self.state = int(SlaveState[options.state])
        self.silent = False
        self.lost = 0
        self.terminals = list(_terminals(options.terminals))
        self._clock, self._start = clock, clock()
        addresses = [terminal.address for terminal in self.terminals]
        double = next((a for a in addresses if addresses.count(a) > 1), None)
        if double is not None:
            raise ValueError(f"two terminals have the address {double}")
        if max(addresses, default=0) > 0xFFFF:
            raise ValueError(f"the addresses of the terminals of I/O device {number} go beyond 65535")

    @property
    def is_master(self) -> bool:
        """Whether it is an EtherCAT master."""
        return self.type in iostates.DEVICE_TYPES

    def frames(self) -> Frames:
        """Return its counters of this moment."""
        seconds = self._clock() - self._start
        return Frames(
            int(seconds * 1e6), int(seconds * _FRAMES_PER_SECOND), self.lost,
            int(seconds * _QUEUED_PER_SECOND), 0,
        )  # fmt: skip

    def reset_frames(self) -> None:
        """Set the frame counters to zero."""
        self._start, self.lost = self._clock(), 0


def _terminals(options: Sequence[str | IoTerminalOptions]) -> Iterator[Terminal]:
    address = 1000
    for place, given in enumerate(options, 1):
        one = IoTerminalOptions(type=given) if isinstance(given, str) else given
        address = one.address or address + 1
        yield Terminal(place, address, one)
