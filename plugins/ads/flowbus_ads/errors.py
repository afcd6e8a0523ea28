"""What the ADS client raises: a refusal of the PLC is a rejected message, a lost PLC is :class:`Lost`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple

from flowbus import Lost, Rejected
from flowbus_ads.faults import BAD_ANSWER, HRESULT_BASE, fault_of
from flowbus_ads.protocol.errors import ProtocolError

Layer = Literal["router", "device"]
"""Who refused: a router, by the error of the AMS header, or the device, by the result in the data."""


class Refusal(NamedTuple):
    """A return code and who gave it."""

    number: int
    layer: Layer = "device"


class AdsError(Rejected):
    """A target refused a request: ``number`` is its return code, ``layer`` who gave it."""

    def __init__(self, refusal: Refusal, where: str) -> None:
        """``where`` names what was asked for, such as ``read MAIN.rValue``."""
        self.number, self.layer = refusal
        fault = fault_of(self.number)
        who = "" if self.layer == "device" else " (said by the AMS router, not by the device)"
        super().__init__(fault, f"{where}: {fault.name}, {fault.cause}{who}")

    @property
    def hresult(self) -> int:
        """The number as TwinCAT shows it."""
        return HRESULT_BASE + self.number


@contextmanager
def understood(what: str) -> Iterator[None]:
    """Make an answer that is not formed as it must be a lost peer: nothing else it says can be trusted."""
    try:
        yield
    except ProtocolError as error:
        raise Lost(BAD_ANSWER, f"{what}: {error}") from error


@contextmanager
def lost_if_refused() -> Iterator[None]:
    """Make a refusal a lost peer, where it concerns the device and no message."""
    try:
        yield
    except AdsError as error:
        raise Lost(error.fault, error.text) from error
