"""Names of hosts, judged as OpenSSL judges them: both are asked about the same certificates."""

from __future__ import annotations

import contextlib
import ssl

from cryptography import x509
from cryptography.x509.oid import NameOID
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flowbus.tls.hostname import is_for_host
from tests.certificates import CA, Identity, inline

labels = st.sampled_from(["a", "b", "ab", "a-b", "xn--a", "*", "a*", "*a", "www", "A"])
names = st.lists(labels, min_size=1, max_size=4).map(".".join)
hosts = st.lists(labels.filter(lambda label: "*" not in label), min_size=1, max_size=4).map(
    ".".join
)


def openssl_accepts(identity: Identity, host: str) -> bool:
    """What OpenSSL says in a handshake of a client that trusts the issuer."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=CA.cert().decode())
    ways = [ssl.MemoryBIO(), ssl.MemoryBIO()]
    near = context.wrap_bio(ways[0], ways[1], server_hostname=host)
    far = inline(identity).server_context().wrap_bio(ways[1], ways[0], server_side=True)
    with contextlib.suppress(ssl.SSLWantReadError):
        near.do_handshake()
    with contextlib.suppress(ssl.SSLWantReadError):
        far.do_handshake()
    try:
        near.do_handshake()
    except ssl.SSLCertVerificationError:
        return False
    return True


def identity(common: str, alternatives: list[str]) -> Identity:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])
    extensions = (
        [x509.SubjectAlternativeName([x509.DNSName(item) for item in alternatives])]
        if alternatives
        else []
    )
    return Identity("", CA, ca=False, subject=name, extensions=extensions)


@given(names, st.lists(names, max_size=2), hosts)
@settings(max_examples=150, deadline=None)
@example("a.b.www", [], "a.b.www")
@example("a.b.www", ["b.b.www"], "a.b.www")
@example("x", ["*.b.www"], "a.b.www")
@example("*.b.www", [], "a.b.www")
@example("x", ["*.www"], "a.www")
@example("x", ["*"], "a")
@example("x", ["*.a.b"], "xn--a.a.b")
def test_names_as_openssl_takes_them(common: str, alternatives: list[str], host: str) -> None:
    shown = identity(common, alternatives)
    ours = is_for_host(shown.certificate, host)
    assert not ours or openssl_accepts(shown, host), "we let in what OpenSSL refuses"
    if not ours and openssl_accepts(shown, host):
        # OpenSSL takes a star inside a label, and one before a single label, which RFC 6125 advises against.
        patterns = alternatives or [common]
        assert any("*" in pattern for pattern in patterns), (patterns, host)


@given(st.ip_addresses(), st.lists(st.ip_addresses(), max_size=2), st.booleans())
@settings(max_examples=60, deadline=None)
def test_addresses_as_openssl_takes_them(address: object, others: list[object], own: bool) -> None:
    given_addresses = [str(item) for item in ([address, *others] if own else others)]
    shown = Identity("x", CA, hosts=[*given_addresses, "a.test"])
    assert is_for_host(shown.certificate, str(address)) is openssl_accepts(shown, str(address))
