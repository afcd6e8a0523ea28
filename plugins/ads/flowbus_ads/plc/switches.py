"""Fault switches of a simulated PLC: what real ones do on a bad day."""

from __future__ import annotations

from struct import Struct

import msgspec

_INVOKE_ID = Struct("<I")
_INVOKE_AT = 34
GARBAGE = b"\xff\xffHTTP/1.1 400 Bad Request\r\n\r\n"


class FaultSwitches(msgspec.Struct):
    """``mute``: requests vanish. ``slow``: seconds before each answer. The others count down."""

    mute: bool = False
    slow: float = 0.0
    garbage: int = 0
    wrong_invoke_ids: int = 0
    single_client: bool = False

    def spoil(self, answer: bytes) -> bytes:
        """Return what really leaves instead of ``answer``."""
        if self.mute:
            return b""
        if self.garbage:
            self.garbage -= 1
            return GARBAGE + answer
        if self.wrong_invoke_ids:
            self.wrong_invoke_ids -= 1
            (invoke_id,) = _INVOKE_ID.unpack_from(answer, _INVOKE_AT)
            wrong = _INVOKE_ID.pack((invoke_id + 1_000_000) & 0xFFFF_FFFF)
            return answer[:_INVOKE_AT] + wrong + answer[_INVOKE_AT + 4 :]
        return answer
