"""The WebSocket nodes over TLS: with the websockets library, with each other, with what is wrong."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from flowbus import Message, Outcome, State
from flowbus.testing import Flow, run_flow
from flowbus.tls.psk import OFFERED
from tests.certificates import CA, CLIENT_USAGE, DAY, NOW, OTHER_CA, PEM, Identity
from tests.system import websocket_peers as clients
from tests.system.websocket_servers import echo, flow_of, serving

pytestmark = pytest.mark.system

AUTHORITY = CA.cert().decode()
HERE = {"hosts": ["127.0.0.1", "localhost"]}
SERVER = Identity("server", CA, **HERE)
CLIENT = Identity("client", CA, hosts=["client.test"])
STRANGER = Identity("client", OTHER_CA, hosts=["client.test"])
OWN = {"cert": SERVER.cert().decode(), "key": SERVER.private().decode()}


def own(identity: Identity) -> dict[str, str]:
    return {"cert": identity.cert().decode(), "key": identity.private().decode()}


def listening(folder: Path, identity: Identity) -> ssl.SSLContext:
    """A context of Python's own for a server of the websockets library."""
    (folder / "server.pem").write_bytes(identity.cert() + identity.private())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    return context


# ---- the client


DEFECTS = {
    "expired": (Identity("s", CA, **HERE, end=NOW - DAY / 2), "ws.tls_cert_expired"),
    "not_yet_valid": (Identity("s", CA, **HERE, start=NOW + DAY / 2), "ws.tls_cert_not_yet_valid"),
    "self_signed": (Identity("s", **HERE), "ws.tls_self_signed"),
    "untrusted": (Identity("s", OTHER_CA, **HERE), "ws.tls_unknown_ca"),
    "hostname_mismatch": (Identity("s", CA, hosts=["x.test"]), "ws.tls_cn_mismatch"),
    "wrong_usage": (Identity("s", CA, **HERE, usage=CLIENT_USAGE), "ws.tls_wrong_usage"),
}


@pytest.mark.parametrize("defect", DEFECTS)
async def test_a_defect_is_a_fault_unless_it_is_ignored(tmp_path: Path, defect: str) -> None:
    server, fault = DEFECTS[defect]
    other = "expired" if defect != "expired" else "not_yet_valid"
    with trio.fail_after(20), serving(echo, ssl=listening(tmp_path, server)) as port:
        for tls in ({"ca": AUTHORITY}, {"ca": AUTHORITY, "ignore": [other]}):
            async with run_flow(flow_of(port, "wss", tls=tls)) as flow:
                await flow.wait_code("ws", fault)
        tls = {"ca": AUTHORITY, "ignore": [defect]}
        async with run_flow(flow_of(port, "wss", tls=tls)) as flow:
            status = await flow.wait_state("ws", State.DEGRADED)
            assert status.code == "ws.tls_errors_ignored"
            assert status.text.endswith(f"are let through (tls.ignore): {defect}")
            assert (await flow.put("in", Message("x"))).outcome is Outcome.CONFIRMED
            assert (await flow.get("out")).payload == "x"


async def test_a_revoked_server(tmp_path: Path) -> None:
    crl = CA.revocations(SERVER).public_bytes(PEM).decode()
    with trio.fail_after(20), serving(echo, ssl=listening(tmp_path, SERVER)) as port:
        async with run_flow(flow_of(port, "wss", tls={"ca": AUTHORITY, "crl": crl})) as flow:
            await flow.wait_code("ws", "ws.tls_cert_revoked")


# ---- client and server of our own


@asynccontextmanager
async def both(client: dict[str, Any], server: dict[str, Any]) -> AsyncIterator[tuple[Flow, Flow]]:
    """A flow with a server and one with a client that dials it."""
    with trio.fail_after(20):
        async with run_flow(clients.flow_of(tls=server)) as far:
            while not far.status("ws").text.startswith("listening on "):
                await trio.sleep(0.01)
            port = clients.port_of(far)
            async with run_flow(flow_of(port, "wss", tls=client)) as near:
                yield near, far


