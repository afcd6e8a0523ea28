"""Numbers of the ADS protocol.

Source: Beckhoff Information System, "ADS Specification" (AMS/TCP header, ADS commands) and the
index groups of AdsDef.h in Beckhoff/ADS.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

PORT: Final = 48898
"""TCP port of AMS."""


class Command(IntEnum):
    """ADS command ids (ADS Specification, "ADS Commands")."""

    INVALID = 0
    READ_DEVICE_INFO = 1
    READ = 2
    WRITE = 3
    READ_STATE = 4
    WRITE_CONTROL = 5
    ADD_NOTIFICATION = 6
    DELETE_NOTIFICATION = 7
    NOTIFICATION = 8
    READ_WRITE = 9


REQUEST: Final = 0x0004
"""State flags of a request: ADS command, no response bit."""
RESPONSE: Final = 0x0005
"""State flags of a response."""
RESPONSE_BIT: Final = 0x0001


class Group(IntEnum):
    """Index groups (AdsDef.h)."""

    MEMORY_BYTE = 0x4020
    MEMORY_BIT = 0x4021
    DATA = 0x4040
    SYM_HANDLE_BY_NAME = 0xF003
    SYM_VALUE_BY_NAME = 0xF004
    SYM_VALUE_BY_HANDLE = 0xF005
    SYM_RELEASE_HANDLE = 0xF006
    SYM_INFO_BY_NAME = 0xF007
    SYM_VERSION = 0xF008
    SYM_INFO_BY_NAME_EX = 0xF009
    SYM_UPLOAD = 0xF00B
    SYM_UPLOAD_INFO = 0xF00C
    DATATYPE_UPLOAD = 0xF00E
    SYM_UPLOAD_INFO2 = 0xF00F
    DATATYPE_BY_NAME = 0xF011
    INPUT_BYTE = 0xF020
    OUTPUT_BYTE = 0xF030
    SUM_READ = 0xF080
    SUM_WRITE = 0xF081
    SUM_READ_WRITE = 0xF082
    SUM_READ_EX = 0xF083
    SUM_READ_EX2 = 0xF084
    SUM_ADD_NOTIFICATION = 0xF085
    SUM_DELETE_NOTIFICATION = 0xF086
    DEVICE_DATA = 0xF100


class AdsState(IntEnum):
    """States of an ADS device."""

    INVALID = 0
    IDLE = 1
    RESET = 2
    INIT = 3
    START = 4
    RUN = 5
    STOP = 6
    SAVECFG = 7
    LOADCFG = 8
    POWERFAILURE = 9
    POWERGOOD = 10
    ERROR = 11
    SHUTDOWN = 12
    SUSPEND = 13
    RESUME = 14
    CONFIG = 15
    RECONFIG = 16


class TransMode(IntEnum):
    """When a notification is sent (ADSTRANSMODE)."""

    NONE = 0
    CLIENT_CYCLE = 1
    CLIENT_ONCE = 2
    CYCLIC = 3
    ON_CHANGE = 4


class TypeId(IntEnum):
    """ADS data type numbers in symbol entries (ADSDATATYPEID)."""

    VOID = 0
    INT16 = 2
    INT32 = 3
    REAL32 = 4
    REAL64 = 5
    INT8 = 16
    UINT8 = 17
    UINT16 = 18
    UINT32 = 19
    INT64 = 20
    UINT64 = 21
    STRING = 30
    WSTRING = 31
    REAL80 = 32
    BIT = 33
    BIG = 65


SIGNED: Final = frozenset((TypeId.INT8, TypeId.INT16, TypeId.INT32, TypeId.INT64))


class ErrorCode(IntEnum):
    """The return codes that the code itself reacts to; the registry has all of them."""

    NONE = 0x0
    TARGET_PORT_NOT_FOUND = 0x6
    TARGET_MACHINE_NOT_FOUND = 0x7
    UNKNOWN_COMMAND = 0x8
    SERVICE_NOT_SUPPORTED = 0x701
    INVALID_GROUP = 0x702
    INVALID_OFFSET = 0x703
    INVALID_ACCESS = 0x704
    INVALID_SIZE = 0x705
    INVALID_DATA = 0x706
    SYMBOL_NOT_FOUND = 0x710
    SYMBOL_VERSION_INVALID = 0x711
    INVALID_STATE = 0x712
    TRANSMODE_NOT_SUPPORTED = 0x713
    NOTIFICATION_HANDLE_INVALID = 0x714
    NO_MORE_HANDLES = 0x716
    DEVICE_TIMEOUT = 0x719
    SYMBOL_NOT_ACTIVE = 0x722


STALE_HANDLE: Final = frozenset(
    (ErrorCode.SYMBOL_NOT_FOUND, ErrorCode.SYMBOL_VERSION_INVALID, ErrorCode.SYMBOL_NOT_ACTIVE)
)
"""Results of a request by handle after which a new handle may help (an online change)."""

ONLINE_CHANGES: Final = "TwinCAT_SystemInfoVarList._AppInfo.OnlineChangeCnt"
"""UDINT, the online changes since the last download. Source: Beckhoff Information System, PlcAppSystemInfo."""

UNSUPPORTED: Final = frozenset(
    (ErrorCode.UNKNOWN_COMMAND, ErrorCode.SERVICE_NOT_SUPPORTED, ErrorCode.INVALID_GROUP)
)
"""Results that say that a target does not know a service, such as the sum commands."""
