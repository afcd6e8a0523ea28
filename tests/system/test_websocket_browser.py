"""websocket-server with the browser's own WebSocket, in pages of a Chromium without a window."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import trio
from cryptography.hazmat.primitives import serialization

from flowbus import Message, Outcome, State
from flowbus.testing import Flow
from tests.certificates import CA, Identity
from tests.system.chromium import CHROMIUM, Browser, Page, chromium, website
from tests.system.websocket_peers import details, serving

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(
        CHROMIUM is None,
        reason="needs Chromium: apt-get install --no-install-recommends chromium (as root)",
    ),
]

KNOWN = Identity("panel", CA, hosts=["127.0.0.1"])
STRANGE = Identity("stranger", CA, hosts=["127.0.0.1"])


def pin(identity: Identity) -> str:
    """Return what Chromium calls the SPKI of a certificate that it is to accept."""
    public = identity.key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return base64.b64encode(hashlib.sha256(public).digest()).decode()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    folder = tmp_path_factory.mktemp("chromium")
    accepted = f"--ignore-certificate-errors-spki-list={pin(KNOWN)}"
    with chromium(folder, accepted) as running:
        yield running


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    with website() as served:
        yield served


@pytest.fixture
def page(browser: Browser, origin: str) -> Iterator[Page]:
    with browser.page(f"{origin}/") as shown:
        yield shown


OPEN = "peers.push(new Peer(url, protocols, binaryType)); return await peers.at(-1).next()"


async def opened(
    page: Page, port: int, protocols: Any = None, *, scheme: str = "ws", binary: str = "arraybuffer"
) -> Any:
    """Have the page open a WebSocket; return the first thing that happens to it."""
    url = f"{scheme}://127.0.0.1:{port}/live"
    return await page(OPEN, url=url, protocols=protocols, binaryType=binary)


async def heard(page: Page) -> Any:
    return await page("return await peers.at(-1).next()")


async def say(page: Page, payload: str | bytes) -> None:
    await page("peers.at(-1).socket.send(payload)", payload=payload)


@contextlib.asynccontextmanager
async def met(page: Page, **options: Any) -> AsyncIterator[tuple[Flow, str]]:
    """Serve, and have the page connect; yields the id of its connection."""
    async with serving(**options) as (flow, port):
        assert (await opened(page, port))[0] == "open"
        yield flow, (await flow.get("events")).payload["connection"]


# ---- the handshake


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [(None, ""), (["plant.v1"], "plant.v1"), (["other", "plant.v1", "plant.v2"], "plant.v2")],
)
async def test_subprotocols(page: Page, offered: list[str] | None, chosen: str) -> None:
    async with serving(accept={"subprotocols": ["plant.v2", "plant.v1"]}) as (flow, port):
        kind, protocol, extensions = await opened(page, port, offered)
        assert (kind, protocol) == ("open", chosen)
        assert "permessage-deflate" in extensions
        assert (await flow.get("events")).payload["subprotocol"] == (chosen or None)


async def test_a_page_fails_where_none_of_its_subprotocols_is_chosen(page: Page) -> None:
    async with serving() as (flow, port):
        # A server that chooses none may be what a client wants; to the browser it is an error.
        assert await opened(page, port, ["plant.v1"]) == ["error"]
        assert await heard(page) == ["close", 1006, "", False]
        event = (await flow.get("events")).payload
        assert (event["event"], event["subprotocol"]) == ("connected", None)
        assert (await flow.get("events")).payload["code"] == 1006
        assert flow.status("ws").state is State.RUNNING


async def test_the_origin_is_that_of_the_page_and_another_one_is_refused(
    browser: Browser, page: Page, origin: str
) -> None:
    with website() as elsewhere, browser.page(f"{elsewhere}/") as other:
        async with serving(accept={"origins": [origin]}) as (flow, port):
            assert (await opened(page, port))[0] == "open"
            assert (await flow.get("events")).payload["origin"] == origin
            assert details(flow)["connections"][0]["origin"] == origin
            assert await opened(other, port) == ["error"]
            assert await heard(other) == ["close", 1006, "", False]
            assert details(flow)["refused_by"] == {"ws.origin_refused": 1}
            assert flow.report()["nodes"]["ws"]["faults"] == {"ws.origin_refused": 1}
            assert not flow.got("events")


async def test_wss_with_a_certificate_that_the_browser_knows(page: Page) -> None:
    tls = {"cert": KNOWN.cert().decode(), "key": KNOWN.private().decode()}
    async with serving(tls=tls) as (flow, port):
        assert (await opened(page, port, scheme="wss"))[0] == "open"
        await say(page, "ä" * 100_000)
        message = await flow.get("out")
        assert message.payload == "ä" * 100_000
        await flow.put("in", message)
        assert await heard(page) == ["text", "ä" * 100_000]
        assert details(flow)["connections"][0]["tls"]["version"] == "TLSv1.3"


async def test_wss_with_a_certificate_that_the_browser_does_not_know(page: Page) -> None:
    tls = {"cert": STRANGE.cert().decode(), "key": STRANGE.private().decode()}
    async with serving(tls=tls) as (flow, port):
        assert await opened(page, port, scheme="wss") == ["error"]
        assert await heard(page) == ["close", 1006, "", False]
        while not flow.report()["nodes"]["ws"]["faults"]:
            await trio.sleep(0.01)
        (code,) = flow.report()["nodes"]["ws"]["faults"]
        assert code.startswith("ws.tls_")
        assert not flow.got("events")


# ---- messages


async def test_text_and_binary_both_ways(page: Page) -> None:
    async with met(page) as (flow, name):
        for payload in ("", "äöü €", "🏭 Ω\u0000\u2028", "x" * 70_000):
            await say(page, payload)
            message = await flow.get("out")
            assert (message.payload, message.headers["content_type"]) == (payload, "text")
            assert message.headers["connection"] == name
            assert (await flow.put("in", message)).outcome is Outcome.CONFIRMED
            assert await heard(page) == ["text", payload]
        for content in (b"", b"\x00\xff\x80", os.urandom(70_000)):
            await say(page, content)
            message = await flow.get("out")
            assert (message.payload, message.headers["content_type"]) == (content, "binary")
            await flow.put("in", message)
            assert await heard(page) == ["arraybuffer", content]
        await flow.put("in", Message({"speed": 7.5, "unit": "m/s²"}))
        assert await heard(page) == ["text", '{"speed":7.5,"unit":"m/s²"}']


async def test_whatever_a_page_may_send(page: Page) -> None:
    async with met(page) as (flow, _name):
        for code, expected in (
            ("new Blob(['ä', new Uint8Array([255])])", "ä".encode() + b"\xff"),
            ("bytesOf('0001ff').buffer", b"\x00\x01\xff"),
            ("new DataView(bytesOf('0001ff').buffer, 1)", b"\x01\xff"),
            ("new Float32Array([1])", b"\x00\x00\x80\x3f"),
            ("'\\ud800 alone'", "\ufffd alone"),
            ("42", "42"),
        ):
            await page(f"peers.at(-1).socket.send({code})")
            assert (await flow.get("out")).payload == expected


async def test_binary_arrives_as_a_blob_where_the_page_wants_that(page: Page) -> None:
    async with serving() as (flow, port):
        await opened(page, port, binary="blob")
        await flow.put("in", Message(b"\x00\xff" * 1000))
        assert await heard(page) == ["blob", b"\x00\xff" * 1000]


@pytest.mark.parametrize("compression", [True, False])
async def test_a_mebibyte_comes_in_one_frame_and_goes_in_several(
    page: Page, compression: bool
) -> None:
    content = os.urandom(1 << 20)
    async with met(page, compression=compression) as (flow, _name):
        await say(page, content)
        message = await flow.get("out")
        assert message.payload == content
        assert (await flow.put("in", message)).outcome is Outcome.CONFIRMED
        assert await heard(page) == ["arraybuffer", content]


async def test_more_than_max_receive_message_is_1009_in_the_page(page: Page) -> None:
    async with met(page, max_receive_message=100_000) as (flow, _name):
        await say(page, "x" * 100_000)
        assert len((await flow.get("out")).payload) == 100_000
        await say(page, "x" * 100_001)
        kind, code, reason, _clean = await heard(page)
        assert (kind, code) == ("close", 1009)
        assert "100000" in reason
        assert (await flow.get("events")).payload["code"] == 1009
        assert "ws.message_too_big" in flow.report()["nodes"]["ws"]["faults"]


# ---- compression


@pytest.mark.parametrize("takeover", [False, True])
async def test_messages_are_compressed_in_the_context_of_those_before(
    page: Page, takeover: bool
) -> None:
    text = os.urandom(750).hex()  # half of it is news the first time, nothing the second time
    option = {"server_no_context_takeover": False} if takeover else True
    async with met(page, compression=option) as (flow, _name):
        (client,) = details(flow)["connections"]
        assert client["compression"]["server_no_context_takeover"] is not takeover
        assert not client["compression"]["client_no_context_takeover"]
        sizes = []
        for _ in range(3):
            (before,) = details(flow)["connections"]
            await say(page, text)
            message = await flow.get("out")
            assert message.payload == text
            await flow.put("in", message)
            assert await heard(page) == ["text", text]
            (after,) = details(flow)["connections"]
            sizes.append([after[key] - before[key] for key in ("bytes_in", "bytes_out")])
        received, sent = zip(*sizes, strict=True)
        assert 700 < received[0] < 1000
        assert max(received[1:]) < 100
        assert 700 < sent[0] < 1000
        assert max(sent[1:]) < 100 if takeover else min(sent[1:]) > 700


@pytest.mark.parametrize(
    ("option", "negotiated"),
    [
        ({"server_no_context_takeover": True}, "server_no_context_takeover"),
        ({"client_no_context_takeover": True}, "client_no_context_takeover"),
        ({"client_max_window_bits": 9}, "client_max_window_bits=9"),
        ({"server_max_window_bits": 15, "client_max_window_bits": 15}, "permessage-deflate"),
    ],
)
async def test_how_the_server_wants_to_compress(
    page: Page, option: dict[str, Any], negotiated: str
) -> None:
    async with serving(compression=option, compress_min=0) as (flow, port):
        _, _, extensions = await opened(page, port)
        assert negotiated in extensions
        agreed = details(flow)["connections"][0]["compression"]
        assert agreed.items() >= option.items()
        for text in ("", "ä" * 5000, os.urandom(3000).hex(), "ä" * 5000):
            await say(page, text)
            message = await flow.get("out")
            assert message.payload == text
            await flow.put("in", message)
            assert await heard(page) == ["text", text]


async def test_a_server_that_does_not_compress(page: Page) -> None:
    async with serving(compression=False) as (flow, port):
        assert (await opened(page, port)) == ["open", "", ""]
        assert details(flow)["connections"][0]["compression"] is None


# ---- the end, pings, and many at once


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [("", 1005, ""), ("1000", 1000, ""), ("3000, 'ä'", 3000, "ä"), ("4999, 'x'.repeat(123)", 4999, "x" * 123)],
)  # fmt: skip
async def test_the_page_closes(page: Page, arguments: str, code: int, reason: str) -> None:
    async with met(page) as (flow, name):
        await page(f"peers.at(-1).socket.close({arguments})")
        event = (await flow.get("events")).payload
        assert (event["event"], event["connection"]) == ("disconnected", name)
        assert (event["code"], event["reason"]) == (code, reason)
        # The server's answer has the code that it answers, and nothing to say beside it.
        assert await heard(page) == ["close", code, "", True]


@pytest.mark.parametrize(
    ("code", "reason"), [(1000, ""), (1001, "going"), (1013, "later"), (4321, "Schluß")]
)
async def test_the_flow_closes(page: Page, code: int, reason: str) -> None:
    async with met(page) as (flow, name):
        await flow.put("in", Message("last words"))
        close = {"code": code, "reason": reason}
        end = await flow.put("in", Message(close, headers={"command": "close", "connection": name}))
        assert end.outcome is Outcome.CONFIRMED
        assert await heard(page) == ["text", "last words"]
        assert await heard(page) == ["close", code, reason, True]
        event = (await flow.get("events")).payload
        assert (event["event"], event["code"], event["reason"]) == ("disconnected", code, reason)


async def test_a_page_is_left_or_its_tab_closed(browser: Browser, page: Page, origin: str) -> None:
    async with serving() as (flow, port):
        with browser.page(f"{origin}/") as other:
            for shown in (page, other):
                assert (await opened(shown, port))[0] == "open"
                assert (await flow.get("events")).payload["event"] == "connected"
            await trio.to_thread.run_sync(page.go, f"{origin}/other")
            event = (await flow.get("events")).payload
            assert (event["event"], event["code"]) == ("disconnected", 1001)
        assert (await flow.get("events")).payload["event"] == "disconnected"
        assert flow.status("ws").state is State.RUNNING


async def test_the_server_stops(page: Page) -> None:
    async with met(page) as (flow, _name):
        await flow.stop()
        kind, code, _reason, clean = await heard(page)
        assert (kind, code, clean) == ("close", 1001, True)


async def test_a_browser_answers_pings(page: Page) -> None:
    async with met(page, ping_events=True, keepalive_interval=0.05) as (flow, name):
        pong = (await flow.get("events")).payload
        assert (pong["event"], pong["connection"]) == ("pong", name)
        there = Message("are you there", headers={"command": "ping", "connection": name})
        assert (await flow.put("in", there)).outcome is Outcome.CONFIRMED
        assert flow.report()["nodes"]["ws"]["faults"] == {}


async def test_what_a_page_sends_waits_while_the_client_is_paused(page: Page) -> None:
    async with met(page, compression=False) as (flow, _name):
        await flow.put("in", Message(None, headers={"command": "pause"}))
        waiting = await page(
            "const { socket } = peers.at(-1);"
            "for (let n = 0; n < 16; n++) socket.send(`${n} `.padEnd(1000000, 'x'));"
            "return socket.bufferedAmount"
        )
        assert waiting > 0
        assert not flow.got("out")
        await flow.put("in", Message(None, headers={"command": "resume"}))
        for number in range(16):
            assert (await flow.get("out")).payload.startswith(f"{number} ")
        assert await page("return peers.at(-1).socket.bufferedAmount") == 0


async def test_twenty_sockets_of_one_page(page: Page) -> None:
    async with serving() as (flow, port):
        for number in range(20):
            assert (await opened(page, port))[0] == "open"
            await say(page, f"{number}")
        names = [(await flow.get("out")).headers["connection"] for _ in range(20)]
        assert len(set(names)) == 20
        assert details(flow)["clients"] == 20
        await flow.put("in", Message("all"))
        await flow.put("in", Message("odd", headers={"connection": names[1::2]}))
        got = await page("return await Promise.all(peers.map((peer) => peer.next()))")
        assert got == [["text", "all"]] * 20
        odd = await page("return await Promise.all(peers.map((peer, n) => n % 2 && peer.next()))")
        assert odd == [0, ["text", "odd"]] * 10
        await page("for (const { socket } of peers) socket.close(3000)")
        events = [(await flow.get("events")).payload for _ in range(40)]
        assert [event["code"] for event in events if event["event"] == "disconnected"] == [
            3000
        ] * 20