async def test_both_show_a_certificate() -> None:
    server = {**OWN, "client_ca": AUTHORITY}
    async with both({"ca": AUTHORITY, **own(CLIENT)}, server) as (near, far):
        await near.wait_running()
        assert (await near.put("in", Message("x"))).outcome is Outcome.CONFIRMED
        assert (await far.get("out")).payload == "x"


@pytest.mark.parametrize("version", ["1.2", "1.3"])
async def test_a_client_that_shows_none_or_a_wrong_one(version: str) -> None:
    server = {**OWN, "client_ca": AUTHORITY, "max_version": version}
    shown: list[tuple[dict[str, Any], str, str]] = [
        ({}, "ws.tls_cert_required", "ws.tls_cert_missing"),
        (own(STRANGER), "ws.tls_cert_refused", "ws.tls_unknown_ca"),
    ]
    for extra, near_code, far_code in shown:
        if version == "1.2" and not extra:
            near_code = "ws.tls_handshake_fail"  # all that TLS 1.2 has for it
        async with both({"ca": AUTHORITY, **extra}, server) as (near, far):
            await near.wait_code("ws", near_code)
            assert far.report()["nodes"]["ws"]["faults"][far_code] >= 1


async def test_the_server_is_told_why_it_is_refused() -> None:
    async with both({"ca": OTHER_CA.cert().decode()}, OWN) as (near, far):
        await near.wait_code("ws", "ws.tls_unknown_ca")
        while not far.report()["nodes"]["ws"]["faults"].get("ws.tls_cert_refused"):
            await trio.sleep(0.01)


@pytest.mark.skipif(not OFFERED, reason="pre-shared keys need Python 3.13")
@pytest.mark.parametrize("version", ["1.2", "1.3"])
async def test_a_pre_shared_key(version: str) -> None:
    key = {"psk_identity": "line1", "psk_key": "00112233445566778899aabbccddeeff"}
    async with both({**key, "max_version": version}, key) as (near, far):
        await near.wait_running()
        await near.put("in", Message("x"))
        assert (await far.get("out")).payload == "x"
    async with both({**key, "psk_key": "11" * 16, "max_version": version}, key) as (near, far):
        await near.wait_code("ws", "ws.tls_psk_invalid")
        assert far.report()["nodes"]["ws"]["faults"]["ws.tls_psk_invalid"] >= 1


# ---- the server


def trusting() -> ssl.SSLContext:
    """A context of Python's own for a client of the websockets library."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=AUTHORITY)
    return context


async def test_the_server_shows_a_certificate_by_name() -> None:
    other = Identity("other", CA, hosts=["other.test"])
    context = trusting()
    tls = {**OWN, "sni": {"other.test": own(other)}}
    async with clients.serving(tls=tls) as (flow, port):
        for name in ("localhost", "other.test"):
            async with clients.connected(port, ssl=context, server_hostname=name) as peer:
                await peer.send(name)
                assert (await flow.get("out")).payload == name


async def test_a_file_of_keys_is_a_standing_warning(tmp_path: Path) -> None:
    tls = {**OWN, "keylog_file": str(tmp_path / "keys.log")}
    context = trusting()
    with trio.fail_after(20):
        async with run_flow(clients.flow_of(tls=tls)) as flow:
            status = await flow.wait_state("ws", State.DEGRADED)
            assert status.code == "ws.tls_keys_logged"
            port = int(status.text.split(";")[0].rpartition(":")[2].partition("/")[0])
            async with clients.connected(port, ssl=context) as peer:
                await peer.send("x")
                assert (await flow.get("out")).payload == "x"
    assert "CLIENT_TRAFFIC_SECRET_0" in (tmp_path / "keys.log").read_text()
