"""How to test a plugin: run a flow inside the test and talk to it."""

import trio

from flowbus import Message, Outcome
from flowbus.testing import run_flow

FLOW = {
    "nodes": {
        "in": {"type": "test-source"},
        "fahrenheit": {"type": "scale", "factor": 1.8, "offset": 32},
        "out": {"type": "test-sink"},
    },
    "wires": [["in", "fahrenheit"], ["fahrenheit", "out"]],
}


async def test_a_number_is_scaled() -> None:
    with trio.fail_after(10):
        async with run_flow(FLOW) as flow:
            end = await flow.put("in", Message(20))
            assert end.outcome is Outcome.CONFIRMED
            assert (await flow.get("out")).payload == 68.0


async def test_what_is_no_number_is_rejected() -> None:
    with trio.fail_after(10):
        async with run_flow(FLOW) as flow:
            end = await flow.put("in", Message("warm"))
            assert (end.outcome, end.text) == (Outcome.REJECTED, "'warm' is not a number")
