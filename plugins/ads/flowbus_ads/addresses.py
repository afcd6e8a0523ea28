"""How a flow names a value in a PLC: by symbol name, or by index group, offset and type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec

from flowbus import Config, Ref

_U32 = msgspec.Meta(ge=0, le=0xFFFF_FFFF)


class IndexAddress(Config):
    """A value by index group and offset: the fastest way, and blind to changes of the program."""

    group: Annotated[
        int, _U32, msgspec.Meta(description="Index group, such as 16416 (0x4020, %M).")
    ]
    offset: Annotated[
        int, _U32, msgspec.Meta(description="Index offset, in bytes for most groups.")
    ]
    type: Annotated[
        str | None, msgspec.Meta(description="PLC type, such as INT or ARRAY [0..3] OF REAL.")
    ] = None
    length: Annotated[
        Annotated[int, msgspec.Meta(ge=1, le=1 << 24)] | None,
        msgspec.Meta(description="Bytes, instead of a type: the value is the bytes as they are."),
    ] = None

    def __post_init__(self) -> None:
        if (self.type is None) == (self.length is None):
            raise ValueError("give either `type` or `length`")

    def __str__(self) -> str:
        return f"0x{self.group:X}:{self.offset}"


Key = str | IndexAddress
"""What names a value."""

if TYPE_CHECKING:
    AdsRef = str
else:
    AdsRef = Ref["ads"]
