"""Answers of a simulated PLC that a flow file sets: for an index group and offset, data or a return code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Final, Literal

from msgspec import Meta

from flowbus import Config

_U32 = Meta(ge=0, le=0xFFFF_FFFF)
Asked = Literal["read", "write", "read-write"]
Responses = Mapping[tuple[Asked, int, int], bytes | int]
"""What is answered, by command, index group and offset: bytes, or a return code (0: done)."""


class ResponseOptions(Config):
    """What the simulated PLC answers to one request, whatever its memory has. Sum commands get it too."""

    command: Annotated[Asked, Meta(description="The request.")]
    group: Annotated[int, _U32, Meta(description="Its index group.")]
    offset: Annotated[int, _U32, Meta(description="Its index offset.")] = 0
    data: Annotated[str | None, Meta(description="The bytes of the answer, as hex digits.")] = None
    error: Annotated[
        Annotated[int, _U32] | None,
        Meta(description="The return code of the answer, such as 1861 (0x745)."),
    ] = None

    def __post_init__(self) -> None:
        if (self.data is None) == (self.error is None):
            raise ValueError("give one of data and error")
        if self.data is not None and self.command == "write":
            raise ValueError("data: a write is answered by a return code; give error, 0 for done")
        try:
            bytes.fromhex(self.data or "")
        except ValueError:
            raise ValueError(f"data: {self.data!r} has other than pairs of hex digits") from None


def responses(options: Iterable[ResponseOptions]) -> Responses:
    """Return the answers by what is asked."""
    return {
        (item.command, item.group, item.offset): bytes.fromhex(item.data or "") if item.error is None else item.error
        for item in options
    }  # fmt: skip


NO_RESPONSES: Final[Responses] = {}
