"""The control socket: answers, and clients that misbehave."""

from __future__ import annotations

import json
import logging
import socket
import stat
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from flowbus import control
from flowbus.control import ControlServer, NoAnswerError, ask

Stream = trio.abc.Stream


def server(**commands: Callable[[], Mapping[str, Any]]) -> ControlServer:
    return ControlServer({"status": lambda: {"status": {"nodes": 1}}, **commands})


@asynccontextmanager
async def client(of: ControlServer | None = None) -> AsyncIterator[Stream]:
    mine, theirs = trio.testing.memory_stream_pair()
    with trio.fail_after(200):
        async with trio.open_nursery() as nursery:
            nursery.start_soon((of or server()).talk, theirs)
            yield mine
            nursery.cancel_scope.cancel()


async def answers(stream: Stream, count: int = 1) -> list[dict[str, Any]]:
    data = b""
    while data.count(b"\n") < count:
        chunk = await stream.receive_some()
        assert chunk, f"closed after {data!r}"
        data += chunk
    return [json.loads(line) for line in data.splitlines()]


async def say(stream: Stream, data: bytes) -> dict[str, Any]:
    await stream.send_all(data)
    return (await answers(stream))[0]


async def test_a_command_is_answered_with_the_version() -> None:
    async with client() as stream:
        answer = await say(stream, b'{"command": "status"}\n')
    assert answer == {"version": 1, "ok": True, "status": {"nodes": 1}}


async def test_one_client_may_ask_many_times_also_at_once() -> None:
    async with client() as stream:
        await stream.send_all(b'{"command": "status"}\n\n{"command": "no"}\n{"comm')
        first = await answers(stream, 2)
        second = await say(stream, b'and": "status"}\n')
    assert [answer["ok"] for answer in (*first, second)] == [True, False, True]


async def test_an_unknown_command_is_named_with_what_is_near() -> None:
    async with client() as stream:
        answer = await say(stream, b'{"command": "statsu"}\n')
    assert not answer["ok"]
    assert answer["version"] == 1
    assert 'did you mean "status"' in answer["error"]


@pytest.mark.parametrize(
    "line", [b"\xff\xfe\n", b"GET / HTTP/1.1\r\n", b"[]\n", b"{}\n", b'{"command": 1}\n', b"null\n"]
)
async def test_garbage_gets_an_error_and_the_client_may_go_on(line: bytes) -> None:
    async with client() as stream:
        answer = await say(stream, line)
        assert not answer["ok"]
        assert answer["error"]
        assert (await say(stream, b'{"command": "status"}\n'))["ok"]


async def test_a_line_that_is_too_long_gets_an_error_and_the_end() -> None:
    async with client() as stream, trio.open_nursery() as nursery:
        nursery.start_soon(send_for_ever, stream)
        answer = (await answers(stream))[0]
        assert await stream.receive_some() == b""
        nursery.cancel_scope.cancel()
    assert f"longer than {control.MAX_LINE}" in answer["error"]


async def send_for_ever(stream: Stream) -> None:
    try:
        while True:
            await stream.send_all(b"x" * 1000)
    except trio.BrokenResourceError:
        await trio.sleep_forever()


async def test_a_client_that_half_closes_gets_its_answer(tmp_path: Path) -> None:
    async with (
        listening(server(), tmp_path / "s") as path,
        await trio.open_unix_socket(path) as peer,
    ):
        await peer.send_all(b'{"command": "status"}')
        await peer.send_eof()
        assert (await answers(peer))[0]["ok"]
        assert await peer.receive_some() == b""


async def test_an_idle_client_is_told_and_let_go(autojump_clock: trio.testing.MockClock) -> None:
    async with client() as stream:
        await stream.send_all(b'{"comm')
        answer = (await answers(stream))[0]
        assert await stream.receive_some() == b""
    assert "no request" in answer["error"]


async def test_a_client_that_does_not_read_is_let_go(
    autojump_clock: trio.testing.MockClock,
) -> None:
    mine, theirs = trio.testing.lockstep_stream_pair()
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server().talk, theirs)
            await mine.send_all(b'{"command": "status"}\n')
    assert trio.current_time() >= control.SLOW_READER


async def test_there_are_only_so_many_clients() -> None:
    of = server()
    async with trio.open_nursery() as nursery:
        for _ in range(control.MAX_CLIENTS):
            _, theirs = trio.testing.memory_stream_pair()
            nursery.start_soon(of.talk, theirs)
        await trio.testing.wait_all_tasks_blocked()
        async with client(of) as stream:
            answer = (await answers(stream))[0]
            assert await stream.receive_some() == b""
        nursery.cancel_scope.cancel()
    assert "clients already" in answer["error"]
    async with client(of) as stream:  # their places are free again
        assert (await say(stream, b'{"command": "status"}\n'))["ok"]


