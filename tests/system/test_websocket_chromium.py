"""websocket-server and a page in Chromium, the client that most servers are for."""

from __future__ import annotations

import contextlib
import functools
import http.server
import json
import os
import shutil
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from flowbus import Message, Outcome
from tests.system.websocket_peers import details, serving

pytestmark = pytest.mark.system

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)

# It opens a WebSocket, says what it has agreed on, echoes everything, and tells of the end on another.
PAGE = """<!doctype html><script>
const [url, protocols] = JSON.parse(decodeURIComponent(location.search.slice(1)));
function tell(what) {
  const other = new WebSocket(url, "teller");
  other.onopen = () => other.send(JSON.stringify(what));
}
const socket = new WebSocket(url, protocols);
socket.binaryType = "arraybuffer";
socket.onopen = () => socket.send(JSON.stringify(
  {protocol: socket.protocol, extensions: socket.extensions, origin: location.origin}));
socket.onmessage = ({data}) => data === "leave" ? socket.close(4001, "bye") : socket.send(data);
socket.onclose = ({code, reason, wasClean}) => tell({code, reason, wasClean});
</script>"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves the page, and says nothing about it."""

    def log_message(self, *_: object) -> None: ...


@contextlib.contextmanager
def page_server(folder: Path) -> Iterator[str]:
    """Serve the page; yields its origin."""
    (folder / "page.html").write_text(PAGE)
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, name="page")
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@asynccontextmanager
async def browsing(folder: Path, url: str, *protocols: str) -> AsyncIterator[str]:
    """Have Chromium show the page, which connects to ``url``; yields the page's origin."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed (apt-get install chromium)")
    flags = ["--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
    if os.geteuid() == 0:
        flags.append("--no-sandbox")
    with page_server(folder) as origin:
        query = json.dumps([url, protocols]).replace('"', "%22")
        browser = subprocess.Popen(
            [CHROMIUM, *flags, f"--user-data-dir={folder / 'profile'}", f"{origin}/page.html?{query}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            yield origin
        finally:
            browser.kill()
            browser.wait(10)


ACCEPT = {
    "subprotocols": ["b", "teller"],
    "require_subprotocol": True,
    "origins": ["http://127.0.0.1:*"],
}


async def test_a_page_exchanges_messages_and_leaves(tmp_path: Path) -> None:
    async with (
        serving(accept=ACCEPT) as (flow, port),
        browsing(tmp_path, f"ws://127.0.0.1:{port}/live", "a", "b") as origin,
    ):
        said = await flow.get("out")
        told = json.loads(said.payload)
        assert told["protocol"] == "b"
        assert told["extensions"].startswith("permessage-deflate")
        event = (await flow.get("events")).payload
        assert (event["origin"], event["subprotocol"]) == (origin, "b") == (told["origin"], "b")
        payloads: list[Any] = [
            "äöü€🙂",
            b"\x00\xff",
            "",
            b"",
            "x" * 300_000,
            os.urandom(300_000),
        ]
        for payload in payloads:
            end = await flow.put("in", Message(payload, headers=said.headers | kind(payload)))
            assert end.outcome is Outcome.CONFIRMED
            echo = await flow.get("out")
            assert (echo.payload, echo.headers) == (payload, {**said.headers, **kind(payload)})
        (client,) = details(flow)["connections"]
        assert client["headers"]["user-agent"].count("Chrom")
        await flow.put("in", Message("leave", headers=said.headers))
        # The page tells of the end as soon as it has it, which may be before the server is done.
        events = [(await flow.get("events")).payload for _ in range(2)]
        (left,) = [event for event in events if event["event"] == "disconnected"]
        assert (left["code"], left["reason"]) == (4001, "bye")
        assert json.loads((await flow.get("out")).payload)["wasClean"] is True


def kind(payload: str | bytes) -> dict[str, str]:
    return {"content_type": "text" if isinstance(payload, str) else "binary"}


async def test_a_page_is_told_code_and_reason_and_answers_pings(tmp_path: Path) -> None:
    async with (
        serving(accept=ACCEPT) as (flow, port),
        browsing(tmp_path, f"ws://127.0.0.1:{port}", "b"),
    ):
        name = (await flow.get("out")).headers["connection"]
        assert (await flow.get("events")).payload["connection"] == name
        headers = {"connection": name}
        ping = Message({"payload": "?"}, headers={**headers, "command": "ping"})
        assert (await flow.put("in", ping)).outcome is Outcome.CONFIRMED
        assert (await flow.get("events")).payload["event"] == "pong"
        close = Message({"code": 4321, "reason": "go, ä"}, headers={**headers, "command": "close"})
        assert (await flow.put("in", close)).outcome is Outcome.CONFIRMED
        end = json.loads((await flow.get("out")).payload)
        assert end == {"code": 4321, "reason": "go, ä", "wasClean": True}


async def test_a_page_of_another_origin_is_refused(tmp_path: Path) -> None:
    accept = {**ACCEPT, "origins": ["https://panel.example"]}
    async with (
        serving(accept=accept) as (flow, port),
        browsing(tmp_path, f"ws://127.0.0.1:{port}", "b"),
    ):
        while details(flow)["refused"] < 2:  # the second one is to tell of the first
            await trio.sleep(0.02)
        assert details(flow)["refused_by"] == {"ws.origin_refused": 2}
        assert not flow.got("events")
