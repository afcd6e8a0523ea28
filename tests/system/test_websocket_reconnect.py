"""What a websocket-client does when its server goes: it comes back, with fresh tokens and all messages."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import trio
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from flowbus import Message, Outcome, State
from flowbus.testing import run_flow
from tests.system.peers import Process, ended, free_port
from tests.system.websocket_servers import flow_of

pytestmark = pytest.mark.system

SERVER = Path(__file__).with_name("recording_server.py")


class Recorder(Process):
    """The recording server; it can be killed and started again."""

    def __init__(self, folder: Path, token: Path | None = None, key: Path | None = None) -> None:
        self.record = folder / "record.txt"
        self.record.touch()
        port = free_port()
        arguments = [port, self.record, token or "-", *([key] if key else [])]
        super().__init__([sys.executable, str(SERVER), *map(str, arguments)], port)

    def lines(self) -> list[str]:
        return self.record.read_text().splitlines()

    async def wait_last(self, start: str) -> None:
        """Return once the last line begins so."""
        while not self.lines()[-1:] or not self.lines()[-1].startswith(start):
            await trio.sleep(0.05)

    async def wait_lines(self, count: int) -> None:
        while len(self.lines()) < count:
            await trio.sleep(0.02)


async def test_a_token_that_changed_is_sent_at_the_next_attempt(tmp_path: Path) -> None:
    token = tmp_path / "token"
    wanted = tmp_path / "wanted"
    token.write_text("first-token\n")
    wanted.write_text("first-token")
    server = Recorder(tmp_path, token=wanted)
    options = {"headers": {"Authorization": f"Bearer ${{file:{token}}}"}}
    with ended(server), trio.fail_after(30):
        await server.start()
        async with run_flow(flow_of(server.port, **options)) as flow:
            await flow.wait_running("ws")
            server.kill()
            await flow.wait_state("ws", State.WAITING)
            wanted.write_text("second-token")
            await server.start()
            status = await flow.wait_code("ws", "ws.authentication_refused")
            assert "401" in status.text
            token.write_text("second-token\n")
            await flow.wait_running("ws")
            assert (await flow.put("in", Message("in"))).outcome is Outcome.CONFIRMED
            await server.wait_lines(1)
            report = await flow.stop()
    assert "token" not in str(report["nodes"]["ws"]["text"])


async def test_every_attempt_has_a_fresh_jwt(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    private, public = tmp_path / "private.pem", tmp_path / "public.pem"
    form = serialization.PrivateFormat.PKCS8
    pem = serialization.Encoding.PEM
    private.write_bytes(key.private_bytes(pem, form, serialization.NoEncryption()))
    public.write_bytes(
        key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    server = Recorder(tmp_path, key=public)
    jwt: dict[str, Any] = {
        "algorithm": "ES256", "key": str(private), "audience": "cloud", "token_id": True, "lifetime": 30,
    }  # fmt: skip
    with ended(server), trio.fail_after(30):
        await server.start()
        async with run_flow(flow_of(server.port, bearer_jwt=jwt)) as flow:
            for number in range(3):  # the server lets no token in twice
                await flow.wait_running("ws")
                flow.put_soon("in", Message("hang up"))
                while flow.report()["nodes"]["ws"]["restarts"] == number:
                    await trio.sleep(0.01)
            await flow.wait_running("ws")
            assert flow.report()["nodes"]["ws"]["restarts"] == 3
            own = Message(None, headers={"command": "connect", "token": "stale"})
            end = await flow.put("in", own)
            assert (end.outcome, end.code) == (Outcome.REJECTED, "ws.authentication_refused")
            back = Message(None, headers={"command": "connect", "token": None})
            assert (await flow.put("in", back)).outcome is Outcome.CONFIRMED
            await flow.stop()


async def test_a_key_that_is_gone_is_a_fault_until_it_is_back(tmp_path: Path) -> None:
    key = tmp_path / "secret"
    server = Recorder(tmp_path)
    key.write_text('{"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"}')
    text = key.read_text()
    jwt = {"algorithm": "HS256", "key": str(key)}
    with ended(server), trio.fail_after(30):
        await server.start()
        async with run_flow(flow_of(server.port, bearer_jwt=jwt)) as flow:
            await flow.wait_running("ws")
            key.unlink()
            flow.put_soon("in", Message("hang up"))
            status = await flow.wait_code("ws", "jwt.key_not_found")
            assert status.state is State.WAITING
            key.write_text(text)
            await flow.wait_running("ws")


async def test_what_was_not_sent_is_sent_after_the_reconnect(tmp_path: Path) -> None:
    server = Recorder(tmp_path)
    with ended(server), trio.fail_after(60):
        await server.start()
        async with run_flow(flow_of(server.port)) as flow:
            await flow.wait_running("ws")
            for number in range(500):
                flow.put_soon("in", Message(f"{number}"))
            await server.wait_lines(1)
            await flow.wait_settled()
            await server.wait_lines(500)
            server.kill()
            await flow.wait_state("ws", State.WAITING)
            for number in range(500, 1000):
                flow.put_soon("in", Message(f"{number}"))
            await flow.wait_code("ws", "ws.connection_refused")
            await server.start()
            await server.wait_lines(1000)
            report = await flow.stop()
    assert server.lines() == [f"{number}" for number in range(1000)]
    assert report["ledger"]["confirmed"] == 1000


async def test_what_has_expired_is_not_sent(tmp_path: Path) -> None:
    server = Recorder(tmp_path)
    options = flow_of(server.port)
    options["wires"] = [{"from": "in", "to": "ws", "ttl": 0.3}, ["ws", "out"]]
    with ended(server), trio.fail_after(30):
        await server.start()
        async with run_flow(options) as flow:
            await flow.wait_running("ws")
            assert (await flow.put("in", Message("before"))).outcome is Outcome.CONFIRMED
            await server.wait_lines(1)
            server.kill()
            await flow.wait_state("ws", State.WAITING)
            assert (await flow.put("in", Message("old"))).outcome is Outcome.EXPIRED
            await server.start()
            await flow.wait_running("ws")
            assert (await flow.put("in", Message("after"))).outcome is Outcome.CONFIRMED
            await server.wait_lines(2)
            await flow.stop()
    assert server.lines() == ["before", "after"]


async def test_a_server_that_stops_to_read_holds_messages_back_and_loses_none(
    tmp_path: Path,
) -> None:
    server = Recorder(tmp_path)
    payload = "x" * 10_000
    with ended(server), trio.fail_after(60):
        await server.start()
        async with run_flow(flow_of(server.port, keepalive=False)) as flow:
            await flow.wait_running("ws")
            server.signal(signal.SIGSTOP)
            for number in range(2000):
                flow.put_soon("in", Message(f"{number} {payload}"))
            while flow.report()["wires"][0]["depth"] < 128:
                await trio.sleep(0.01)
            assert flow.report()["ledger"]["in_flight"] > 128
            server.signal(signal.SIGCONT)
            await server.wait_lines(2000)
            await flow.stop()
    assert server.lines() == [f"{number} {payload}" for number in range(2000)]


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
async def test_no_message_is_missing_though_the_server_is_killed_while_they_flow(
    end: signal.Signals, tmp_path: Path
) -> None:
    server = Recorder(tmp_path)
    with ended(server), trio.fail_after(60):
        await server.start()
        async with run_flow(flow_of(server.port, confirm="answered")) as flow:
            await flow.wait_running("ws")
            for number in range(10_000):
                flow.put_soon("in", Message(f"{number}"))
            await server.wait_lines(1000)
            server.signal(end)
            server.kill()
            cut = len(server.lines())
            assert cut < 10_000
            await server.start()
            await flow.wait_settled()
            report = await flow.stop()
    lines = [int(line) for line in server.lines()]
    before, after = lines[:cut], lines[cut:]
    assert before == [*range(cut)]
    assert after == [*range(after[0], 10_000)]
    assert after[0] <= cut  # some twice, none missing
    assert report["ledger"]["confirmed"] == 10_000


async def test_answered_messages_are_settled_when_a_command_closes(tmp_path: Path) -> None:
    server = Recorder(tmp_path)
    with ended(server), trio.fail_after(30):
        await server.start()
        async with run_flow(flow_of(server.port, confirm="answered")) as flow:
            await flow.wait_running("ws")
            for number in range(1000):
                flow.put_soon("in", Message(f"{number}"))
            flow.put_soon("in", Message(None, headers={"command": "close"}))
            await flow.wait_settled()
            report = await flow.stop()
    assert server.lines() == [f"{number}" for number in range(1000)]
    assert report["ledger"]["confirmed"] == 1001


async def test_what_is_confirmed_when_sent_is_missing_at_the_cut_alone(tmp_path: Path) -> None:
    server = Recorder(tmp_path)
    with ended(server), trio.fail_after(60):
        await server.start()
        async with run_flow(flow_of(server.port)) as flow:
            await flow.wait_running("ws")
            for number in range(20_000):
                flow.put_soon("in", Message(f"{number} {'x' * 1000}"))
            await server.wait_lines(1000)
            server.kill()
            cut = len(server.lines())
            await server.start()
            await flow.wait_settled()
            await server.wait_last("19999 ")
            report = await flow.stop()
    numbers = [int(line.split()[0]) for line in server.lines()]
    assert numbers[:cut] == [*range(cut)]
    after = numbers[cut:]
    assert after == [*range(after[0], 20_000)]
    assert report["ledger"]["confirmed"] == 20_000
