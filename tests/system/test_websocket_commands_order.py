"""Commands and messages in any order: every one ends, and the last word counts."""

from __future__ import annotations

import random

import pytest
import trio

from flowbus import Message, Outcome
from flowbus.testing import run_flow
from tests.system.peers import free_port
from tests.system.visitors import Visitors, command
from tests.system.websocket_servers import flow_of, serving

pytestmark = pytest.mark.system


@pytest.mark.parametrize("seed", range(4))
async def test_any_order_of_commands_and_messages_adds_up(seed: int) -> None:
    chance = random.Random(seed)
    first, second = Visitors(), Visitors()
    options = {"confirm": chance.choice(["sent", "answered"]), "close_timeout": 1}
    nobody = f"ws://127.0.0.1:{free_port()}"
    with trio.fail_after(60), serving(first.handle) as port, serving(second.handle) as other:
        there = f"ws://127.0.0.1:{other}"
        commands = [
            lambda: command("close", code=chance.choice([1000, 4000, 1005])),
            lambda: command("connect"),
            lambda: command("connect", url=chance.choice([None, there, nobody])),
            lambda: command("connect", token=chance.choice(["a", "b", None])),
            lambda: command("ping", deadline=5),
            lambda: command("nonsense"),
        ]
        value = flow_of(port, **options)
        value["nodes"]["control"] = {"type": "test-source"}  # a full wire has no room for commands
        value["wires"].append(["control", "ws"])
        async with run_flow(value) as flow:
            for _ in range(500):
                if chance.random() < 0.2:
                    flow.put_soon("control", chance.choice(commands)())
                elif chance.random() < 0.1:
                    part = Message("part", headers={"final": chance.random() < 0.5})
                    flow.put_soon("in", part)
                else:
                    flow.put_soon("in", Message("x" * chance.randrange(2000)))
                if chance.random() < 0.05:
                    await trio.sleep(0.01)
            back = command("connect", url=None)
            while (await flow.put("control", back)).outcome is not Outcome.CONFIRMED:
                pass
            await flow.wait_settled()
            await flow.put("in", Message("part", headers={"final": True}))
            assert (await flow.put("in", Message("the end"))).outcome is Outcome.CONFIRMED
            while (await flow.get("out")).payload != "the end":  # it comes back from the server
                pass
            report = await flow.stop()
    ledger, node = report["ledger"], report["nodes"]["ws"]
    assert ledger["in_flight"] == 0
    assert not {"flowbus.bug", "flowbus.leaked", "flowbus.poison"} & node["faults"].keys()
    assert "the end" in first.got
    assert "the end" not in second.got
