"""How a flow file declares the I/O devices of a simulated PLC."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from msgspec import Meta

from flowbus import Config
from flowbus_ads.protocol.address import parse_net_id
from flowbus_ads.protocol.iotree import Identity

StateName = Literal["INIT", "PREOP", "BOOT", "SAFEOP", "OP"]
_U32 = Meta(ge=0, le=0xFFFF_FFFF)
_BECKHOFF: Final = 2
_FAMILIES: Final = {"EK": 0x2C52, "EL": 0x3052, "EP": 0x4052}
_TYPE: Final = re.compile(r"(EK|EL|EP)(\d{4})")


class IoTerminalOptions(Config):
    """A terminal of a simulated EtherCAT device."""

    type: Annotated[str, Meta(min_length=1, max_length=15, description="Type, such as EL1008.")]
    name: Annotated[
        str | None, Meta(description="Name, at most 31 characters; absent: Term, its place and its type.")
    ] = None
    address: Annotated[
        Annotated[int, Meta(ge=1, le=0xFFFF)] | None,
        Meta(description="EtherCAT address; absent: one more than the terminal before, from 1001."),
    ] = None
    vendor: Annotated[int, _U32, Meta(description="Vendor id; 2 is Beckhoff.")] = _BECKHOFF
    product: Annotated[
        Annotated[int, _U32] | None,
        Meta(description="Product code; absent: Beckhoff's for an EK, EL or EP type, else 0."),
    ] = None
    revision: Annotated[int, _U32, Meta(description="Revision number.")] = 0x0010_0000
    serial: Annotated[int, _U32, Meta(description="Serial number.")] = 0
    state: Annotated[StateName, Meta(description="State at the start.")] = "OP"

    def __post_init__(self) -> None:
        if self.name is not None and len(self.name) > 31:
            raise ValueError(f"the name {self.name!r} has more than 31 characters")

    def identity(self) -> Identity:
        """Return what the terminal says of itself."""
        product = product_code(self.type) if self.product is None else self.product
        return Identity(self.vendor, product, self.revision, self.serial)


class IoDeviceOptions(Config):
    """An I/O device of a simulated PLC; an EtherCAT master has terminals."""

    name: Annotated[
        str | None, Meta(description="Name, at most 254 characters; absent: Device, its id and (EtherCAT).")
    ] = None
    id: Annotated[
        Annotated[int, Meta(ge=1, le=0xFFF)] | None,
        Meta(description="Id; absent: its place in the list, from 1."),
    ] = None
    net_id: Annotated[
        str | None,
        Meta(description="AMS NetId; absent: the PLC's, with its id and one more as the fifth number."),
    ] = None
    type: Annotated[
        int, Meta(ge=1, le=0xFFFF, description="Type; 94 and 111 are EtherCAT masters.")
    ] = 94
    state: Annotated[StateName, Meta(description="State of the master at the start.")] = "OP"
    terminals: Annotated[
        tuple[str | IoTerminalOptions, ...],
        Meta(max_length=4096, description="Terminals in the order of the bus; a text is the type of one."),
    ] = ()

    def __post_init__(self) -> None:
        if self.net_id is not None:
            parse_net_id(self.net_id)
        if self.name is not None and len(self.name) > 254:
            raise ValueError("the name of an I/O device has more than 254 characters")


def product_code(type_name: str) -> int:
    """Return Beckhoff's product code: the number of the type above a word of its family."""
    found = _TYPE.match(type_name)
    return int(found[2]) << 16 | _FAMILIES[found[1]] if found else 0
