"""Chromium without a window, driven by its DevTools protocol, and the pages that it shows."""

from __future__ import annotations

import contextlib
import functools
import http.server
import itertools
import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import trio
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as connect_sync

from tests.system.jsvalues import from_js, script, to_js

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

# It asks nobody but 127.0.0.1, and a page that is left is gone: in the cache it would stay connected.
OPTIONS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-extensions", "--disable-features=BackForwardCache", "--remote-debugging-port=0",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]  # fmt: skip


class Browser:
    """A Chromium that runs; it asks for the answers of its DevTools protocol one by one."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._numbers = itertools.count(1)

    def ask(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        """Carry out ``method``, wait for its answer for at most 20 s."""
        number = next(self._numbers)
        request = {"id": number, "method": method, "params": params}
        if session is not None:
            request["sessionId"] = session
        self._connection.send(json.dumps(request))
        while True:
            answer = json.loads(self._connection.recv(20))
            if answer.get("id") == number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    @contextlib.contextmanager
    def page(self, url: str) -> Iterator[Page]:
        """Open a tab."""
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        attached = self.ask("Target.attachToTarget", targetId=target, flatten=True)
        page = Page(self, attached["sessionId"])
        try:
            page.go(url)
            yield page
        finally:
            self.ask("Target.closeTarget", targetId=target)


class Page:
    """A page in a tab, in which ``recorder.js`` and ``page.js`` have run."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self._session = session

    def go(self, url: str) -> None:
        """Show the page, and load the scripts into it."""
        ask = functools.partial(self._browser.ask, session=self._session)
        ask("Page.enable")
        source = script("recorder.js", "page.js")
        ask("Page.addScriptToEvaluateOnNewDocument", source=source)
        ask("Page.navigate", url=url)
        loaded = f"document.URL === {json.dumps(url)} && document.readyState === 'complete'"
        while not ask("Runtime.evaluate", expression=loaded)["result"].get("value"):
            pass

    async def __call__(self, code: str, /, **given: Any) -> Any:
        """Run ``code`` as the body of an async function with these variables; return its value."""
        return await trio.to_thread.run_sync(self._run, code, given, abandon_on_cancel=False)

    def _run(self, code: str, given: dict[str, Any]) -> Any:
        names = ", ".join(given)
        expression = (
            f"(async ({{{names}}}) => {{ {code} }})(JSON.parse({json.dumps(to_js(given))}, revived))"
            ".then((value) => JSON.stringify(value === undefined ? null : value))"
        )
        answer = self._browser.ask(
            "Runtime.evaluate", self._session, expression=expression, awaitPromise=True,
            returnByValue=True,
        )  # fmt: skip
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return from_js(answer["result"]["value"])


@contextlib.contextmanager
def chromium(folder: Path, *options: str) -> Iterator[Browser]:
    """Run Chromium; its profile is in ``folder``."""
    assert CHROMIUM is not None
    command = [CHROMIUM, *OPTIONS, f"--user-data-dir={folder / 'profile'}", *options]
    home = {**os.environ, "HOME": str(folder)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=home) as process:
        assert process.stderr is not None
        try:
            said = iter(process.stderr.readline, b"")
            urls = (re.search(rb"listening on (ws://127\.0\.0\.1:\S+)", line) for line in said)
            url = next(found[1].decode() for found in urls if found)
            reader = threading.Thread(
                target=process.stderr.read, daemon=True
            )  # or the pipe is full
            reader.start()
            with connect_sync(url, max_size=None, compression=None) as connection:
                browser = Browser(connection)
                yield browser
                browser.ask("Browser.close")
            process.wait(10)
        finally:
            process.kill()


class _Blank(http.server.BaseHTTPRequestHandler):
    """Answers every request with an empty page."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", "15")
        self.end_headers()
        self.wfile.write(b"<!doctype html>")

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@contextlib.contextmanager
def website() -> Iterator[str]:
    """Serve empty pages; yields their origin."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Blank) as server:
        thread = threading.Thread(target=server.serve_forever, name="website")
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join(5)
