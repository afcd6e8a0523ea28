"""Keys, certificates and revocation lists that tests make, and handshakes between TLS options."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from collections.abc import Sequence
from typing import Any

import trio
import trio.testing
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from flowbus import TLS
from flowbus.tls import tls_faults

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)
PEM = serialization.Encoding.PEM
DER = serialization.Encoding.DER


class Identity:
    """A key and its certificate, issued by another identity or by itself."""

    def __init__(
        self,
        name: str,
        issuer: Identity | None = None,
        *,
        hosts: Sequence[str] = (),
        start: datetime.datetime = NOW - DAY,
        end: datetime.datetime = NOW + DAY,
        usage: Any = None,
        key: Any = None,
        ca: bool | None = None,
        extensions: Sequence[x509.ExtensionType] = (),
        digest: hashes.HashAlgorithm | None = None,
        subject: x509.Name | None = None,
    ) -> None:
        self.key = key or ec.generate_private_key(ec.SECP256R1())
        self.name = subject or x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        signer = issuer or self
        is_ca = not hosts if ca is None else ca
        builder = (
            x509.CertificateBuilder()
            .subject_name(self.name)
            .issuer_name(signer.name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        )
        if hosts:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_host(host) for host in hosts]), critical=False
            )
        if usage is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        pure = isinstance(signer.key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
        self.certificate = builder.sign(signer.key, None if pure else digest or hashes.SHA256())

    def cert(self, encoding: serialization.Encoding = PEM) -> bytes:
        """The certificate."""
        return self.certificate.public_bytes(encoding)

    def private(
        self,
        encoding: serialization.Encoding = PEM,
        *,
        password: str | None = None,
        traditional: bool = False,
    ) -> bytes:
        """The private key."""
        form = serialization.PrivateFormat
        return bytes(
            self.key.private_bytes(
                encoding,
                form.TraditionalOpenSSL if traditional else form.PKCS8,
                serialization.BestAvailableEncryption(password.encode())
                if password
                else serialization.NoEncryption(),
            )
        )

    def revocations(
        self, *revoked: Identity, end: datetime.datetime = NOW + DAY
    ) -> x509.CertificateRevocationList:
        """A revocation list of this authority."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.name)
            .last_update(NOW - 2 * DAY)
            .next_update(end)
        )
        for identity in revoked:
            entry = x509.RevokedCertificateBuilder(
                identity.certificate.serial_number, NOW - DAY
            ).build()
            builder = builder.add_revoked_certificate(entry)
        return builder.sign(self.key, hashes.SHA256())


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


SERVER_USAGE = ExtendedKeyUsageOID.SERVER_AUTH
#: Alternative names: an ediPartyName (RFC 5280, section 4.2.1.6), which cryptography does not read.
EDI_PARTY = x509.UnrecognizedExtension(
    x509.ObjectIdentifier("2.5.29.17"), bytes.fromhex("3007a505a1030c0178")
)
CLIENT_USAGE = ExtendedKeyUsageOID.CLIENT_AUTH

CA = Identity("ca")
OTHER_CA = Identity("other")
SERVER = Identity("server", CA, hosts=["plc.test", "192.0.2.1"])
CLIENT = Identity("client", CA, hosts=["client.test"])


def inline(identity: Identity, **more: Any) -> TLS:
    return TLS(cert=identity.cert().decode(), key=identity.private().decode(), **more)


TRUSTING = TLS(ca=CA.cert().decode())


async def shake(client: TLS, server: TLS, host: str = "plc.test") -> dict[str, Any]:
    """What each side of a handshake ended with: a version or an exception."""
    ends: dict[str, Any] = {}
    near, far = trio.testing.memory_stream_pair()
    dial = trio.SSLStream(near, client.client_context(), server_hostname=client.name_for(host))
    listen = trio.SSLStream(far, server.server_context(), server_side=True)

    async def run(name: str, stream: trio.SSLStream[Any]) -> None:
        try:
            await stream.do_handshake()
            if name == "client":  # with TLS 1.3 a refusal comes after the client's handshake
                await stream.send_all(b"x")
                ends["got"] = await stream.receive_some(1)
            elif await stream.receive_some(1):
                await stream.send_all(b"y")
            ends[name] = stream.version()
        except trio.BrokenResourceError as error:
            ends[name] = error
            await trio.aclose_forcefully(stream)

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run, "client", dial)
            nursery.start_soon(run, "server", listen)
    return ends


def code(error: Any) -> str:
    fault = TLS().fault("ws", error)
    assert fault is not None, error
    assert fault in tls_faults("ws")
    return fault.code


def exchange(client: TLS, server: TLS) -> tuple[Exception | None, Exception | None]:
    """What breaks each side when both send their alerts, which trio's streams do not."""
    ways = [ssl.MemoryBIO(), ssl.MemoryBIO()]
    dial = client.client_context().wrap_bio(ways[0], ways[1], server_hostname="plc.test")
    listen = server.server_context().wrap_bio(ways[1], ways[0], server_side=True)
    broken: dict[ssl.SSLObject, Exception] = {}
    for _ in range(10):
        for side in (dial, listen):
            try:
                if side not in broken:
                    side.do_handshake()
                    side.read(1)
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError as error:
                broken[side] = error
    return broken.get(dial), broken.get(listen)
