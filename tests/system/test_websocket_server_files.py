"""Files that a websocket-server sends: in pieces, past slow clients, and never from elsewhere."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
import trio
from websockets.sync.client import connect as connect_sync

from flowbus import Message, Outcome
from flowbus.receipt import End
from flowbus.testing import Flow
from tests.system import peers
from tests.system.test_backpressure import resident
from tests.system.websocket_peers import connected, details, in_thread, raw_client, serving

pytestmark = pytest.mark.system


async def send(flow: Flow, name: Any, **headers: Any) -> End:
    return await flow.put("in", Message(None, headers={"file": name, **headers}))


async def met(flow: Flow) -> str:
    name: str = (await flow.get("events")).payload["connection"]
    return name


@pytest.mark.parametrize("size", [0, 1, 65536, 65537, 500_000])
@pytest.mark.parametrize("compression", [None, "deflate"])
async def test_a_file_arrives_as_one_message(
    tmp_path: Path, size: int, compression: str | None
) -> None:
    data = os.urandom(size)
    (tmp_path / "data.bin").write_bytes(data)
    async with (
        serving(files=str(tmp_path)) as (flow, port),
        connected(port, compression=compression) as peer,
    ):
        await met(flow)
        assert (await send(flow, "data.bin")).outcome is Outcome.CONFIRMED
        assert await peer.recv() == data


async def test_a_file_as_text_is_cut_between_characters(tmp_path: Path) -> None:
    text = "äöü€🙂" * 30_000
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "text.txt").write_text(text, encoding="utf-8")
    (tmp_path / "latin.txt").write_bytes("ä".encode("latin-1") * 10)
    headers = {"file": "sub/text.txt", "content_type": "text"}
    async with (
        serving(files=str(tmp_path), max_send_frame=1001) as (flow, port),
        connected(port) as peer,
    ):
        await met(flow)
        flow.put_soon("in", Message(None, headers=headers))
        assert await peer.recv() == text
        end = await send(flow, "latin.txt", content_type="text")
        assert (end.outcome, end.code) == (Outcome.REJECTED, "ws.bad_payload")
        await flow.put("in", Message("goes on"))
        assert await peer.recv() == "goes on"


async def test_text_that_breaks_off_takes_the_connection_down(tmp_path: Path) -> None:
    (tmp_path / "half.txt").write_bytes(b"x" * 200_000 + b"\xff")
    async with serving(files=str(tmp_path)) as (flow, port), connected(port) as peer:
        await met(flow)
        end = await send(flow, "half.txt", content_type="text")
        assert (end.outcome, end.code) == (Outcome.REJECTED, "ws.bad_payload")
        # Half a file must not look like a whole one.
        assert await peer.closed() == (1011, "a file broke off")


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("none.bin", "ws.file_unreadable"),
        ("../outside.bin", "ws.file_refused"),
        ("sub/../../outside.bin", "ws.file_refused"),
        ("{outside}", "ws.file_refused"),
        ("link.bin", "ws.file_refused"),
        ("sub", "ws.file_refused"),
        ("pipe", "ws.file_refused"),
        ("", "ws.file_refused"),
        ("a\0b", "ws.file_refused"),
        (7, "ws.file_refused"),
        ("x" * 5000, "ws.file_unreadable"),
    ],
)
async def test_files_that_are_not_sent(tmp_path: Path, name: Any, code: str) -> None:
    folder, outside = tmp_path / "files", tmp_path / "outside.bin"
    (folder / "sub").mkdir(parents=True)
    outside.write_bytes(b"secret")
    (folder / "link.bin").symlink_to(outside)
    os.mkfifo(folder / "pipe")
    if name == "{outside}":
        name = str(outside)
    async with serving(files=str(folder)) as (flow, port), connected(port) as peer:
        await met(flow)
        end = await send(flow, name)
        assert (end.outcome, end.code) == (Outcome.REJECTED, code)
        await flow.put("in", Message("nothing before this"))
        assert await peer.recv() == "nothing before this"


async def test_without_the_option_and_in_a_wrong_kind(tmp_path: Path) -> None:
    async with serving() as (flow, port), connected(port):
        await met(flow)
        assert (await send(flow, "x")).code == "ws.file_refused"
    (tmp_path / "x").write_bytes(b"x")
    async with serving(files=str(tmp_path)) as (flow, port):
        assert (await send(flow, "x")).outcome is Outcome.DROPPED, "nobody is connected"
        async with connected(port):
            await met(flow)
            assert (await send(flow, "x", content_type="ping")).code == "ws.bad_payload"
            assert (await send(flow, "x", compress="yes")).code == "ws.bad_payload"
            assert (await send(flow, "x", connection="nobody")).code == "ws.unknown_connection"


async def test_order_is_kept_around_files(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a" * 300_000)
    (tmp_path / "b").write_bytes(b"b" * 300_000)
    async with serving(files=str(tmp_path)) as (flow, port), connected(port) as peer:
        await met(flow)
        for message in (
            Message("1"),
            Message(None, headers={"file": "a"}),
            Message("2"),
            Message("?", headers={"content_type": "ping"}),
            Message(None, headers={"file": "b"}),
            Message("3"),
        ):
            flow.put_soon("in", message)
        got = [await peer.recv() for _ in range(5)]
        assert got == ["1", b"a" * 300_000, "2", b"b" * 300_000, "3"]
        await flow.wait_settled()
        assert flow.report()["ledger"]["sources"]["in"]["confirmed"] == 6


async def test_between_the_fragments_of_the_flow_there_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    async with serving(files=str(tmp_path)) as (flow, port), connected(port) as peer:
        await met(flow)
        await flow.put("in", Message("be", headers={"final": False}))
        assert (await send(flow, "a")).code == "ws.out_of_order"
        await flow.put("in", Message("gun", headers={"final": True}))
        assert await peer.recv() == "begun"
        assert (await send(flow, "a")).outcome is Outcome.CONFIRMED
        assert await peer.recv() == b"a"


async def test_a_slow_client_delays_no_other_and_an_interrupt_ends_its_file(tmp_path: Path) -> None:
    data = os.urandom(1 << 16) * 320  # 20 MB, more than the system takes for a client
    (tmp_path / "big").write_bytes(data)
    async with serving(files=str(tmp_path), keepalive=False) as (flow, port):
        slow = await raw_client(port)
        slow_name = await met(flow)
        async with connected(port, max_size=None) as quick, trio.open_nursery() as nursery:
            quick_name = await met(flow)
            ends: list[End] = []

            async def send_to(name: Any) -> None:
                ends.append(await send(flow, "big", connection=name))

            nursery.start_soon(send_to, [slow_name, quick_name])
            assert await quick.recv() == data
            nursery.start_soon(send_to, slow_name)
            nursery.start_soon(flow.put, "in", Message("waits", headers={"connection": slow_name}))
            while (
                details(flow)["connections"][0]["files"] < 2
                or not details(flow)["connections"][0]["queued"]
            ):
                await trio.sleep(0.01)
            assert not ends
            for _ in range(2):
                end = await flow.put(
                    "in", Message(None, headers={"command": "interrupt", "connection": slow_name})
                )
                assert end.outcome is Outcome.CONFIRMED
                while details(flow)["connections"][0]["files"] > 1 and len(ends) < 1:
                    await trio.sleep(0.01)
            got = bytearray()
            while not got.endswith(b"waits"):
                got += await slow.receive_some()
            await slow.aclose()
        # The first one was taken by the other client as a whole; the second by nobody.
        outcomes = {end.outcome: end.code for end in ends}
        assert outcomes == {Outcome.CONFIRMED: "", Outcome.REJECTED: "ws.interrupted"}
        assert len(got) < 2 * len(data)


async def test_who_leaves_in_the_middle_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(os.urandom(1 << 16) * 320)
    async with serving(files=str(tmp_path)) as (flow, port):
        stream = await raw_client(port)
        await met(flow)
        async with trio.open_nursery() as nursery:
            ends: list[End] = []

            async def send_it() -> None:
                ends.append(await send(flow, "big"))

            nursery.start_soon(send_it)
            nursery.start_soon(send_it)
            await stream.receive_some(1000)
            await stream.aclose()
        assert [(end.outcome, end.code) for end in ends] == [
            (Outcome.REJECTED, "ws.connection_lost")
        ] * 2
        assert (await flow.get("events")).payload["event"] == "disconnected"


async def test_200_mb_with_bounded_memory(tmp_path: Path) -> None:
    block = os.urandom(1 << 20)
    digest = hashlib.sha256()
    with (tmp_path / "huge").open("wb") as file:
        for _ in range(200):
            file.write(block)
            digest.update(block)
    port = peers.free_port()
    server = {"type": "websocket-server", "port": port, "files": ".", "keepalive": False}
    flow = {
        "flowbus": 1,
        "name": "huge",
        "nodes": {
            "ws": {**server, "compression": False},
            "file": {
                "type": "map",
                "payload": "null",
                "headers": {"file": "payload", "content_type": "'binary'"},
            },
        },
        "wires": [["ws", "file"], ["file", "ws"]],
    }
    (tmp_path / "flow.json").write_text(json.dumps(flow))
    runner = peers.flowbus(tmp_path / "flow.json", tmp_path / "state", port)

    def fetch() -> tuple[str, int, int]:
        got, most, first = hashlib.sha256(), 0, resident(runner.pid)
        options: dict[str, Any] = {"compression": None, "max_size": None}
        with connect_sync(f"ws://127.0.0.1:{port}", **options) as peer:
            peer.send("huge")
            for number, piece in enumerate(peer.recv_streaming()):
                got.update(piece if isinstance(piece, bytes) else piece.encode())
                if number % 100 == 0:
                    most = max(most, resident(runner.pid))
        return got.hexdigest(), first, most

    with trio.fail_after(60), peers.ended(runner):
        await runner.start()
        got, first, most = await in_thread(fetch)
    assert got == digest.hexdigest()
    assert most - first < 16_000, "kB"
