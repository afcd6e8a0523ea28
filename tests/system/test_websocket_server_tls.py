"""What a websocket-server knows of its clients by TLS, and whom it lets in for that."""

from __future__ import annotations

import hashlib
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest
import trio
from websockets.exceptions import InvalidStatus

from flowbus import Message
from tests.certificates import CA, Identity
from tests.system.websocket_peers import REQUEST, connected, details, in_thread, serving

pytestmark = pytest.mark.system

AUTHORITY = CA.cert().decode()
SERVER = Identity("server", CA, hosts=["127.0.0.1"])
PANEL = Identity("panel 7", CA, hosts=["panel.test"])
OTHER = Identity("office", CA, hosts=["office.test"])
OWN = {"cert": SERVER.cert().decode(), "key": SERVER.private().decode()}


def fingerprint(identity: Identity) -> str:
    der = ssl.PEM_cert_to_DER_cert(identity.cert().decode())
    return hashlib.sha256(der).hexdigest()


def context_of(folder: Path, identity: Identity | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=AUTHORITY)
    if identity is not None:
        (folder / "own.pem").write_bytes(identity.cert() + identity.private())
        context.load_cert_chain(folder / "own.pem")
    return context


async def test_what_is_told_of_a_client_with_a_certificate(tmp_path: Path) -> None:
    tls = {**OWN, "client_ca": AUTHORITY}
    async with (
        serving(tls=tls) as (flow, port),
        connected(port, ssl=context_of(tmp_path, PANEL)) as peer,
    ):
        event = (await flow.get("events")).payload
        assert "CN=panel 7" in event["client_cert"]["subject"]
        assert event["client_cert"]["sha256"] == fingerprint(PANEL)
        assert "pem" not in event["client_cert"]
        await peer.send("x")
        shown = (await flow.get("out")).headers["client_cert"]
        assert shown["pem"].strip() == PANEL.cert().decode().strip()
        assert shown["status"] == "verified"
        (client,) = details(flow)["connections"]
        session = peer.connection.socket
        assert isinstance(session, ssl.SSLSocket)
        name, _, bits = session.cipher() or ("", "", 0)
        version = session.version()
        told = client["tls"]
        assert (told["version"], told["cipher"], told["bits"]) == (version, name, bits)
        assert client["client_cert"]["names"] == ["panel.test"]
        assert client["client_cert"]["not_after"] > client["client_cert"]["not_before"]


async def test_without_tls_or_a_certificate_there_is_nothing_to_tell(tmp_path: Path) -> None:
    async with serving(tls=OWN) as (flow, port), connected(port, ssl=context_of(tmp_path, None)):
        assert "client_cert" not in (await flow.get("events")).payload
        (client,) = details(flow)["connections"]
        assert client["client_cert"] is None
        assert client["tls"]["version"] == "TLSv1.3"
    async with serving() as (flow, port), connected(port):
        await flow.get("events")
        assert details(flow)["connections"][0]["tls"] is None


@pytest.mark.parametrize(
    ("certs", "identity", "admitted"),
    [
        (["CN=panel*"], PANEL, True),
        (["CN=panel*"], OTHER, False),
        (["*"], OTHER, True),
        ([fingerprint(PANEL)], PANEL, True),
        (["SHA256:" + ":".join(f"{b:02X}" for b in bytes.fromhex(fingerprint(PANEL)))], PANEL, True),
        ([fingerprint(PANEL)], OTHER, False),
        ([fingerprint(PANEL), "CN=office"], OTHER, True),
        (["CN=panel*"], None, False),
    ],
)  # fmt: skip
async def test_certificates_that_are_let_in(
    tmp_path: Path, certs: list[str], identity: Identity | None, admitted: bool
) -> None:
    tls = {**OWN, "client_ca": AUTHORITY, "client_auth": "optional"}
    options: dict[str, Any] = {"ssl": context_of(tmp_path, identity)}
    async with serving(tls=tls, accept={"client_certs": certs}) as (flow, port):
        if admitted:
            async with connected(port, **options) as peer:
                await peer.send("x")
                assert (await flow.get("out")).payload == "x"
            return
        with pytest.raises(InvalidStatus) as caught:
            async with connected(port, **options):
                pass
        assert caught.value.response.status_code == 403
        while not details(flow)["refused"]:
            await trio.sleep(0.01)
        assert details(flow)["refused_by"] == {"ws.client_cert_refused": 1}


async def test_a_blocked_address_is_hung_up_on_before_tls(tmp_path: Path) -> None:
    async with serving(tls=OWN, block_clients=["127.0.0.1"]) as (flow, port):
        with pytest.raises((ConnectionError, ssl.SSLError)):
            async with connected(port, ssl=context_of(tmp_path, None)):
                pass
        assert details(flow)["refused_by"] == {"ws.address_refused": 1}


async def test_openssl_opens_a_websocket(tmp_path: Path) -> None:
    def speak(port: int) -> bytes:
        (tmp_path / "own.pem").write_bytes(PANEL.cert() + PANEL.private())
        own = str(tmp_path / "own.pem")
        command = ["openssl", "s_client", "-quiet", "-connect", f"127.0.0.1:{port}"]
        # Behind the request a masked text "hello", and a Close frame.
        frames = b"\x81\x85\0\0\0\0hello" + b"\x88\x82\0\0\0\0\x03\xe8"
        done = subprocess.run(
            [*command, "-cert", own, "-key", own, "-no_ign_eof"],
            input=REQUEST + frames,
            capture_output=True,
            timeout=20,
            check=False,
        )
        return done.stdout

    tls = {**OWN, "client_ca": AUTHORITY}
    async with serving(tls=tls, accept={"client_certs": ["CN=panel 7"]}) as (flow, port):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(in_thread, speak, port)
            message = await flow.get("out")
        assert message.payload == "hello"
        assert message.headers["client_cert"]["sha256"] == fingerprint(PANEL)


async def test_who_takes_nothing_is_given_up_through_tls_too(tmp_path: Path) -> None:
    options = {"send_timeout": 0.3, "keepalive": False, "close_timeout": 0.1, "send_buffer": 10_000}
    async with serving(tls=OWN, **options) as (flow, port):
        async with connected(port, ssl=context_of(tmp_path, None), max_queue=1):
            await flow.get("events")
            end = await flow.put("in", Message(b"x" * 20_000_000))
            assert end.code == "ws.connection_lost"
            left = (await flow.get("events")).payload
        assert "took nothing for 0.3 s" in left["reason"]
        assert flow.report()["nodes"]["ws"]["faults"]["ws.send_timed_out"] == 1
