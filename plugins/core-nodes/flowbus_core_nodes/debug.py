"""Print what comes, for a person to look at."""

from __future__ import annotations

from typing import Annotated, Literal

import trio
from msgspec import Meta

from flowbus import Config, Delivery, NodeIO, io_node
from flowbus_core_nodes.faults import OUTPUT
from flowbus_core_nodes.output import Budget, line, write


class Debug(Config):
    """Print every message on a line of its own. Nothing is masked: secrets in messages show."""

    to: Annotated[Literal["stderr", "stdout"], Meta(description="Where the lines go.")] = "stderr"
    show: Annotated[
        Literal["payload", "message"],
        Meta(
            description="Print topic and payload, or the whole message with id, time and headers."
        ),
    ] = "payload"
    limit: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(
            description="The most lines a second; what is above is counted and the count is printed. "
            "null: no limit.",
        ),
    ] = 100
    max_chars: Annotated[
        int,
        Meta(ge=20, le=1_000_000, description="A longer line is cut after this many characters."),
    ] = 2000
    active: Annotated[bool, Meta(description="false: take messages and print nothing.")] = True


@io_node("debug", outlets=())
async def debug(config: Debug, io: NodeIO) -> None:
    """Print every message on a line of its own. Nothing is masked: secrets in messages show.

    Messages are confirmed, also those above the limit and those that cannot be printed.
    """
    await Printer(config, io).run()


class Printer:
    """Prints a backlog in one go, in a thread: the reader of a pipe may have stopped reading."""

    def __init__(self, config: Debug, io: NodeIO) -> None:
        self._config = config
        self._io = io
        self._budget = Budget(config.limit if config.active else 0)
        self._thread = trio.CapacityLimiter(1)
        self._broken = False
        io.details(lambda: {"suppressed": self._budget.suppressed} if config.active else {})

    async def run(self) -> None:
        """Print for ever."""
        while True:
            deliveries = await self._take()
            lines = self._lines(deliveries)
            if lines:
                await self._write(lines)
            for delivery in deliveries:
                delivery.confirm()

    async def _take(self) -> list[Delivery]:
        """Return the backlog, or nothing when it is time to tell what was suppressed."""
        if not (self._config.active and self._budget.untold):
            return await self._io.take_many()
        with trio.CancelScope(deadline=self._budget.ends):
            return await self._io.take_many()
        return []

    def _lines(self, deliveries: list[Delivery]) -> list[str]:
        if not self._config.active:
            return []
        name, config = self._io.name, self._config
        untold, granted = self._budget.grant(len(deliveries), trio.current_time())
        lines = (
            [f"{name}: {untold} more not shown, the limit is {config.limit} a second"]
            if untold
            else []
        )
        whole = config.show == "message"
        lines += [line(name, d.message, whole, config.max_chars) for d in deliveries[:granted]]
        return lines

    async def _write(self, lines: list[str]) -> None:
        text = "\n".join(lines) + "\n"
        try:
            await trio.to_thread.run_sync(
                write, self._config.to, text,
                abandon_on_cancel=True, limiter=self._thread, thread_name=f"{self._io.name} output",
            )  # fmt: skip
        except (OSError, ValueError) as error:  # ValueError: the stream has been closed
            self._broken = True
            self._io.degraded(OUTPUT, f"{self._config.to}: {error}")
            return
        if self._broken:
            self._broken = False
            self._io.connected()