async def test_a_command_that_fails_costs_nothing_but_its_answer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken() -> dict[str, Any]:
        raise ZeroDivisionError("details of a node")

    async with client(server(broken=broken)) as stream:
        answer = await say(stream, b'{"command": "broken"}\n')
        assert "ZeroDivisionError: details of a node" in answer["error"]
        assert (await say(stream, b'{"command": "status"}\n'))["ok"]
    assert "ZeroDivisionError" in caplog.text


async def test_what_is_no_json_is_shown_as_it_can_be() -> None:
    shown = {"path": Path("/x"), "big": 1 << 80, "lone": "\ud800", (1, 2): "no key"}
    async with client(server(odd=lambda: {"odd": shown})) as stream:
        answer = await say(stream, b'{"command": "odd"}\n')
    assert answer["ok"]
    assert answer["odd"]["big"] == 1 << 80
    assert "/x" in answer["odd"]["path"]


async def test_a_flood_of_questions_is_answered_from_one_look() -> None:
    looks: list[int] = []

    def look() -> dict[str, Any]:
        looks.append(1)
        return {"looks": len(looks)}

    async with client(server(look=look)) as stream:
        await stream.send_all(b'{"command": "look"}\n' * 1000)
        got = await answers(stream, 1000)
    assert len(got) == 1000
    assert len(looks) < 500


@asynccontextmanager
async def listening(of: ControlServer, path: Path) -> AsyncIterator[str]:
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            await nursery.start(of.serve, path)
            yield str(path)
            nursery.cancel_scope.cancel()


async def test_the_socket_is_its_owner_s_only(tmp_path: Path) -> None:
    async with listening(server(), tmp_path / "s") as path:
        assert stat.S_IMODE(Path(path).stat().st_mode) == 0o600  # noqa: ASYNC240


async def in_thread(path: Path, command: str, timeout: float = 5.0) -> Any:
    return await trio.to_thread.run_sync(partial(ask, path, command, timeout))


async def test_ask_returns_the_answer(tmp_path: Path) -> None:
    big = {"text": "x" * 3_000_000}
    async with listening(server(big=lambda: big), tmp_path / "s"):
        assert (await in_thread(tmp_path / "s", "status"))["status"] == {"nodes": 1}
        assert len((await in_thread(tmp_path / "s", "big"))["text"]) == 3_000_000


async def test_ask_raises_what_the_server_says(tmp_path: Path) -> None:
    async with listening(server(), tmp_path / "s"):
        with pytest.raises(NoAnswerError, match="unknown command"):
            await in_thread(tmp_path / "s", "reload")


async def test_ask_hears_why_it_is_turned_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "MAX_CLIENTS", 0)
    async with listening(server(), tmp_path / "s"):
        with pytest.raises(NoAnswerError, match="clients already"):
            await in_thread(tmp_path / "s", "status")


def test_ask_says_that_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ask(tmp_path / "s", "status")
    with socket.socket(socket.AF_UNIX) as peer:
        peer.bind(str(tmp_path / "s"))
    with pytest.raises(ConnectionRefusedError):
        ask(tmp_path / "s", "status")


def test_ask_does_not_wait_for_ever(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as peer:
        peer.bind(str(tmp_path / "s"))
        peer.listen()
        with pytest.raises(NoAnswerError, match=r"within 0\.05 s"):
            ask(tmp_path / "s", "status", timeout=0.05)


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"hello\n", "no JSON"),
        (b"", "no JSON"),
        (b"[]\n", "another version"),
        (b'{"version": 2}\n', "another"),
    ],
)
def test_ask_does_not_take_anything_for_an_answer(tmp_path: Path, sent: bytes, said: str) -> None:
    async def main() -> None:
        async def talk(stream: trio.SocketStream) -> None:
            await stream.send_all(sent)
            await stream.aclose()

        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(tmp_path / "s"))
            listener.listen()
            peers = [trio.SocketListener(trio.socket.from_stdlib_socket(listener))]
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.serve_listeners, talk, peers)
                with trio.fail_after(10), pytest.raises(NoAnswerError, match=said):
                    await in_thread(tmp_path / "s", "status")
                nursery.cancel_scope.cancel()

    trio.run(main)


async def test_a_socket_that_cannot_be_opened_is_a_warning_no_more(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with trio.fail_after(5), caplog.at_level(logging.WARNING):
        await server().serve(tmp_path / "missing" / "s")
    assert "no control socket" in caplog.text
