"""The states that an I/O server and its EtherCAT masters tell, as numbers and in words.

Sources: Beckhoff Information System, Tc2_EtherCAT (``ST_EcSlaveState``) and Tc2_IoFunctions
(``E_IODeviceType``).
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import Final

_STATE_MASK: Final = 0x0F
DEVICE_TYPES: Final = {94: "EtherCAT", 111: "EtherCAT"}
"""I/O devices that are EtherCAT masters: IODEVICETYPE_ETHERCAT (TwinCAT 2's name for the direct
mode) and IODEVICETYPE_ETHERCATPROT of Tc2_IoFunctions, ``E_IODeviceType``."""


class SlaveState(IntEnum):
    """States of the EtherCAT state machine, the lower half of a terminal's first state byte."""

    INIT = 1
    PREOP = 2
    BOOT = 3
    SAFEOP = 4
    OP = 8


class SlaveFault(IntFlag):
    """The upper half of that byte."""

    ERROR = 0x10
    WRONG_IDENTITY = 0x20
    INIT_COMMAND_FAILED = 0x40
    DISABLED = 0x80


class Link(IntFlag):
    """A terminal's second state byte: what is wrong with its links, and at which ports."""

    NOT_PRESENT = 0x01
    WITHOUT_COMMUNICATION = 0x02
    MISSING_LINK = 0x04
    ADDITIONAL_LINK = 0x08
    PORT_A = 0x10
    PORT_B = 0x20
    PORT_C = 0x40
    PORT_D = 0x80


def state_words(number: int) -> str:
    """Return a state in words, such as ``OP`` or ``SAFEOP, error``; CATio has 0 for INIT too."""
    state = number & _STATE_MASK
    known = state in SlaveState._value2member_map_
    first = SlaveState(state or 1).name if known or not state else f"unknown ({state})"
    return ", ".join([first, *_words(SlaveFault, number)])


def link_words(number: int) -> str:
    """Return a link state in words, such as ``ok`` or ``missing link, port b``."""
    return ", ".join(_words(Link, number)) or "ok"


def _words(flags: type[IntFlag], number: int) -> list[str]:
    return [str(flag.name).lower().replace("_", " ") for flag in flags if number & flag]


def type_words(number: int) -> str:
    """Return the type of an I/O device in words."""
    return DEVICE_TYPES.get(number, f"type {number}")
