"""Requests to one AMS address over a link: bytes in, bytes out, refusals as values where they are many."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import trio

from flowbus import Lost
from flowbus_ads import faults
from flowbus_ads.errors import AdsError, Refusal, understood
from flowbus_ads.link import AmsLink, Nobody
from flowbus_ads.protocol import commands, sums
from flowbus_ads.protocol.constants import UNSUPPORTED, Command, Group
from flowbus_ads.reads import Answer, ReadBatcher, is_same


class Target:
    """An AMS address (NetId and port) and the own address that requests to it carry."""

    def __init__(self, link: AmsLink, address: bytes, source: bytes, timeout: float) -> None:
        self.link, self.address, self.source, self.timeout = link, address, source, timeout
        self._batcher = ReadBatcher(link, address, source, timeout)
        self.read_many = self._batcher.read
        self._refused: set[Group] = set()
        link.expect(timeout)

    @property
    def has_sums(self) -> bool:
        """False once the target has refused a sum command as such. Writes are single then, whichever it was."""
        return self._batcher.has_sums and not self._refused

    async def request(self, command: Command, data: bytes, where: str) -> bytes:
        """Send a request and return the data behind its result.

        Raises AdsError when it is refused, Lost when no answer comes or it is not understood.
        """
        try:
            answer = await self.link.request(self.address, self.source, command, data, self.timeout)
        except AdsError as error:
            raise AdsError(Refusal(error.number, error.layer), where) from None
        with understood(where):
            result, rest = commands.split_result(answer)
        if result:
            raise AdsError(Refusal(result), where)
        return rest

    async def read(self, group: int, offset: int, length: int) -> bytes:
        """Read up to ``length`` bytes; reads of one tick share a request."""
        (answer,) = await self.read_many([(group, offset, length)])
        if isinstance(answer, Refusal):
            raise AdsError(answer, f"read 0x{group:X}:{offset}")
        return answer

    async def write(self, group: int, offset: int, value: bytes, where: str) -> None:
        """Write ``value``, once."""
        await self.request(Command.WRITE, commands.write_request(group, offset, value), where)

    async def read_write(
        self, group: int, offset: int, length: int, value: bytes, where: str
    ) -> bytes:
        """Write ``value`` and read up to ``length`` bytes in one request."""
        data = commands.read_write_request(group, offset, length, value)
        rest = await self.request(Command.READ_WRITE, data, where)
        with understood(where):
            size = commands.parse_u32(rest, "length")
        if len(rest) < 4 + size:
            raise Lost(faults.BAD_ANSWER, f"{where}: {size} bytes announced, {len(rest) - 4} came")
        return rest[4 : 4 + size]

    async def read_write_many(self, items: Sequence[sums.ReadWriteItem]) -> list[Answer]:
        """Do many ReadWrites in one sum request, or one by one where the target lacks them.

        Only for what may be done twice, as asking for a name.
        """
        done: list[Answer] = []
        if len(items) > 1 and Group.SUM_READ_WRITE not in self._refused:
            try:
                return await self._sum_read_write(items)
            except AdsError as error:
                if error.number not in UNSUPPORTED:
                    done = [await self._one_read_write(items[0])]
                    if is_same(done[0], error):
                        raise
                self._refused.add(Group.SUM_READ_WRITE)
        return done + [await self._one_read_write(item) for item in items[len(done) :]]

    async def write_many(self, items: Sequence[sums.WriteItem]) -> list[Refusal | None]:
        """Write many values in one sum request and return each refusal, None where it is done.

        A request whose outcome is not known is never repeated; single writes are used only where
        the target has refused sum commands as such, so that nothing was written.
        """
        if self.has_sums and len(items) > 1:
            try:
                return await self._sum_write(items)
            except AdsError as error:
                if error.number not in UNSUPPORTED:
                    raise
                self._refused.add(Group.SUM_WRITE)
        return [await self._one_write(item) for item in items]

    async def add_notes(self, specs: Sequence[commands.NoteSpec]) -> list[tuple[int, int]]:
        """Ask for notifications; (result, handle) for each."""
        done: list[tuple[int, int]] = []
        if len(specs) > 1 and Group.SUM_ADD_NOTIFICATION not in self._refused:
            try:
                data = sums.sum_add_note_request(specs)
                answer = await self._sum(
                    Group.SUM_ADD_NOTIFICATION, len(specs), 8 * len(specs), data
                )
            except AdsError as error:
                if error.number not in UNSUPPORTED:
                    done = [await self._one_note(specs[0])]
                    if done[0][0] == error.number:
                        raise
                self._refused.add(Group.SUM_ADD_NOTIFICATION)
            else:
                with understood("sum add notification"):
                    return sums.parse_pairs_response(answer, len(specs))
        return done + [await self._one_note(spec) for spec in specs[len(done) :]]

    async def delete_notes(self, handles: Sequence[int]) -> None:
        """Stop notifications; handles that the target no longer knows do not matter."""
        if len(handles) > 1 and Group.SUM_ADD_NOTIFICATION not in self._refused:
            try:
                data = sums.sum_delete_note_request(handles)
                await self._sum(Group.SUM_DELETE_NOTIFICATION, len(handles), 4 * len(handles), data)
            except AdsError as error:
                if error.number not in UNSUPPORTED:
                    raise
                self._refused.add(Group.SUM_ADD_NOTIFICATION)
            else:
                return
        for handle in handles:
            try:
                data = handle.to_bytes(4, "little")
                await self.request(Command.DELETE_NOTIFICATION, data, "delete notification")
            except AdsError:
                continue

    def release_handles(self, handles: Sequence[int]) -> None:
        """Tell the target that handles of names are not needed; does not wait for its answer."""
        self._post_all(self._releases(handles))

    async def end_handles(self, handles: Sequence[int]) -> None:
        """Tell the target that handles of names are not needed, and wait until it has taken that in."""
        if not handles:
            return
        *others, last = self._releases(handles)
        self._post_all(others)
        with suppress(Lost, AdsError):  # the device is gone, and its handles with it
            await self.link.request(self.address, self.source, *last, self.timeout)

    def _releases(self, handles: Sequence[int]) -> list[tuple[Command, bytes]]:
        items = [(int(Group.SYM_RELEASE_HANDLE), 0, h.to_bytes(4, "little")) for h in handles]
        if not self.has_sums or len(items) == 1:
            return [(Command.WRITE, commands.write_request(*item)) for item in items]
        return [
            (
                Command.READ_WRITE,
                commands.read_write_request(
                    Group.SUM_WRITE, len(part), 4 * len(part), sums.sum_write_request(part)
                ),
            )
            for part in sums.chunks(items, lambda item: len(item[2]))
        ]

    def _post_all(self, requests: Sequence[tuple[Command, bytes]]) -> None:
        patience = Nobody(trio.current_time() + self.timeout)
        with suppress(Lost):  # the device is gone, and its handles with it
            for command, data in requests:
                self.link.post(self.address, self.source, command, data, patience)

    async def _sum(self, group: Group, count: int, length: int, data: bytes) -> bytes:
        return await self.read_write(group, count, length, data, group.name.lower())

    async def _sum_read_write(self, items: Sequence[sums.ReadWriteItem]) -> list[Answer]:
        answer = await self._sum(
            Group.SUM_READ_WRITE, len(items),
            sums.sum_read_write_length(items), sums.sum_read_write_request(items),
        )  # fmt: skip
        with understood("sum read-write"):
            results = sums.parse_sized_response(answer, len(items))
        return [Refusal(number) if number else value for number, value in results]

    async def _sum_write(self, items: Sequence[sums.WriteItem]) -> list[Refusal | None]:
        answer = await self._sum(
            Group.SUM_WRITE, len(items), 4 * len(items), sums.sum_write_request(items)
        )
        with understood("sum write"):
            numbers = sums.parse_codes_response(answer, len(items))
        return [Refusal(number) if number else None for number in numbers]

    async def _one_read_write(self, item: sums.ReadWriteItem) -> Answer:
        try:
            group, offset, length, value = item
            where = f"read-write 0x{group:X}:{offset}"
            return await self.read_write(group, offset, length, value, where)
        except AdsError as error:
            return Refusal(error.number, error.layer)

    async def _one_write(self, item: sums.WriteItem) -> Refusal | None:
        try:
            group, offset, value = item
            await self.write(group, offset, value, f"write 0x{group:X}:{offset}")
        except AdsError as error:
            return Refusal(error.number, error.layer)
        return None

    async def _one_note(self, spec: commands.NoteSpec) -> tuple[int, int]:
        try:
            data = commands.add_note_request(spec)
            rest = await self.request(Command.ADD_NOTIFICATION, data, "add notification")
        except AdsError as error:
            return error.number, 0
        with understood("add notification"):
            return 0, commands.parse_u32(rest, "notification handle")
