"""What hangs below a TwinCAT I/O server: its EtherCAT devices and their terminals.

Few requests whatever the number of terminals: four to the I/O server, three to each EtherCAT master,
all masters at once. What does not answer has its fault in its place and spoils nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import trio

from flowbus import Lost, Rejected
from flowbus_ads import faults, iofacts
from flowbus_ads.errors import AdsError, Refusal, understood
from flowbus_ads.iofacts import Look, NotTold
from flowbus_ads.protocol import commands, iotree
from flowbus_ads.protocol.address import ams_address, format_net_id, parse_net_id
from flowbus_ads.protocol.constants import Command
from flowbus_ads.protocol.errors import ProtocolError
from flowbus_ads.protocol.iotree import Identity, Question
from flowbus_ads.target import Target

Key = int | str
"""A device by its id or name, a terminal by its address or name."""

_SHOWN: Final = 20
"""Names that an error lists at most."""


class IoServer:
    """The I/O server of a PLC, asked over the link of ``near``, a target of the same PLC."""

    def __init__(self, near: Target, port: int = iotree.IO_PORT) -> None:
        self._near = near
        self._server = _beside(near, near.address[:6], port)

    async def tree(self) -> dict[str, Any]:
        """Return the whole hierarchy: ``server`` and ``devices``. Raises AdsError, Lost."""
        rest = await self._server.request(Command.READ_DEVICE_INFO, b"", "I/O server")
        with understood("I/O server"):
            info = commands.parse_device_info(rest)
        heads = await self.devices()
        server = iofacts.server(info, format_net_id(self._server.address), len(heads))
        return {"server": server, "devices": await self._below(heads)}

    async def part(self, device: Key | None, terminal: Key | None) -> dict[str, Any]:
        """Return one device with its terminals, or one terminal with the id of its ``device``.

        Raises Rejected where there is none of that name or several terminals have it, Lost.
        """
        heads = await self.devices()
        where = "the I/O devices have"
        if device is not None:
            heads = [one_of(device, heads, "id", "the I/O server has no device")]
            where = f"device {heads[0]['id']} has"
        if terminal is None:
            return (await self._below(heads))[0]
        address = terminal if isinstance(terminal, int) else None
        devices = await self._below(heads, address)
        found = [
            {**one, "device": above["id"]}
            for above in devices
            for one in above["terminals"]
            if _is(terminal, one, "address")
        ]
        if len(found) > 1:
            ids = ", ".join(sorted({str(one["device"]) for one in found}))
            raise Rejected(f"{where} several terminals {terminal!r} (in device {ids}): name the device, or the address")
        if found:
            return found[0]
        _raise_fault(devices)
        if address is not None:
            raise Rejected(f"{where} no terminal at address {address}")
        there = [one for above in devices for one in above["terminals"]]
        return one_of(terminal, there, "address", f"{where} no terminal")

    async def devices(self) -> list[dict[str, Any]]:
        """Return id, name, type and NetId of each device. Raises AdsError, Lost."""
        (count,) = _sure(await ask(self._server, [iotree.device_count()]))
        if not count:
            return []
        (ids,) = _sure(await ask(self._server, [iotree.device_ids(count)]))
        questions = [
            question(number)
            for number in ids
            for question in (iotree.device_name, iotree.device_type, iotree.device_net_id)
        ]
        answers = await ask(self._server, questions)
        return [iofacts.head(number, *answers[3 * at : 3 * at + 3]) for at, number in enumerate(ids)]

    def master(self, device: Mapping[str, Any]) -> Master:
        """Return the EtherCAT master of a device for which ``is_master`` holds."""
        return Master(_beside(self._near, parse_net_id(device["net_id"]), iotree.MASTER_PORT))

    async def _below(
        self, heads: Sequence[dict[str, Any]], address: int | None = None
    ) -> list[dict[str, Any]]:
        """Return the devices with what their masters tell, all asked at once."""
        devices: list[dict[str, Any]] = [{}] * len(heads)

        async def fill(at: int) -> None:
            devices[at] = await self.master(heads[at]).tree(heads[at], address)

        async with trio.open_nursery() as nursery:
            for at, head in enumerate(heads):
                if iofacts.is_master(head):
                    nursery.start_soon(fill, at)
                else:
                    devices[at] = {**head, "terminals": []}
        return devices


class Master:
    """One EtherCAT master."""

    def __init__(self, target: Target) -> None:
        self._target = target

    async def tree(self, head: Mapping[str, Any], address: int | None = None) -> dict[str, Any]:
        """Return a device with its terminals, or with the one at ``address`` alone. Raises Lost."""
        look = await self.look(identity=True)
        device = _joined(head, iofacts.master(look))
        if isinstance(look, NotTold):
            return {**device, "terminals": []}
        places = [at for at, number in enumerate(look.addresses) if address in (None, number)]
        answers = await self._about([_questions(at, look.addresses[at]) for at in places])
        terminals = [
            iofacts.terminal(look, at, found) for at, found in zip(places, answers, strict=True)
        ]
        return {**device, "terminals": terminals}

    async def look(self, *, identity: bool = False) -> Look | NotTold:
        """Return what the master tells, or the reason why it does not. Raises Lost with the connection."""
        try:
            return await self._look(identity=identity)
        except Rejected as error:
            return error
        except Lost as error:
            self._target.link.check()
            return error

    async def crc(self, addresses: Sequence[int]) -> list[Any]:
        """Return the CRC errors by port of each terminal, or a NotTold."""
        found = await self._about([{"crc": iotree.slave_crc(address)} for address in addresses])
        return [one["crc"] for one in found]

    async def names(self, addresses: Sequence[int]) -> list[Any]:
        """Return the name of each terminal, or a NotTold; the list is the whole of the master's."""
        questions = [{"name": iotree.slave_name(*place)} for place in enumerate(addresses)]
        return [one["name"] for one in await self._about(questions)]

    async def _look(self, *, identity: bool) -> Look:
        questions = [iotree.slave_count(), iotree.master_state(), iotree.frame_counters()]
        asked = [*questions, *(iotree.master_identity() if identity else ())]
        count, state, frames, *numbers = await ask(self._target, asked)
        _sure([count])
        refused = next((number for number in numbers if isinstance(number, NotTold)), None)
        who = refused or (Identity(*numbers) if numbers else None)
        if not count:
            return Look([], state, frames, who, [], [])
        lists = [iotree.slave_addresses(count), iotree.slave_states(count), iotree.crc_sums(count)]
        addresses, states, sums = await ask(self._target, lists)
        _sure([addresses])
        return Look(addresses, state, frames, who, states, sums)

    async def _about(self, asked: Sequence[Mapping[str, Question]]) -> list[dict[str, Any]]:
        """Ask several questions about each of several terminals, in as few requests as can be.

        A terminal that the master waits for in vain keeps a whole sum request from being answered:
        then every question is asked by itself, all at once, and only what is silent is left out.
        """
        try:
            answers = iter(await ask(self._target, [q for one in asked for q in one.values()]))
        except Lost as error:
            self._raise_unless_late(error)
            return await self._one_by_one(asked)
        return [{name: next(answers) for name in one} for one in asked]

    async def _one_by_one(self, asked: Sequence[Mapping[str, Question]]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = [dict.fromkeys(one) for one in asked]

        async def fill(into: dict[str, Any], name: str, question: Question) -> None:
            # A target of its own: what two of them ask in one tick is not joined to a sum again.
            alone = _beside(self._target, self._target.address[:6], iotree.MASTER_PORT)
            try:
                (into[name],) = await ask(alone, [question])
            except Lost as error:
                self._raise_unless_late(error)
                into[name] = error

        async with trio.open_nursery() as nursery:
            for into, one in zip(found, asked, strict=True):
                for name, question in one.items():
                    nursery.start_soon(fill, into, name, question)
        return found

    def _raise_unless_late(self, error: Lost) -> None:
        self._target.link.check()
        if error.fault is not faults.TIMEOUT:
            raise error


async def ask(target: Target, questions: Sequence[Question]) -> list[Any]:
    """Return the answer to each question, or a Rejected in its place. Raises Lost."""
    answers = await target.read_many([question.item for question in questions])
    return [_understood(*pair) for pair in zip(questions, answers, strict=True)]


def one_of(key: Key, parts: Sequence[dict[str, Any]], number: str, text: str) -> dict[str, Any]:
    """Return the part of that ``number`` or name. Raises Rejected with ``text`` and those that exist."""
    for part in parts:
        if _is(key, part, number):
            return part
    names = [f"{part[number]} ({part['name']})" for part in parts[:_SHOWN]]
    more = ", ..." if len(parts) > _SHOWN else ""
    raise Rejected(f"{text} {key!r}; there {'is' if len(parts) == 1 else 'are'} {', '.join(names) or 'none'}{more}")


def _questions(place: int, address: int) -> dict[str, Question]:
    return {
        "type": iotree.slave_type(place, address), "name": iotree.slave_name(place, address),
        "identity": iotree.slave_identity(address), "crc": iotree.slave_crc(address),
    }  # fmt: skip


def _understood(question: Question, answer: bytes | Refusal) -> Any:
    if isinstance(answer, Refusal):
        return AdsError(answer, question.what)
    try:
        return question.parse(answer)
    except ProtocolError as error:
        return Rejected(faults.BAD_ANSWER, f"{question.what}: {error}")


def _sure(answers: list[Any]) -> list[Any]:
    """Return answers without which there is nothing to tell. Raises what stands in their place."""
    for answer in answers:
        if isinstance(answer, NotTold):
            raise answer
    return answers


def _beside(near: Target, net_id: bytes, port: int) -> Target:
    return Target(near.link, ams_address(net_id, port), near.source, near.timeout)


def _joined(head: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Join two objects and their ``faults``."""
    named = {**head.get("faults", {}), **more.get("faults", {})}
    return {**head, **more, **({"faults": named} if named else {})}


def _is(key: Key, part: Mapping[str, Any], number: str) -> bool:
    return bool(key == part[number if isinstance(key, int) else "name"])


def _raise_fault(devices: Sequence[Mapping[str, Any]]) -> None:
    """Raise the fault of a device that tells no terminals: the one that is asked for may be there."""
    for device in devices:
        if "fault" in device:
            fault = device["fault"]
            raise Rejected(f"device {device['id']} does not tell its terminals: {fault['text']} ({fault['code']})")
