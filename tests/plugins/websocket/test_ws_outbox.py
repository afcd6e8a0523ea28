"""What is to be sent and has not been: its order, its size, and who is told what."""

from __future__ import annotations

import pytest
import trio
from flowbus_websocket.outbox import SEND_CHUNK, Outbox

from flowbus import Fault

GONE = Fault("ws.gone", "", "", "")


class Told:
    """Keeps what it was told, in a list that several share."""

    def __init__(self, name: str, ends: list[str]) -> None:
        self.name = name
        self.ends = ends

    def confirm(self) -> None:
        self.ends.append(f"{self.name} sent")

    def reject(self, reason: Fault, text: str) -> None:
        self.ends.append(f"{self.name} {reason.code} {text}")


def filled(*frames: bytes) -> tuple[Outbox, list[str]]:
    outbox, ends = Outbox(), []
    for number, data in enumerate(frames):
        outbox.add(data, Told(str(number), ends))
    return outbox, ends


def test_those_whose_frames_have_left_are_told_in_their_order() -> None:
    outbox, ends = filled(b"a", b"bc")
    assert (len(outbox), outbox.size) == (2, 3)
    assert outbox.begin_batch() == [b"a", b"bc"]
    outbox.add(b"d", Told("2", ends))
    outbox.end_batch(sent=True)
    assert ends == ["0 sent", "1 sent"]
    assert (len(outbox), outbox.size) == (1, 1)


def test_a_batch_is_a_chunk_and_never_nothing() -> None:
    half = bytes(SEND_CHUNK // 2)
    outbox, _ = filled(half, half, b"x")
    assert outbox.begin_batch() == [half, half]
    outbox.end_batch(sent=True)
    assert outbox.begin_batch() == [b"x"]
    large, _ = filled(bytes(2 * SEND_CHUNK), b"x")
    assert len(large.begin_batch()) == 1


@pytest.mark.parametrize("leaving", [False, True])
def test_what_is_being_sent_is_not_rejected(leaving: bool) -> None:
    outbox, ends = filled(b"a", b"b")
    if leaving:
        outbox.begin_batch()
    outbox.add(b"c", Told("2", ends))
    outbox.reject(GONE, "why")
    assert ends == (["2 ws.gone why"] if leaving else [f"{n} ws.gone why" for n in range(3)])
    assert outbox.size == (2 if leaving else 0)
    outbox.end_batch(sent=False)
    outbox.reject(GONE, "why")
    assert outbox.size == len(outbox) == 0


async def test_who_waits_for_room_is_woken() -> None:
    outbox, _ = filled(b"aaa", b"bb")
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(outbox.wait_size, 2)
            nursery.start_soon(outbox.wait_size, 0)
            await trio.testing.wait_all_tasks_blocked()
            outbox.begin_batch()
            outbox.end_batch(sent=True)
        await outbox.wait_size(0)
