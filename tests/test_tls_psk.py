"""Pre-shared keys; handshakes need Python 3.13, below it ``check`` says so."""

from __future__ import annotations

import ssl
import sys
from typing import Any

import pytest
import trio
import trio.testing

from flowbus import TLS
from flowbus.config import decode
from flowbus.problem import path_text
from flowbus.secrets import Redactor
from flowbus.tls.psk import OFFERED
from tests.certificates import CA, SERVER, code, exchange, inline, shake

KEY = "00112233445566778899aabbccddeeff"
offered = pytest.mark.skipif(not OFFERED, reason="pre-shared keys need Python 3.13")


def shared(key: str = KEY, identity: str = "line1", **more: Any) -> TLS:
    tls, flaws = decode(TLS, {"psk_identity": identity, "psk_key": key, **more})
    assert tls is not None, flaws
    tls.check_files()
    return tls


@pytest.mark.skipif(OFFERED, reason="this Python has pre-shared keys")
def test_an_older_python_is_refused() -> None:
    tls, flaws = decode(TLS, {"psk_identity": "line1", "psk_key": KEY})
    assert tls is None
    here = ".".join(map(str, sys.version_info[:2]))
    assert flaws[0].text.endswith(f"pre-shared keys need Python 3.13; this is Python {here}")


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"psk_key": KEY}, "psk_key: is given without psk_identity"),
        ({"psk_identity": "x"}, "psk_identity: is given without psk_key"),
        ({"ca": "x"}, "psk_key: a shared key stands for certificates; leave out ca"),
        ({"cert": "x"}, "leave out cert"),
        ({"pkcs12": "x"}, "leave out pkcs12"),
        ({"client_ca": "x"}, "leave out client_ca"),
        ({"ignore": ["expired"]}, "leave out ignore"),
        ({"crl": "x"}, "leave out crl"),
        ({"verify": False}, "verify: has no use with psk_key"),
    ],
)
def test_what_goes_with_a_key(options: dict[str, Any], why: str) -> None:
    alone = options.keys() <= {"psk_key", "psk_identity"}
    both = options if alone else {"psk_identity": "line1", "psk_key": KEY, **options}
    tls, flaws = decode(TLS, both)
    assert tls is None
    assert why in f"{path_text(flaws[0].path)}: {flaws[0].text}"


@offered
@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"psk_key": "xyz"}, "psk_key: is not hexadecimal"),
        ({"psk_key": "abc"}, "psk_key: is not hexadecimal"),
        ({"psk_key": ""}, "psk_key: needs 1 to 256 bytes, has 0"),
        ({"psk_key": "00" * 257}, "psk_key: needs 1 to 256 bytes, has 257"),
        ({"psk_identity": ""}, "psk_identity: needs 1 to 256 bytes"),
        ({"psk_identity": "é" * 129}, "psk_identity: needs 1 to 256 bytes"),
        ({"psk_identity": "a\0b"}, "none of them NUL"),
    ],
)
def test_keys_that_cannot_be_used(options: dict[str, Any], why: str) -> None:
    redactor = Redactor()
    tls, flaws = decode(
        TLS, {"psk_identity": "line1", "psk_key": KEY, **options}, redactor=redactor
    )
    assert tls is None
    assert why in f"{path_text(flaws[0].path)}: {flaws[0].text}"


@offered
def test_a_key_never_shows() -> None:
    redactor = Redactor()
    tls, _ = decode(TLS, {"psk_identity": "line1", "psk_key": KEY}, redactor=redactor)
    assert KEY not in repr(tls)
    assert redactor.redact(KEY) == "***"


@offered
@pytest.mark.parametrize("version", ["1.2", "1.3"])
async def test_a_handshake(version: str) -> None:
    ends = await shake(shared(max_version=version), shared())
    assert ends == {"client": f"TLSv{version}", "server": f"TLSv{version}", "got": b"y"}


@offered
@pytest.mark.parametrize("size", [1, 16, 64, 256])
async def test_keys_of_any_length(size: int) -> None:
    key = "a5" * size
    assert (await shake(shared(key), shared(key)))["got"] == b"y"


@offered
@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("wrong", [{"key": KEY[::-1]}, {"identity": "line2"}])
def test_another_key(version: str, wrong: dict[str, str]) -> None:
    errors = exchange(shared(max_version=version, **wrong), shared())
    assert [code(error) for error in errors] == ["ws.tls_psk_invalid"] * 2


@offered
async def test_nobody_does_not_stand_for_the_key() -> None:
    """A suite without any authentication, which options of the user may allow."""
    anonymous = "aNULL:@SECLEVEL=0"
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.set_ciphers(anonymous)
    server.maximum_version = ssl.TLSVersion.TLSv1_2
    near, far = trio.testing.memory_stream_pair()
    dial = trio.SSLStream(near, shared(ciphers=f"PSK:{anonymous}").client_context())
    listen = trio.SSLStream(far, server, server_side=True)
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen.do_handshake)
            with pytest.raises(trio.BrokenResourceError) as caught:
                await dial.do_handshake()
    assert code(caught.value) == "ws.tls_psk_invalid"
    assert "does not use the pre-shared key" in TLS.why(caught.value)


@offered
def test_a_certificate_does_not_stand_for_the_key() -> None:
    client_error, _ = exchange(shared(), inline(SERVER))
    assert code(client_error) == "ws.tls_psk_invalid"
    client_error, server_error = exchange(TLS(ca=CA.cert().decode()), shared())
    assert code(client_error) == "ws.tls_handshake_fail"
    assert code(server_error) == "ws.tls_psk_invalid"
