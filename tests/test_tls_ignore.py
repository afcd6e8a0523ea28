"""Errors of a server's certificate that are let through: exactly the named kind, and no other."""

from __future__ import annotations

import ssl
import sys
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from cryptography import x509
from cryptography.x509.oid import NameOID

from flowbus import TLS
from flowbus.config import decode
from flowbus.tls import TLSConfigError, TLSRefusedError
from tests.certificates import (
    CA,
    CLIENT_USAGE,
    DAY,
    NOW,
    OTHER_CA,
    PEM,
    SERVER,
    SERVER_USAGE,
    Identity,
    code,
    inline,
)
from tests.defects import (
    AUTHORITIES,
    DEFECTS,
    EARLY,
    EXPIRED,
    FAULTS,
    HERE,
    KINDS,
    LISTS,
    MISUSED,
    NO_LISTS_CA,
    REVOKED,
    THERE,
    defective,
    ignoring,
    openssl,
    outcome,
    showing,
)


@pytest.mark.parametrize("defect", DEFECTS)
@pytest.mark.parametrize("kind", KINDS)
async def test_each_kind_lets_through_what_it_names(kind: str, defect: str) -> None:
    expected = "" if kind == defect else FAULTS[defect]
    assert await outcome(ignoring(kind), defective(defect)) == expected


@pytest.mark.parametrize("defect", DEFECTS)
async def test_all_others_together_do_not_let_it_through(defect: str) -> None:
    others = [kind for kind in KINDS if kind != defect]
    assert await outcome(ignoring(*others), defective(defect)) == FAULTS[defect]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_sound_certificate_passes_whatever_is_ignored(kind: str) -> None:
    assert await outcome(ignoring(kind), inline(SERVER)) == ""


TWO_DEFECTS = [
    ("expired", "hostname_mismatch", Identity("s", CA, **THERE, **EXPIRED)),
    ("expired", "wrong_usage", Identity("s", CA, **HERE, **EXPIRED, **MISUSED)),
    ("expired", "untrusted", Identity("s", OTHER_CA, **HERE, **EXPIRED)),
    ("expired", "crl_unavailable", Identity("s", NO_LISTS_CA, **HERE, **EXPIRED)),
    ("not_yet_valid", "hostname_mismatch", Identity("s", CA, **THERE, **EARLY)),
    ("not_yet_valid", "untrusted", Identity("s", OTHER_CA, **HERE, **EARLY)),
    ("self_signed", "hostname_mismatch", Identity("s", **THERE, ca=False)),
    ("self_signed", "expired", Identity("s", **HERE, **EXPIRED)),
    ("self_signed", "not_yet_valid", Identity("s", **HERE, **EARLY)),
    ("self_signed", "wrong_usage", Identity("s", **HERE, **MISUSED)),
    ("untrusted", "hostname_mismatch", Identity("s", OTHER_CA, **THERE)),
    ("untrusted", "wrong_usage", Identity("s", OTHER_CA, **HERE, **MISUSED)),
    ("wrong_usage", "hostname_mismatch", Identity("s", CA, **THERE, **MISUSED)),
    ("wrong_usage", "crl_unavailable", Identity("s", NO_LISTS_CA, **HERE, **MISUSED)),
    ("crl_unavailable", "hostname_mismatch", Identity("s", NO_LISTS_CA, **THERE)),
]


@pytest.mark.parametrize(("one", "other", "server"), TWO_DEFECTS, ids=lambda value: str(value)[:20])
async def test_two_defects_need_both_kinds(one: str, other: str, server: Identity) -> None:
    lists = {"crl": LISTS} if "crl_unavailable" in (one, other) else {"crl": None}
    assert await outcome(ignoring(one, other, **lists), inline(server)) == ""
    assert await outcome(ignoring(one, **lists), inline(server)) == FAULTS[other]
    assert await outcome(ignoring(other, **lists), inline(server)) == FAULTS[one]


async def test_dates_of_the_whole_chain_count() -> None:
    late = Identity("late", CA, **EXPIRED)
    early = Identity("early", CA, **EARLY)
    behind_late, behind_early = (Identity("s", issuer, **HERE) for issuer in (late, early))
    expired, unborn = showing(behind_late, late), showing(behind_early, early)
    assert await outcome(ignoring("expired", crl=None), expired) == ""
    assert await outcome(ignoring("not_yet_valid", crl=None), expired) == FAULTS["expired"]
    assert await outcome(ignoring("not_yet_valid", crl=None), unborn) == ""
    assert await outcome(ignoring("expired", crl=None), unborn) == FAULTS["not_yet_valid"]


async def test_a_chain_with_its_root_is_untrusted_and_not_self_signed() -> None:
    server = showing(Identity("s", OTHER_CA, **HERE), OTHER_CA)
    assert await outcome(ignoring("self_signed", crl=None), server) == FAULTS["untrusted"]
    assert await outcome(ignoring("untrusted", crl=None), server) == ""


async def test_a_name_alone_makes_no_self_signed_certificate() -> None:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "twin")])
    forger = Identity("twin", subject=name)
    forged = Identity("twin", forger, **HERE, subject=name)
    assert forged.certificate.issuer == forged.certificate.subject
    assert await outcome(ignoring("self_signed", crl=None), inline(forged)) != ""


