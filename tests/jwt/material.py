"""Keys for the tests, and tokens of PyJWT, which shares no code with what it is the peer of."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import jwt as peer
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from flowbus import JWT, Rejected
from flowbus.secrets import Secret

# RFC 9864 only gives EdDSA over Ed25519 a name of its own, which PyJWT does not know yet.
peer.register_algorithm("Ed25519", peer.algorithms.OKPAlgorithm())

NOW = 1_800_000_000.0
SECRET = "a secret of 64 bytes, which is enough for HS512 and all the rest"

RSA = rsa.generate_private_key(65537, 2048)
OTHER_RSA = rsa.generate_private_key(65537, 2048)
P256 = ec.generate_private_key(ec.SECP256R1())
P384 = ec.generate_private_key(ec.SECP384R1())
P521 = ec.generate_private_key(ec.SECP521R1())
ED25519 = ed25519.Ed25519PrivateKey.generate()

KEYS: dict[str, Any] = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), RSA),
    "ES256": P256, "ES384": P384, "ES512": P521, "EdDSA": ED25519, "Ed25519": ED25519,
}  # fmt: skip
HMAC = ("HS256", "HS384", "HS512")
ALGORITHMS = (*HMAC, *KEYS)


def private_pem(key: Any, password: str | None = None, traditional: bool = False) -> str:
    form = serialization.PrivateFormat
    encryption: Any = serialization.NoEncryption()
    if password is not None:
        encryption = serialization.BestAvailableEncryption(password.encode())
    pem: bytes = key.private_bytes(
        serialization.Encoding.PEM,
        form.TraditionalOpenSSL if traditional else form.PKCS8,
        encryption,
    )
    return pem.decode()


def private_der(key: Any, password: str | None = None) -> bytes:
    encryption: Any = serialization.NoEncryption()
    if password is not None:
        encryption = serialization.BestAvailableEncryption(password.encode())
    der: bytes = key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, encryption
    )
    return der


def public_pem(key: Any) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    pem: bytes = key.public_key().public_bytes(serialization.Encoding.PEM, form)
    return pem.decode()


def public_der(key: Any) -> bytes:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    der: bytes = key.public_key().public_bytes(serialization.Encoding.DER, form)
    return der


def jwk(key: Any, **members: Any) -> dict[str, Any]:
    """The JWK of a native key as PyJWT writes it, or of the bytes of a secret."""
    if isinstance(key, bytes):
        return {"kty": "oct", "k": unpadded(key), **members}
    algorithm: Any = peer.algorithms.RSAAlgorithm
    if isinstance(key, ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey):
        algorithm = peer.algorithms.ECAlgorithm
    elif isinstance(key, ed25519.Ed25519PrivateKey | ed25519.Ed25519PublicKey):
        algorithm = peer.algorithms.OKPAlgorithm
    made = json.loads(algorithm.to_jwk(key))
    made.pop("key_ops", None)
    return {**made, **members}


def unpadded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signing(algorithm: str = "HS256", **options: Any) -> JWT:
    """A `jwt` object that signs with the test's key for the algorithm."""
    if algorithm in HMAC:
        return JWT(algorithm=algorithm, secret=Secret(SECRET), **options)  # type: ignore[arg-type]
    return JWT(algorithm=algorithm, key=private_pem(KEYS[algorithm]), **options)  # type: ignore[arg-type]


def verifying(algorithm: str = "HS256", **options: Any) -> JWT:
    """A `jwt` object that verifies, by the public key where there is one."""
    if algorithm in HMAC:
        return signing(algorithm, **options)
    return JWT(algorithm=algorithm, key=public_pem(KEYS[algorithm]), **options)  # type: ignore[arg-type]


def peer_key(algorithm: str) -> Any:
    return SECRET if algorithm in HMAC else KEYS[algorithm]


def peer_token(
    claims: dict[str, Any], algorithm: str = "HS256", key: Any = None, **header: Any
) -> str:
    """A token that PyJWT signs."""
    chosen = peer_key(algorithm) if key is None else key
    return peer.encode(claims, chosen, algorithm, headers=header or None)


def forged(header: Any, claims: Any, signature: bytes = b"", *, key: bytes | None = None) -> str:
    """A token put together by hand; with ``key`` its signature is a right HS256."""
    parts = [
        part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, claims)
    ]
    signed = ".".join(map(unpadded, parts))
    if key is not None:
        signature = hmac.new(key, signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{unpadded(signature)}"


def refusal(jwt: JWT, token: str | bytes, now: float = NOW) -> tuple[str, str]:
    """The code and the text with which a token is refused; neither shows the token."""
    with pytest.raises(Rejected) as caught:
        jwt.verify(token, now)
    text = token.decode(errors="replace") if isinstance(token, bytes) else token
    longest = max(text.split("."), key=len)
    assert len(longest) < 8 or longest not in str(caught.value)
    assert caught.value.fault in JWT.faults()
    return caught.value.fault.code, caught.value.text


def code(jwt: JWT, token: str | bytes, now: float = NOW) -> str:
    return refusal(jwt, token, now)[0]
