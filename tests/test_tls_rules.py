"""Which TLS options go together, for a client and for a server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flowbus import TLS
from flowbus.config import decode
from flowbus.problem import path_text
from flowbus.tls import TLSConfigError
from tests.certificates import CA, CLIENT, SERVER, code, inline

AUTHORITY = CA.cert().decode()
OWN = {"cert": SERVER.cert().decode(), "key": SERVER.private().decode()}
BESIDE = {"sni": {"a.test": OWN}}


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"pkcs12": "x", "cert": "y"}, "pkcs12: holds certificate and key; leave out cert and key"),
        ({"key": "k"}, "key: is given without cert"),
        ({"subject": "x"}, "subject: is given without cert or pkcs12"),
        ({**OWN, "subject": " "}, "subject: must not be empty"),
        ({"also": [OWN]}, "also: is given without cert or pkcs12 beside it"),
        ({**OWN, "also": [{}]}, "also: each needs cert or pkcs12"),
        ({"ca": "x", "client_ca": "y"}, "client_ca: is what ca means for a server"),
        ({"client_auth": "required"}, "client_auth: required needs client_ca"),
        ({"client_auth": "optional"}, "client_auth: optional needs client_ca"),
        ({"client_auth": "none", "client_ca": "x"}, "client_ca: has no use with client_auth none"),
        ({"client_auth": "none", "ca": "x"}, "ca: has no use with client_auth none"),
        ({"client_auth": "maybe"}, 'expected "none", "optional" or "required"'),
        ({"sni": {"a b": OWN}}, 'sni: "a b" is no name of a host'),
        ({"sni": {"a.*.test": OWN}}, 'sni: "a.*.test" is no name of a host'),
        ({"sni": {"A.test": OWN, "a.TEST": OWN}}, 'sni: "a.TEST" comes twice'),
        ({"sni": {"a.test": {}}}, 'sni: "a.test" needs cert or pkcs12'),
        ({"sni": {"a.test": {"sni": {}}}}, "unknown"),
        ({"groups": [""]}, "groups: must not hold an empty name"),
        ({"ignore": ["expired"], "verify": False}, "ignore: has no use with verify false"),
    ],
)
def test_what_goes_together(options: dict[str, Any], why: str) -> None:
    tls, flaws = decode(TLS, options)
    assert tls is None
    assert why in f"{path_text(flaws[0].path)}: {flaws[0].text}"


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"client_ca": AUTHORITY}, "tls: client_ca: is for servers; a client has ca"),
        ({"client_auth": "none"}, "tls: client_auth: is for servers"),
        (BESIDE, "tls: sni: is for servers"),
        ({**OWN, "also": [OWN]}, "tls: also: is for servers"),
    ],
)
def test_what_a_client_cannot_have(options: dict[str, Any], why: str) -> None:
    tls, _ = decode(TLS, options)
    assert tls is not None
    with pytest.raises(ValueError, match=why):
        tls.check_as_client()
    with pytest.raises(TLSConfigError, match=why) as caught:
        tls.client_context()
    assert code(caught.value) == "ws.tls_setup"


@pytest.mark.parametrize(
    ("options", "why", "fault"),
    [
        ({}, "tls: cert: a server needs a certificate", "cert_not_found"),
        (
            {"verify": False, **OWN},
            "tls: verify: is for clients; a server has client_auth",
            "setup",
        ),
        ({"ignore": ["expired"], **OWN}, "tls: ignore: is for clients", "setup"),
        ({"server_name": "x", **OWN}, "tls: server_name: is for clients", "setup"),
        ({"crl": "x", **OWN}, "tls: crl: has no use without client_ca", "setup"),
    ],
)
def test_what_a_server_cannot_have(options: dict[str, Any], why: str, fault: str) -> None:
    tls, _ = decode(TLS, options)
    assert tls is not None
    with pytest.raises(ValueError, match=why):
        tls.check_as_server()
    with pytest.raises(TLSConfigError, match=why) as caught:
        tls.server_context()
    assert code(caught.value) == f"ws.tls_{fault}"


@pytest.mark.parametrize(
    "options",
    [OWN, BESIDE, {**OWN, **BESIDE}, {**OWN, "client_ca": AUTHORITY, "client_auth": "optional"}],
)
def test_what_a_server_can_have(options: dict[str, Any]) -> None:
    tls, flaws = decode(TLS, options)
    assert tls is not None, flaws
    tls.check_as_server()
    tls.check_files()
    tls.server_context()


def test_files_that_a_server_alone_has_are_checked(tmp_path: Path) -> None:
    for option in ("ca", "client_ca"):
        with pytest.raises(TLSConfigError, match=rf"tls.{option}: cannot read the file") as caught:
            inline(SERVER, **{option: str(tmp_path / "nope")}).check_files()
        assert code(caught.value) == "ws.tls_ca_not_found"


def test_the_file_of_keys_is_looked_at_and_not_made(tmp_path: Path) -> None:
    path = tmp_path / "keys.log"
    TLS(keylog_file=str(path)).check_files()
    assert not path.exists()
    for nowhere in (tmp_path / "none" / "keys.log", tmp_path):
        tls = TLS(keylog_file=str(nowhere))
        with pytest.raises(TLSConfigError, match=r"tls.keylog_file: .* cannot be written"):
            tls.check_files()
        with pytest.raises(
            TLSConfigError, match=r"tls.keylog_file: .* cannot be written"
        ) as caught:
            tls.client_context()
        assert code(caught.value) == "ws.tls_setup"


def test_a_file_of_keys_that_is_there_becomes_private(tmp_path: Path) -> None:
    path = tmp_path / "keys.log"
    path.write_text("# mine\n")
    path.chmod(0o644)
    TLS(keylog_file=str(path)).client_context()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_text().startswith("# mine\n")


@pytest.mark.parametrize(
    ("groups", "why"),
    [
        (("nope",), '"nope": not known here; prime256v1'),
        (("prime256v1", "nope"), "from 3.15 on|not known here"),
    ],
)
def test_groups_that_cannot_be_had(groups: tuple[str, ...], why: str) -> None:
    with pytest.raises(TLSConfigError, match=why) as caught:
        TLS(groups=groups).check_files()
    assert code(caught.value) == "ws.tls_group_invalid"


def test_nothing_secret_shows() -> None:
    tls = inline(CLIENT, psk_key=None, sni={}, also=())
    assert "PRIVATE" not in repr(tls)
    named = inline(SERVER, sni={"a.test": inline_named()})
    assert "PRIVATE" not in repr(named)
    assert "hunter22" not in repr(named)


def inline_named() -> Any:
    from flowbus import Secret
    from flowbus.tls.identity import ServerIdentity

    cert, key = SERVER.cert().decode(), SERVER.private(password="hunter22").decode()
    return ServerIdentity(cert=cert, key=key, key_password=Secret("hunter22"))
