"""What a node has taken is let go of once it has ended."""

from __future__ import annotations

import trio

from flowbus import Config, Message, NodeIO, Outcome, io_node
from flowbus.custody import MANY
from flowbus.testing import run_flow


class Nothing(Config):
    """No options."""


@io_node("keeps-the-first", outlets=())
async def keeps_the_first(config: Nothing, io: NodeIO) -> None:
    """Leave the first message open until it is told to end, confirm all others."""
    first = await io.take()
    while True:
        for delivery in await io.take_many():
            delivery.confirm()
            if delivery.message.payload == "end":
                first.confirm()


async def test_one_open_message_does_not_keep_those_that_have_ended_behind_it() -> None:
    value = {
        "nodes": {"in": {"type": "test-source"}, "keep": {"type": "keeps-the-first"}},
        "wires": [["in", "keep"]],
    }
    with trio.fail_after(20):
        async with run_flow(value, [keeps_the_first]) as flow:
            custody = flow.runtime.parts.io_nodes["keep"].seat.custody
            for number in range(5 * MANY):
                flow.put_soon("in", Message(number))
            assert (await flow.put("in", Message("last"))).outcome is Outcome.CONFIRMED
            assert len(custody.held) == 1
            assert len(custody._held) <= 2 * MANY
            await flow.put("in", Message("end"))
            assert not custody.held
