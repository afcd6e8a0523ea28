"""The connection over TLS, against mosquitto: certificates of both sides, errors let through, keys."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from flowbus import Message, Outcome, State
from flowbus.testing import run_flow
from tests.certificates import CA, OTHER_CA, PEM, Identity

pytestmark = pytest.mark.system


def flow_of(url: str, tls: dict[str, Any]) -> dict[str, Any]:
    """A flow that publishes with QoS 1."""
    return {
        "connections": {"broker": {"type": "mqtt", "url": url, "tls": tls}},
        "nodes": {
            "in": {"type": "test-source"},
            "out": {"type": "mqtt-out", "connection": "broker", "qos": 1},
        },
        "wires": [["in", "out"]],
    }


async def test_the_broker_demands_a_certificate(mosquitto: Any, tmp_path: Path) -> None:
    server = Identity("broker", CA, hosts=["127.0.0.1"])
    good, revoked = (Identity("client", CA, hosts=["client.test"]) for _ in range(2))
    stranger = Identity("client", OTHER_CA, hosts=["client.test"])
    files = {
        "ca": CA.cert(), "cert": server.cert(), "key": server.private(),
        "crl": CA.revocations(revoked).public_bytes(PEM),
    }  # fmt: skip
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    peer = mosquitto(
        f"allow_anonymous true\ncafile {tmp_path}/ca\ncertfile {tmp_path}/cert\n"
        f"keyfile {tmp_path}/key\ncrlfile {tmp_path}/crl\nrequire_certificate true\n"
    )
    url, ca = f"mqtts://127.0.0.1:{peer.port}", {"ca": str(tmp_path / "ca")}
    with trio.fail_after(30):
        async with run_flow(flow_of(url, ca | own(good))) as flow:
            await flow.wait_running()
            assert (await flow.put("in", Message("x", "a"))).outcome is Outcome.CONFIRMED
        async with run_flow(flow_of(url, ca)) as flow:
            await flow.wait_code("broker", "mqtt.tls_cert_required")
        for wrong in (revoked, stranger):
            async with run_flow(flow_of(url, ca | own(wrong))) as flow:
                await flow.wait_code("broker", "mqtt.tls_cert_refused")


def own(identity: Identity) -> dict[str, str]:
    return {"cert": identity.cert().decode(), "key": identity.private().decode()}


async def test_an_error_of_the_certificate_can_be_ignored(mosquitto: Any, certificates: Any) -> None:
    peer = mosquitto(
        f"allow_anonymous true\ncertfile {certificates.cert}\nkeyfile {certificates.key}\n"
    )
    url = f"mqtts://127.0.0.1:{peer.port}"
    tls = {"ca": str(certificates.ca), "server_name": "other"}
    with trio.fail_after(20):
        async with run_flow(flow_of(url, {**tls, "ignore": ["expired"]})) as flow:
            assert (await flow.wait_state("broker", State.WAITING)).code == "mqtt.tls_cn_mismatch"
        for kinds in (["hostname_mismatch"], ["hostname_mismatch", "expired"]):
            async with run_flow(flow_of(url, {**tls, "ignore": kinds})) as flow:
                status = await flow.wait_state("broker", State.DEGRADED)
                assert status.code == "mqtt.tls_errors_ignored"
                assert (await flow.put("in", Message("x", "a"))).outcome is Outcome.CONFIRMED


@pytest.mark.skipif(sys.version_info < (3, 13), reason="pre-shared keys need Python 3.13")
async def test_a_pre_shared_key(mosquitto: Any, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("line1:00112233445566778899aabbccddeeff\n")
    peer = mosquitto(f"allow_anonymous true\npsk_hint plant\npsk_file {keys}\n")
    url = f"mqtts://127.0.0.1:{peer.port}"
    tls = {"psk_identity": "line1", "psk_key": "00112233445566778899aabbccddeeff"}
    with trio.fail_after(20):
        async with run_flow(flow_of(url, tls)) as flow:
            await flow.wait_running()
            assert (await flow.put("in", Message("x", "a"))).outcome is Outcome.CONFIRMED
        for wrong in ({"psk_key": "11" * 16}, {"psk_identity": "line2"}):
            async with run_flow(flow_of(url, {**tls, **wrong})) as flow:
                assert (await flow.wait_state("broker", State.WAITING)).code == "mqtt.tls_psk_invalid"
