"""Fault switches of a simulated PLC: what real ones do on a bad day."""

from __future__ import annotations

from struct import Struct

import msgspec

_INVOKE_ID = Struct("<I")
_INVOKE_AT = 34
TOO_LONG = b"\0\0\xf0\xff\xff\xff"  # AMS/TCP: a frame of nearly 4 GB follows
GARBAGE = b"\xff\xffHTTP/1.1 400 Bad Request\r\n\r\n"


class FaultSwitches(msgspec.Struct):
    """``mute``: requests vanish. ``slow``: seconds before each answer. The others count down.

    ``late``: seconds before the next answer, while others go out. ``oversize``: answers whose head
    announces more bytes than a frame may have. ``truncated``: answers that are cut off, together with
    the connection.
    """

    mute: bool = False
    slow: float = 0.0
    late: float = 0.0
    garbage: int = 0
    oversize: int = 0
    truncated: int = 0
    wrong_invoke_ids: int = 0
    single_client: bool = False

    def cut(self, answer: bytes) -> bytes:
        """Return the part of ``answer`` after which the connection ends; empty where it goes on."""
        if not self.truncated:
            return b""
        self.truncated -= 1
        return answer[: len(answer) // 2]

    def hold(self) -> float:
        """Return the seconds for which this answer waits."""
        seconds, self.late = self.late, 0.0
        return seconds

    def spoil(self, answer: bytes) -> bytes:
        """Return what really leaves instead of ``answer``."""
        if self.mute:
            return b""
        if self.garbage:
            self.garbage -= 1
            return GARBAGE + answer
        if self.oversize:
            self.oversize -= 1
            return TOO_LONG + answer[len(TOO_LONG) :]
        if self.wrong_invoke_ids:
            self.wrong_invoke_ids -= 1
            (invoke_id,) = _INVOKE_ID.unpack_from(answer, _INVOKE_AT)
            wrong = _INVOKE_ID.pack((invoke_id + 1_000_000) & 0xFFFF_FFFF)
            return answer[:_INVOKE_AT] + wrong + answer[_INVOKE_AT + 4 :]
        return answer
