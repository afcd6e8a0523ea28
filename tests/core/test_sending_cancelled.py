"""A source that is cancelled while it sends: what it had begun to send is the flow's, and counted."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from flowbus import Config, Message, NodeIO, State, io_node
from flowbus.testing import run_flow


class Sending(Config):
    many: bool = False
    warm: bool = False


@io_node("cancelled-sender")
async def cancelled_sender(config: Sending, io: NodeIO) -> None:
    """Send one message, with ``warm`` a second one, whose turn for others is due, under a cancelled scope."""
    if config.warm:
        await io.send(Message("before"))
    io._clock.pulse -= 10**9  # nobody else has had a turn for a second
    with trio.CancelScope() as scope:
        scope.cancel()
        if config.many:
            await io.send_many([Message(1), Message(2)])
        else:
            await io.send(Message(1))
    await trio.sleep_forever()


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("many", [False, True])
async def test_a_message_is_not_lost_to_a_cancellation_when_others_are_due(many: bool, warm: bool) -> None:
    nodes: dict[str, Any] = {
        "a": {"type": "cancelled-sender", "many": many, "warm": warm},
        "out": {"type": "test-sink"},
    }
    with trio.fail_after(5):
        async with run_flow({"nodes": nodes, "wires": [["a", "out"]]}, [cancelled_sender]) as flow:
            expected = [*(["before"] if warm else []), *([1, 2] if many else [1])]
            assert [(await flow.get("out")).payload for _ in expected] == expected
            await flow.wait_settled()
            assert flow.report()["ledger"]["emitted"] == len(expected)
            assert flow.status("a").state is State.RUNNING
