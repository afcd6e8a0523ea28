"""Which node gets a received message, and when the broker is told its end."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from flowbus_mqtt.incoming import FULL_COUNT, PATIENCE, Incoming
from flowbus_mqtt.protocol.packets import Publish


class FakeClient:
    def __init__(self) -> None:
        self.acks: list[tuple[int, int]] = []

    def acknowledge(self, publish: Publish, reason: int = 0) -> None:
        self.acks.append((publish.packet_id, reason))


@pytest.fixture
def client() -> FakeClient:
    return FakeClient()


@pytest.fixture
def unwanted() -> list[Publish]:
    return []


@pytest.fixture
def incoming(client: FakeClient, unwanted: list[Publish]) -> Incoming:
    return Incoming(client, unwanted.append)  # type: ignore[arg-type]


async def test_a_message_is_acknowledged_at_its_end_and_once(incoming: Incoming, client: FakeClient) -> None:
    subscription = incoming.join(["a/#"])
    incoming.receive(Publish("a/b", b"", 1, 7))
    (publish,) = await subscription.take()
    assert client.acks == []
    assert incoming.unended == 1
    subscription.end(publish)
    subscription.end(publish)
    assert client.acks == [(7, 0)]
    assert incoming.unended == 0


async def test_of_two_nodes_the_last_one_ends_it_and_the_worst_reason_counts(incoming: Incoming, client: FakeClient) -> None:
    first, second = incoming.join(["a"]), incoming.join(["+"])
    incoming.receive(Publish("a", b"", 1, 7))
    first.end((await first.take())[0], 0x80)
    assert client.acks == []
    second.end((await second.take())[0], 0)
    assert client.acks == [(7, 0x80)]


async def test_messages_end_in_any_order(incoming: Incoming, client: FakeClient) -> None:
    subscription = incoming.join(["a"])
    for packet_id in (1, 2, 3):
        incoming.receive(Publish("a", b"", 1, packet_id))
    one, two, three = await subscription.take()
    subscription.end(three)
    subscription.end(two)
    assert client.acks == [(3, 0), (2, 0)]
    assert one.packet_id == 1


async def test_a_copy_of_a_message_in_the_flow_is_ignored(incoming: Incoming, client: FakeClient) -> None:
    subscription = incoming.join(["a"])
    incoming.receive(Publish("a", b"", 1, 7))
    incoming.receive(Publish("a", b"", 1, 7, dup=True))
    assert len(await subscription.take()) == 1


async def test_a_shared_subscription_takes_the_topics_of_its_filter(incoming: Incoming) -> None:
    subscription = incoming.join(["$share/group/a/+"])
    incoming.receive(Publish("a/b", b"x"))
    assert (await subscription.take())[0].payload == b"x"


async def test_a_message_waits_for_the_node_that_subscribes_to_it(incoming: Incoming, client: FakeClient, unwanted: list[Publish]) -> None:
    incoming.join(["other"])
    incoming.receive(Publish("a", b"", 1, 7))
    subscription = incoming.join(["a"])
    subscription.end((await subscription.take())[0])
    assert client.acks == [(7, 0)]
    assert unwanted == []


async def test_a_message_that_nobody_comes_for_is_acknowledged_and_reported(
    incoming: Incoming, client: FakeClient, unwanted: list[Publish], autojump_clock: Any
) -> None:
    incoming.receive(Publish("a", b"", 1, 7))
    incoming.tick(trio.current_time())
    assert client.acks == []
    await trio.sleep(PATIENCE + 1)
    incoming.tick(trio.current_time())
    assert client.acks == [(7, 0)]
    assert [publish.topic for publish in unwanted] == ["a"]


async def test_what_is_left_over_does_not_hold_up_what_is_wanted(
    incoming: Incoming, client: FakeClient, unwanted: list[Publish], autojump_clock: Any
) -> None:
    incoming.join(["wanted"])
    incoming.receive(Publish("left/over", b""))
    await trio.sleep(PATIENCE + 1)
    for number in range(2 * FULL_COUNT):
        incoming.receive(Publish("left/over", b"", 1, number + 1))
    assert len(client.acks) == 2 * FULL_COUNT
    assert not incoming.is_full()
    incoming.tick(trio.current_time())
    assert len(unwanted) == 2 * FULL_COUNT + 1


async def test_what_a_node_left_behind_waits_for_it(incoming: Incoming, client: FakeClient) -> None:
    subscription = incoming.join(["a"])
    incoming.receive(Publish("a", b"left", 1, 7))
    subscription.close()
    assert client.acks == []
    again = incoming.join(["a"])
    assert [publish.payload for publish in await again.take()] == [b"left"]


async def test_what_a_node_left_behind_still_ends_by_the_other(incoming: Incoming, client: FakeClient) -> None:
    leaver, stayer = incoming.join(["a"]), incoming.join(["a"])
    incoming.receive(Publish("a", b"", 1, 7))
    leaver.close()
    stayer.end((await stayer.take())[0])
    assert client.acks == [(7, 0)]


async def test_it_is_full_until_the_nodes_have_taken(incoming: Incoming) -> None:
    subscription = incoming.join(["a"])
    for _ in range(FULL_COUNT):
        assert not incoming.is_full()
        incoming.receive(Publish("a", b""))
    assert incoming.is_full()
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(incoming.wait_room)
            await trio.testing.wait_all_tasks_blocked()
            assert len(await subscription.take()) == FULL_COUNT
    assert not incoming.is_full()


async def test_large_messages_fill_it_by_their_bytes(incoming: Incoming) -> None:
    incoming.join(["a"])
    incoming.receive(Publish("a", b"x" * 300_000))
    assert incoming.is_full()
