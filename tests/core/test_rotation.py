"""References are resolved again at each start: a rotated secret needs no restart of the flow."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import trio

from flowbus import Config, Lost, NodeIO, Secret, State, io_node
from flowbus.supervisor import RestartPolicy
from flowbus.testing import run_flow


class Login(Config):
    """Log in with a token."""

    token: Secret


seen: list[str] = []
refused = trio.Event()


@io_node("login")
async def login(config: Login, io: NodeIO) -> None:
    seen.append(config.token.reveal())
    io.connected(f"logged in with {config.token.reveal()}")
    await refused.wait()
    raise Lost(f"the token {config.token.reveal()} has expired")


QUICK = RestartPolicy(first_delay=0.01, max_delay=0.01)


async def test_a_rotated_secret_is_read_and_never_shown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    global refused
    caplog.set_level(logging.DEBUG)
    seen.clear()
    refused = trio.Event()
    file = tmp_path / "token"
    file.write_text("first-token\n")
    value = {"nodes": {"x": {"type": "login", "token": f"${{file:{file}}}"}}, "wires": []}
    with trio.fail_after(10):
        async with run_flow(value, [login], policy=QUICK) as flow:
            await flow.wait_running("x")
            assert "first-token" not in str(flow.report())
            file.write_text("second-token\n")
            before, refused = refused, trio.Event()
            before.set()
            while len(seen) < 2:
                await trio.sleep(0.005)
            assert seen == ["first-token", "second-token"]
            assert "second-token" not in str(flow.report())
            assert "***" in flow.report()["nodes"]["x"]["text"]


async def test_a_secret_that_is_gone_fails_its_node_alone(tmp_path: Path) -> None:
    global refused
    refused = trio.Event()
    file = tmp_path / "token"
    file.write_text("first-token\n")
    value = {"nodes": {"x": {"type": "login", "token": f"${{file:{file}}}"}}, "wires": []}
    with trio.fail_after(10):
        async with run_flow(value, [login], policy=QUICK) as flow:
            await flow.wait_running("x")
            file.unlink()
            refused.set()
            status = await flow.wait_state("x", State.FAILED)
            assert status.code == "flowbus.config"
            assert "token" in status.text