async def test_a_forged_signature_is_never_let_through() -> None:
    """The name of the trusted authority over a signature of somebody else."""
    impostor = Identity("ca")
    assert impostor.name == CA.name
    forged = inline(Identity("s", impostor, **HERE))
    for kinds in [(kind,) for kind in KINDS] + [tuple(KINDS)]:
        assert await outcome(ignoring(*kinds), forged) != "", kinds


async def test_an_issuer_that_is_no_authority_is_never_let_through() -> None:
    middle = Identity("middle", CA, hosts=["middle.test"])
    server = showing(Identity("s", middle, **HERE), middle)
    for kind in KINDS:
        assert await outcome(ignoring(kind), server) != "", kind


async def test_the_usage_of_an_authority_counts() -> None:
    middle = Identity("middle", CA, usage=CLIENT_USAGE)
    server = showing(Identity("s", middle, **HERE, usage=SERVER_USAGE), middle)
    assert await outcome(ignoring("expired", crl=None), server) == FAULTS["wrong_usage"]
    assert await outcome(ignoring("wrong_usage", crl=None), server) == ""


async def test_a_revocation_list_out_of_date_is_seen_although_dates_are_ignored() -> None:
    old = CA.revocations(end=NOW - DAY).public_bytes(PEM).decode()
    for kind in ("expired", "not_yet_valid", "hostname_mismatch", "crl_unavailable"):
        client = ignoring(kind, crl=old)
        assert await outcome(client, inline(SERVER)) == "ws.tls_crl_invalid", kind
    fresh = CA.revocations(REVOKED).public_bytes(PEM).decode()
    assert await outcome(ignoring("expired", crl=old + fresh), inline(SERVER)) == ""
    assert await outcome(ignoring("expired", crl=old + fresh), inline(REVOKED)) == FAULTS["revoked"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"crl": "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"}, "ws.tls_crl_invalid"),
        ({"crl": "nope"}, "ws.tls_crl_not_found"),
        ({"ca": AUTHORITIES.replace(" CERTIFICATE", " TRUSTED CERTIFICATE")}, "ws.tls_ca_invalid"),
        ({"ca": "nope"}, "ws.tls_ca_not_found"),
    ],
)
def test_files_that_cannot_be_used(options: dict[str, Any], expected: str) -> None:
    client = ignoring("expired", **options)
    for use in (client.check_files, client.client_context):
        with pytest.raises(TLSConfigError) as caught:
            use()
        assert code(caught.value) == expected


async def test_a_folder_of_authorities(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(CA.cert())
    openssl("rehash", ".", folder=tmp_path)
    client = ignoring("expired", ca=str(tmp_path))
    assert await outcome(client, inline(DEFECTS["expired"])) == ""
    assert await outcome(client, inline(DEFECTS["untrusted"])) == FAULTS["untrusted"]


async def test_the_system_knows_authorities_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ca.pem").write_bytes(CA.cert())
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    client = TLS(ignore=("expired",))
    assert await outcome(client, inline(DEFECTS["expired"])) == ""
    assert await outcome(client, inline(DEFECTS["untrusted"])) == FAULTS["untrusted"]


async def test_no_data_is_sent_before_the_server_is_accepted() -> None:
    near, far = trio.testing.memory_stream_pair()
    dial = trio.SSLStream(near, ignoring("expired").client_context(), server_hostname="plc.test")
    listen = trio.SSLStream(far, inline(DEFECTS["untrusted"]).server_context(), server_side=True)
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_expect_nothing, listen)
            with pytest.raises(trio.BrokenResourceError) as caught:
                await dial.send_all(b"secret")  # shakes hands by itself
            await trio.aclose_forcefully(dial)
    assert isinstance(caught.value.__cause__, TLSRefusedError)


async def _expect_nothing(stream: trio.SSLStream[Any]) -> None:
    with pytest.raises(trio.BrokenResourceError):
        await stream.receive_some(1)


def test_the_reason_is_that_of_openssl() -> None:
    from flowbus.tls.ignore import Tolerance
    from flowbus.tls.source import Source

    strict = Tolerance(frozenset(), Source("tls", "ca", AUTHORITIES), None)
    with pytest.raises(TLSRefusedError, match="certificate has expired") as caught:
        strict.verify([DEFECTS["expired"].certificate], "plc.test")
    assert TLS.why(caught.value) == "certificate has expired"
    assert isinstance(caught.value, ssl.SSLError)


def test_without_the_library_the_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "OpenSSL.crypto", None)
    monkeypatch.delitem(sys.modules, "flowbus.tls.ignore", raising=False)
    with pytest.raises(TLSConfigError, match=r"tls.ignore: needs .*pip install 'flowbus\[tls\]'"):
        ignoring("expired").check_files()
    TLS(ca=AUTHORITIES, ignore=("hostname_mismatch",)).check_files()  # needs no library


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"ignore": ["all"]}, 'expected "crl_unavailable", "expired", "hostname_mismatch", '),
        ({"ignore": ["crl_unavailable"]}, "ignore: crl_unavailable has no use without crl"),
        ({"ignore": ["expired"], "verify": False}, "ignore: has no use with verify false"),
    ],
)
def test_rules(options: dict[str, Any], why: str) -> None:
    tls, flaws = decode(TLS, options)
    assert tls is None
    assert why in f"{flaws[0].path[0]}: {flaws[0].text}"


def test_what_is_ignored_is_a_standing_warning() -> None:
    ((fault, text),) = ignoring("expired", "untrusted").warnings("mqtt")
    assert fault.code == "mqtt.tls_errors_ignored"
    assert text == "errors of the certificate are let through (tls.ignore): expired, untrusted"
