"""The sum commands of a simulated PLC: each item answered by the service it would reach alone."""

from __future__ import annotations

from typing import Protocol

from flowbus_ads.plc.notes import NoteBook, Owner
from flowbus_ads.protocol import sums
from flowbus_ads.protocol.ams import MAX_DATA, Frame
from flowbus_ads.protocol.commands import NoteSpec
from flowbus_ads.protocol.constants import ErrorCode, Group
from flowbus_ads.protocol.errors import ProtocolError


class Services(Protocol):
    """What single requests do."""

    notes: NoteBook

    def read_index(self, group: int, offset: int, length: int) -> bytes | int:
        """Read bytes."""

    def write_index(self, group: int, offset: int, value: bytes) -> int:
        """Write bytes."""

    def read_write_index(
        self, group: int, offset: int, length: int, value: bytes
    ) -> bytes | int:
        """Write, then read."""

    def add_note(self, owner: Owner, frame: Frame, spec: NoteSpec) -> tuple[int, int]:
        """Take in a notification."""


class SumServices:
    """Answers 0xF080 to 0xF086."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def answer(self, owner: Owner, frame: Frame, group: int, count: int, data: bytes) -> bytes:
        """Return the data read by a sum command of ``count`` items. Raises ProtocolError."""
        match group:
            case Group.SUM_READ | Group.SUM_READ_EX | Group.SUM_READ_EX2:
                return self._read(group, count, data)
            case Group.SUM_WRITE:
                write = self._services.write_index
                return sums.codes_response(
                    [write(*item) for item in sums.parse_sum_write_request(count, data)]
                )
            case Group.SUM_READ_WRITE:
                both = self._services.read_write_index
                items = sums.parse_sum_read_write_request(count, data)
                return sums.sized_response([_result(both(*item)) for item in items])
            case Group.SUM_ADD_NOTIFICATION:
                specs = sums.parse_sum_add_note_request(count, data)
                add = self._services.add_note
                return sums.pairs_response([add(owner, frame, spec) for spec in specs])
        return self._delete(sums.parse_sum_delete_note_request(count, data))

    def _read(self, group: int, count: int, data: bytes) -> bytes:
        items = sums.parse_sum_read_request(count, data)
        if sums.sum_read_length(items) > MAX_DATA:
            raise ProtocolError(f"a sum read asks for more than {MAX_DATA} bytes")
        results = [_result(self._services.read_index(*item)) for item in items]
        if group == Group.SUM_READ:
            return sums.sum_read_response(results, items)
        if group == Group.SUM_READ_EX:  # values of the lengths asked for, as in 0xF080
            results = [
                (code, value.ljust(item[2], b"\0"))
                for (code, value), item in zip(results, items, strict=True)
            ]
        return sums.sized_response(results)

    def _delete(self, handles: tuple[int, ...]) -> bytes:
        invalid = ErrorCode.NOTIFICATION_HANDLE_INVALID
        delete = self._services.notes.delete
        return sums.codes_response([0 if delete(handle) else invalid for handle in handles])


def _result(outcome: bytes | int) -> tuple[int, bytes]:
    return (0, outcome) if isinstance(outcome, bytes) else (outcome, b"")
