"""From PEM, DER, JWK and secrets to keys of joserfc, each failure with its reason.

The only module that touches joserfc's keys; import it once joserfc is known to be there.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509 import load_der_x509_certificate, load_pem_x509_certificate
from joserfc.errors import JoseError
from joserfc.jwa import JWSAlgModel
from joserfc.jwk import ECKey, JWKRegistry, OctKey, OKPKey, RSAKey

from flowbus.errors import ConfigError
from flowbus.jwt.faults import KEY_MISMATCH, KEY_PASSWORD
from flowbus.jwt.keys import Operation, UnfitError
from flowbus.problem import quoted
from flowbus.secrets import Secret, is_inline_key

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.+?-----END \1-----", re.DOTALL)
_OPENSSH = ("ssh-", "ecdsa-sha2-", "sk-")

#: joserfc's class for each native type.
_CLASSES: tuple[tuple[Any, Any], ...] = (
    ((rsa.RSAPrivateKey, rsa.RSAPublicKey), RSAKey),
    ((ec.EllipticCurvePrivateKey, ec.EllipticCurvePublicKey), ECKey),
    ((ed25519.Ed25519PrivateKey, ed25519.Ed25519PublicKey), OKPKey),
    ((ed448.Ed448PrivateKey, ed448.Ed448PublicKey), OKPKey),
)
_CURVES = ("secp256r1", "secp384r1", "secp521r1", "secp256k1")

#: What joserfc and cryptography raise for a key that is damaged or unusual; KeyError is an unknown
#: curve of joserfc, AttributeError a member of another JSON type.
_DAMAGED = (
    JoseError, ValueError, TypeError, KeyError, AttributeError, OverflowError, UnsupportedAlgorithm,
)  # fmt: skip

_NEEDS = {
    "oct": "a secret (option secret, or a JWK of type oct)",
    "RSA": "an RSA key",
    "EC": "an EC key",
    "OKP": "an Ed25519 key",
}
_HAS = {"oct": "a secret", "RSA": "an RSA key", "EC": "an EC key", "OKP": "a key of type OKP"}


def key_of_secret(secret: str) -> Any:
    """Return the HMAC key of a text, its UTF-8 bytes; UnfitError for a key of another kind.

    Who takes a public key for a secret lets everybody sign who has the public key.
    """
    if is_inline_key(secret) or secret.lstrip().startswith(_OPENSSH):
        raise UnfitError(
            "is a PEM, JWK or SSH key, not a secret; give it as key, with the algorithm of its kind",
            KEY_MISMATCH,
        )
    try:
        return OctKey.import_key(secret.encode("utf-8", "surrogatepass"))
    except _DAMAGED as error:
        raise UnfitError(f"cannot be used: {_reason(error)}") from None


def key_of_jwk(value: Any) -> Any:
    """Return the key of a JWK (RFC 7517); UnfitError says what is wrong with it."""
    if not isinstance(value, dict):
        raise UnfitError("a key of the set is no JSON object")
    if not isinstance(value.get("kty"), str):
        raise UnfitError("is JSON without kty, so neither a JWK nor a JWKS")
    try:
        key = JWKRegistry.import_key(value)
        key.dict_value  # noqa: B018 - makes joserfc look at kid, use and key_ops too
    except _DAMAGED as error:
        raise UnfitError(f"is a JWK that cannot be used: {_reason(error)}") from None
    return key


def key_of_bytes(data: bytes, password: Secret | None) -> Any:
    """Return the key of a PEM or DER file: private or public, or that of a certificate."""
    native = _native(data, password)
    found = next((cls for types, cls in _CLASSES if isinstance(native, types)), None)
    if found is None:
        raise UnfitError("is no RSA, EC or Ed25519 key", KEY_MISMATCH)
    if found is ECKey and native.curve.name not in _CURVES:
        raise UnfitError(f"is an EC key of the curve {native.curve.name}", KEY_MISMATCH)
    return found.import_key(native)


def _native(data: bytes, password: Secret | None) -> Any:
    blocks: dict[bytes, bytes] = {}
    for match in _BLOCK.finditer(data):
        blocks.setdefault(match[1], match[0])  # the first of each kind counts
    private = next((pem for label, pem in blocks.items() if label.endswith(b"PRIVATE KEY")), None)
    public = next((pem for label, pem in blocks.items() if label.endswith(b"PUBLIC KEY")), None)
    is_pem = b"-----BEGIN " in data
    try:
        if private is not None:
            return _private(private, password)
        if password is not None and is_pem:
            raise _password_error("is given, and key holds no private key; leave it out")
        if public is not None:
            return serialization.load_pem_public_key(public)
        if b"CERTIFICATE" in blocks:
            return load_pem_x509_certificate(blocks[b"CERTIFICATE"]).public_key()
        if data[:1] == b"\x30":
            return _der(data, password)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UnfitError(f"cannot be used: {_reason(error)}") from None
    raise UnfitError("is neither a PEM, DER nor JSON key (JWK, JWKS)")


def _private(pem: bytes, password: Secret | None) -> Any:
    openssh = b"OPENSSH" in pem
    load = serialization.load_ssh_private_key if openssh else serialization.load_pem_private_key
    return _unlocked(load, pem, password)


def _der(data: bytes, password: Secret | None) -> Any:
    """Load DER, which does not say what it holds; a password is only for a private key."""
    public: tuple[Callable[[bytes], Any], ...] = (serialization.load_der_public_key, _certified)
    for load in public if password is None else ():
        try:
            return load(data)
        except (ValueError, UnsupportedAlgorithm):
            continue
    return _unlocked(serialization.load_der_private_key, data, password)


def _certified(data: bytes) -> Any:
    return load_der_x509_certificate(data).public_key()


def _unlocked(load: Any, data: bytes, password: Secret | None) -> Any:
    """Load a private key; ConfigError at key_password where that is missing, wrong or idle."""
    word = None if password is None else password.reveal().encode("utf-8", "surrogatepass")
    try:
        return load(data, word)
    except TypeError:  # cryptography's way to say: encrypted and no password, or the reverse
        text = (
            "is missing, and the private key is encrypted"
            if word is None
            else "is given, and the private key is not encrypted; leave it out"
        )
        raise _password_error(text) from None
    except ValueError:
        if word is not None and _is_encrypted(load, data):
            raise _password_error("does not open the private key") from None
        raise


def _is_encrypted(load: Any, data: bytes) -> bool:
    """Tell whether a private key wants a password.

    One in 256 wrong passwords makes something of it that looks decrypted: the error says nothing of it then.
    """
    try:
        load(data, None)
    except TypeError:
        return True
    except (ValueError, UnsupportedAlgorithm):
        pass
    return False


def _password_error(text: str) -> ConfigError:
    return ConfigError(text, option="key_password", fault=KEY_PASSWORD)


def why_unfit(key: Any, algorithm: JWSAlgModel, operation: Operation) -> str:
    """Return why ``key`` must not be used so, empty where it may."""
    name = algorithm.name
    if key.key_type != algorithm.key_type:
        return f"{name} needs {_NEEDS[algorithm.key_type]}, this is {_HAS[key.key_type]}"
    if key.key_type == "OKP" and key.curve_name not in ("Ed25519", "Ed448"):
        return f"{name} needs {_NEEDS['OKP']}, this is a key for key exchange ({key.curve_name})"
    if key.alg not in (None, name):
        return f"its alg is {quoted(key.alg)}, and algorithm says {name}"
    try:
        algorithm.check_key(key)
    except JoseError as error:
        return f"does not go with {name}: {_reason(error)}"
    if operation == "sign" and not key.is_private:
        return "is a public key, and signing needs the private one"
    try:
        key.check_key_op(operation)
    except JoseError:
        return f"its key_ops do not allow to {operation}"
    return ""


def _reason(error: BaseException) -> str:
    """Return a reason on one line; never one that may quote the key."""
    if isinstance(error, KeyError):
        return "its curve is unknown"
    text = " ".join((getattr(error, "description", "") or str(error)).split())[:120]
    return "".join(ch if ch.isprintable() else "?" for ch in text) or type(error).__name__
