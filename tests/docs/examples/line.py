"""A connection that nodes share, and a node that writes through it."""

from collections import deque
from collections.abc import AsyncIterator
from typing import Annotated

import trio
from msgspec import Meta

from flowbus import (
    Config,
    ConnectionIO,
    Fault,
    Lost,
    Message,
    NodeIO,
    Ref,
    Rejected,
    connection,
    io_node,
)

CLOSED = Fault(
    "line.closed", "device hung up",
    "The device closed the connection.", "Look at the device; flowbus dials again by itself.",
)  # fmt: skip
SILENT = Fault(
    "line.silent", "no answer in time",
    "The device did not answer a question in time.", "Check its load, or raise `timeout`.",
)  # fmt: skip
REFUSED = Fault(
    "line.refused", "value refused",
    "The device did not take the value.", "Read the text beside this code: it is the device's own.",
)  # fmt: skip


class LineConfig(Config):
    """A device that answers each line of text with a line of text."""

    host: Annotated[str, Meta(min_length=1, description="Name or address of the device.")]
    port: Annotated[int, Meta(ge=1, le=65535, description="TCP port of the device.")]
    timeout: Annotated[float, Meta(gt=0, description="Seconds to wait for an answer.")] = 2.0


class Answer:
    """The place for one answer."""

    def __init__(self) -> None:
        self.text = ""
        self.came = trio.Event()


class Line:
    """Questions and answers over one stream; answers come in the order of the questions."""

    def __init__(self, stream: trio.SocketStream, timeout: float) -> None:
        self._stream = stream
        self._timeout = timeout
        self._asked: deque[Answer] = deque()
        self._sending = trio.Lock()

    async def ask(self, question: str) -> str:
        """Return the device's answer. Raises Lost where none comes in time."""
        answer = Answer()
        async with self._sending:
            self._asked.append(answer)
            await self._stream.send_all(f"{question}\n".encode())
        with trio.move_on_after(self._timeout):
            await answer.came.wait()
            return answer.text
        raise Lost(SILENT)

    async def read(self) -> None:
        """Give each answer to who asked. Raises Lost when the device hangs up."""
        rest = b""
        async for chunk in self._stream:
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines[: len(self._asked)]:
                answer = self._asked.popleft()
                answer.text = line.decode(errors="replace")
                answer.came.set()
        raise Lost(CLOSED)


@connection("line")
async def line(config: LineConfig, io: ConnectionIO) -> AsyncIterator[Line]:
    """A device that answers each line of text with a line of text."""
    async with await trio.open_tcp_stream(config.host, config.port) as stream:
        device = Line(stream, config.timeout)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(device.read)
            yield device
            nursery.cancel_scope.cancel()


class LineSet(Config):
    """Set a value of the device."""

    connection: Annotated[Ref["line"], Meta(description="The device.")]
    name: Annotated[str, Meta(pattern=r"^\w+$", description="Which value to set.")]


@io_node("line-set", outlets=(), ttl=10.0)
async def line_set(config: LineSet, io: NodeIO) -> None:
    """Set a value of the device; a message is confirmed by the device's answer."""
    device: Line = await io.connection()

    async def write(message: Message) -> None:
        if isinstance(message.payload, bool) or not isinstance(message.payload, int | float):
            raise Rejected(f"{message.payload!r} is not a number")
        with io.once(message):
            answer = await device.ask(f"SET {config.name} {message.payload}")
        if answer != "OK":
            raise Rejected(REFUSED, answer)

    await io.each(write)
