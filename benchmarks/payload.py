"""The 200 byte JSON message of the pipeline, and WebSocket frames full of them, built cheaply.

Every message has the same length, so that a chunk of frames is one byte pattern in which only two
numbers differ: the sequence number and the time at which the message was due.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

SIZE = 200  # bytes of JSON
FIRST = 10_000_000  # sequence number of message 0: eight digits, none of them a leading zero

_HEAD = b'{"cmd":"speed","unit":"m/s","line":3,"data":{"seq":'
_FILL = b'"station":"press-07","value":12.5,"limits":[0.0,25.0],"note":"'
_TAIL = b'"}}'

# Both systems publish `data` as JSON; spaces after a colon or comma are allowed to them.
PATTERN = re.compile(rb'"seq":\s*(\d{8}),\s*"t":\s*(\d{16})[,}]')


def message(number: int, due: int) -> bytes:
    """Return message ``number`` that is due at ``due`` µs since the epoch, exactly SIZE bytes."""
    text = b'%b%d,"t":%d,%b' % (_HEAD, FIRST + number, due, _FILL)
    return text + b"x" * (SIZE - len(text) - len(_TAIL)) + _TAIL


class Frames:
    """Makes masked WebSocket text frames (RFC 6455, section 5.2), many at a time.

    The mask is applied to a whole chunk as one large number: the header's bytes meet zeros.
    """

    def __init__(self) -> None:
        sample = message(0, 10**15)
        self._middle = b',"t":'
        at = sample.index(self._middle) + len(self._middle) + 16
        self._rest = sample[at:]
        mask = os.urandom(4)
        self._header = b"\x81\xfe" + SIZE.to_bytes(2, "big") + mask
        self._pattern = bytes(len(self._header)) + mask * (SIZE // 4)
        self._masks: dict[int, int] = {}

    def chunk(self, first: int, due: Sequence[int]) -> bytes:
        """Return the frames of messages ``first``, ``first`` + 1, ..., due at these times."""
        start, middle, rest = self._header + _HEAD, self._middle, self._rest
        plain = b"".join(
            [
                b"%b%d%b%d%b" % (start, number, middle, t, rest)
                for number, t in enumerate(due, FIRST + first)
            ]
        )
        return (int.from_bytes(plain, "big") ^ self._mask(len(due))).to_bytes(len(plain), "big")

    def _mask(self, count: int) -> int:
        if count not in self._masks:
            self._masks[count] = int.from_bytes(self._pattern * count, "big")
        return self._masks[count]
