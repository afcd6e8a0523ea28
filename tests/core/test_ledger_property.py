"""Random flows of every kind of node: nothing is ever in flight that is nowhere, or nowhere counted."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import trio
import trio.testing
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from flowbus import Config, Lost, Message, NodeIO, Rejected, io_node, transform
from flowbus.receipt import HandledReceipt, JoinedReceipt, Receipt
from flowbus.supervisor import RestartPolicy
from flowbus.testing import Flow, run_flow


class Chance(Config):
    """How often something happens, and the seed of the choice."""

    seed: int = 0
    percent: int = 20


class Count(Config):
    count: int = 20
    seed: int = 0


def chances(config: Chance) -> random.Random:
    return random.Random(config.seed)


@transform("p-filter")
class Filter:
    def __init__(self, config: Chance) -> None:
        self.random, self.percent = chances(config), config.percent

    def __call__(self, message: Message) -> Message | None:
        return None if self.random.randrange(100) < self.percent else message


@transform("p-split")
class Split:
    def __init__(self, config: Chance) -> None:
        self.random = chances(config)

    def __call__(self, message: Message) -> list[Message]:
        return [message.with_payload(n) for n in range(self.random.randrange(4))]


@transform("p-fail")
class Fail:
    def __init__(self, config: Chance) -> None:
        self.random, self.percent = chances(config), config.percent

    def __call__(self, message: Message) -> Any:
        dice = self.random.randrange(100)
        if dice < self.percent:
            raise Rejected("bad luck")
        if dice < self.percent + 5:
            raise ZeroDivisionError("a bug")
        if dice < self.percent + 10:
            return 42
        return {"out": message}


@transform("p-route", outlets=("even", "odd"))
def route(message: Message, config: Config) -> dict[str, Message]:
    return {"even" if message.id % 2 == 0 else "odd": message}


route.config_type = Chance  # any config does


@io_node("p-source")
async def source(config: Count, io: NodeIO) -> None:
    for number in range(config.count):
        await io.send(Message(number))


@io_node("p-crash")
async def crash(config: Chance, io: NodeIO) -> None:
    """Handles messages, several at once; loses its peer or has a bug now and then."""
    luck = random.Random(config.seed + int(trio.current_time() * 1000))

    async def handle(message: Message) -> Message:
        await trio.sleep(luck.random() * 0.01)
        dice = luck.randrange(100)
        if dice < config.percent:
            raise Lost("the network")
        if dice < config.percent + 2:
            raise KeyError("a bug")
        return message

    await io.each(handle, limit=3)


@io_node("p-batch")
async def batch(config: Chance, io: NodeIO) -> None:
    """Joins up to three messages into one."""
    while True:
        held = await io.take_many(3)
        await io.send(Message([d.message.payload for d in held]), ends=held)


@io_node("p-forgetful", outlets=())
async def forgetful(config: Chance, io: NodeIO) -> None:
    """Takes messages and forgets some of them."""
    luck = chances(config)
    while True:
        delivery = await io.take()
        if luck.randrange(100) >= config.percent:
            delivery.confirm()
        del delivery


@io_node("p-sink", outlets=())
async def sink(config: Chance, io: NodeIO) -> None:
    luck = chances(config)

    async def handle(message: Message) -> None:
        if luck.randrange(100) < config.percent:
            await trio.sleep(0.05)
        if luck.randrange(100) < 10:
            raise Rejected("the sink does not want it")

    await io.each(handle)


QUICK = RestartPolicy(first_delay=0.02, max_delay=0.2, failed_pause=5)
TYPES = [Filter, Split, Fail, route, source, crash, batch, forgetful, sink]


@st.composite
def flows(draw: st.DrawFn) -> dict[str, Any]:
    """A layered graph: sources, two to four layers of middle nodes, sinks, an error branch."""
    nodes: dict[str, Any] = {}
    wires: list[Any] = []
    seed = st.integers(0, 1000)
    for number in range(draw(st.integers(1, 3))):
        nodes[f"source{number}"] = {"type": "p-source", "count": draw(st.integers(0, 40))}
    layer = list(nodes)
    for depth in range(draw(st.integers(1, 4))):
        upstream, layer = layer, []
        for number in range(draw(st.integers(1, 3))):
            name = f"n{depth}-{number}"
            kind = draw(
                st.sampled_from(
                    ["p-filter", "p-split", "p-fail", "p-route", "p-crash", "p-batch", "p-fail"]
                )
            )
            nodes[name] = {"type": kind, "seed": draw(seed)}
            if draw(st.integers(0, 5)) == 0:
                nodes[name]["ttl"] = 0.02
            layer.append(name)
            for sender in draw(st.lists(st.sampled_from(upstream), min_size=1, unique=True)):
                wires.append(_wire(draw, sender, name, nodes))
    for number in range(draw(st.integers(1, 2))):
        name = f"sink{number}"
        nodes[name] = {"type": draw(st.sampled_from(["p-sink", "p-forgetful"])), "seed": draw(seed)}
        for sender in draw(st.lists(st.sampled_from(layer), min_size=1, unique=True)):
            wires.append(_wire(draw, sender, name, nodes))
    if draw(st.booleans()):
        nodes["alarm"] = {"type": "p-fail", "seed": draw(seed)}
        nodes["alarm-sink"] = {"type": "p-sink", "seed": draw(seed)}
        wires += [["*.error", "alarm"], ["alarm", "alarm-sink"]]
    return {"nodes": nodes, "wires": [list(w) if isinstance(w, tuple) else w for w in wires]}


def _wire(draw: st.DrawFn, sender: str, name: str, nodes: dict[str, Any]) -> dict[str, Any]:
    outlet = draw(st.sampled_from(["even", "odd"])) if nodes[sender]["type"] == "p-route" else "out"
    wire: dict[str, Any] = {"from": f"{sender}.{outlet}", "to": name}
    if draw(st.integers(0, 3)) == 0:
        wire["capacity"] = draw(st.integers(1, 4))
        wire["when_full"] = draw(st.sampled_from(["wait", "drop-oldest", "drop-newest", "reject"]))
    return wire


def receipts_that_are_somewhere(flow: Flow) -> Counter[int]:
    """Open branches per root receipt, found on the wires and in the nodes' hands."""
    parts = flow.runtime.parts
    found: list[Receipt] = [receipt for wire in parts.queues for _, receipt in wire.waiting()]
    for node in parts.io_nodes.values():
        found += [d._receipt for d in node.seat.custody.held if d._receipt is not None]
    roots: Counter[int] = Counter()
    seen: dict[int, Receipt] = {}
    derived: dict[int, Receipt] = {}
    for receipt in found:
        if isinstance(receipt, JoinedReceipt | HandledReceipt):
            derived[id(receipt)] = receipt
        else:
            roots[id(receipt)] += 1
            seen[id(receipt)] = receipt
    while derived:  # an open derived receipt holds one branch of each of its parents
        _, receipt = derived.popitem()
        parents = receipt.parents if isinstance(receipt, JoinedReceipt) else (receipt.parent,)
        for parent in parents:
            if isinstance(parent, JoinedReceipt | HandledReceipt):
                derived[id(parent)] = parent
            elif parent is not None:
                roots[id(parent)] += 1
                seen[id(parent)] = parent
    return roots


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.reuse, Phase.generate])
@given(flows())
def test_the_sum_holds_at_every_quiet_point(value: dict[str, Any]) -> None:
    trio.run(_run, value, clock=trio.testing.MockClock(autojump_threshold=0))


async def _run(value: dict[str, Any]) -> None:
    pause = 0.01
    with trio.fail_after(3000):
        async with run_flow(value, TYPES, policy=QUICK, drain=1000) as flow:
            ledger = flow.runtime.parts.ledger
            while flow.exit is None:
                await trio.sleep(pause)
                pause *= 1.2  # virtual time: close looks first, then patience
                assert pause < 600, flow.report()
                await trio.testing.wait_all_tasks_blocked()
                assert ledger.in_flight >= len(receipts_that_are_somewhere(flow))
            report = flow.report()
    totals = report["ledger"]
    assert totals["in_flight"] == 0
    ends = ("confirmed", "rejected", "expired", "dropped")
    assert totals["emitted"] == sum(totals[end] for end in ends)
    asked = sum(node.get("count", 0) for node in value["nodes"].values())
    assert totals["emitted"] == asked
    assert all(wire["depth"] == 0 for wire in report["wires"])


