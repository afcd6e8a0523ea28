"""One I/O node of a flow: what the supervisor runs, start after start."""

from __future__ import annotations

from collections.abc import Callable

import trio

from flowbus.config import Config
from flowbus.faults import NODE_ENDED
from flowbus.inbox import Inbox
from flowbus.node import NodeType
from flowbus.nodeio import NodeIO, Seat
from flowbus.supervisor import Kind, asked_to_stop, in_own_task, judge

SHORTEST = 0.1  # s; a pause that is cut short


class IoNode:
    """Runs the function of a node type with a fresh configuration at every start."""

    def __init__(
        self, seat: Seat, node_type: NodeType, decode: Callable[[], Config], inbox: Inbox
    ) -> None:
        self.seat = seat
        self.type = node_type
        self.io: NodeIO | None = None
        self._decode = decode
        self._inbox = inbox

    async def pause(self, seconds: float) -> None:
        """Wait to be started again; a message that the node is to be woken for cuts that short."""
        wakes = None if self.io is None else self.io.wakes
        if wakes is None or seconds <= SHORTEST:
            await trio.sleep(seconds)
            return
        # A node that does not take what it is woken for must not be started over and over.
        await trio.sleep(SHORTEST)
        with trio.move_on_after(seconds - SHORTEST):
            await self.seat.custody.wait_first(wakes)

    async def run_once(self) -> None:
        """Run the node until it returns, fails or its connection goes down; settle what it held."""
        custody = self.seat.custody
        config = self._decode()
        self.io = io = NodeIO(self.seat, config)
        try:
            with io.scope:
                await in_own_task(self.type.implementation, config, io)
        except BaseException as error:
            if asked_to_stop(error):
                raise
            down = io.lost_connection()
            verdict = judge(error)
            if down is None and verdict.kind in (Kind.BUG, Kind.REFUSED):
                custody.after_bug(verdict.fault, verdict.text)
            else:
                custody.after_loss()
            if down is not None:
                raise down.down() from error
            raise
        finally:
            io.leave()
        if io.scope.cancelled_caught:
            custody.after_loss()
            lost = io.lost_connection()
            assert lost is not None, "only a lost connection cancels a node's own scope"
            raise lost.down()
        text = f"{self.seat.name} has ended"
        custody.settle(NODE_ENDED, text)
        for wire in self._inbox.wires:
            wire.refuse(NODE_ENDED, text)
