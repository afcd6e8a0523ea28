"""The Autobahn test suite against both nodes, compression on.

It takes over ten minutes for each; AUTOBAHN_EXCLUDE="9.*,12.*,13.*" leaves out what takes long. The
pages that it writes stay in the folder of the suite, under ``reports``.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import trio

from tests.system.autobahn.suite import FOLDER, HOW_TO, WSTEST, Findings, is_open, wstest
from tests.system.autobahn.walker import AGENT, walk
from tests.system.peers import ended, flowbus, free_port

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(not WSTEST.exists(), reason=HOW_TO),
]

HOUR = 3600


def echo_flow(port: int) -> dict[str, object]:
    """Return a flow that sends back what each client sends; the suite goes up to 16 MiB."""
    server = {
        "type": "websocket-server",
        "port": port,
        "max_receive_message": "64MB",
        "send_queue": "64MB",
        "slow_client": "wait",
        "compress_min": 1,
        "keepalive": False,
    }
    return {"flowbus": 1, "name": "echo", "nodes": {"ws": server}, "wires": [["ws", "ws"]]}


async def wait_for_exit(process: object) -> None:
    await trio.to_thread.run_sync(process.wait, abandon_on_cancel=True)  # type: ignore[attr-defined]


def check(findings: Findings) -> None:
    print(findings)
    assert findings.cases
    assert findings.bad == {}


async def test_the_server(tmp_path: Path) -> None:
    port = free_port()
    flow = tmp_path / "echo.json"
    flow.write_text(json.dumps(echo_flow(port)))
    server = flowbus(flow, tmp_path / "state", port)
    reports = FOLDER / "reports" / "server"
    spec = {"servers": [{"agent": AGENT, "url": f"ws://127.0.0.1:{port}"}]}
    with trio.fail_after(HOUR), ended(server):
        await server.start()
        with wstest("fuzzingclient", spec, reports) as suite:
            await wait_for_exit(suite)
    check(Findings(reports))


async def test_the_client() -> None:
    port = free_port()
    reports = FOLDER / "reports" / "client"
    with (
        trio.fail_after(HOUR),
        wstest("fuzzingserver", {"url": f"ws://127.0.0.1:{port}"}, reports, "-u", "0"),
    ):
        with trio.fail_after(30):
            while not is_open(port):
                await trio.sleep(0.1)
        assert await walk(port) > 0
    check(Findings(reports))
