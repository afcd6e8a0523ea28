"""The entries of the fault registry for tokens and their keys, domain ``jwt``."""

from __future__ import annotations

from flowbus.faults import Fault

EXPIRED = Fault(
    "jwt.expired",
    "token expired",
    "The token's time (exp) is over.",
    "Have the sender fetch or sign a fresh token; compare the clocks of both machines, or raise leeway.",
)
TOO_OLD = Fault(
    "jwt.too_old",
    "token too old",
    "The token was issued (iat) longer ago than max_age allows.",
    "Have the sender sign a fresh token for each use, or raise max_age.",
)
NOT_YET_VALID = Fault(
    "jwt.not_yet_valid",
    "token not yet valid",
    "The token is for a later time: its nbf or iat lies in the future.",
    "Compare the clocks of this machine and of the one that signs (NTP), or raise leeway.",
)
BAD_SIGNATURE = Fault(
    "jwt.bad_signature",
    "signature wrong",
    "The token was changed on its way, or signed with another key.",
    "Compare the key of the signer with the one configured here: public key, secret or key set.",
)
WRONG_ALGORITHM = Fault(
    "jwt.wrong_algorithm",
    "algorithm wrong",
    "The token names another algorithm than the one that is configured, or none.",
    "Set algorithm to what the signer is meant to use; if that was right, somebody forged the token.",
)
WRONG_TYPE = Fault(
    "jwt.wrong_type",
    "token of another type",
    "The token's header has another type (typ) than the one that is configured.",
    "Compare typ with what the signer writes; the token may be meant for another purpose.",
)
WRONG_AUDIENCE = Fault(
    "jwt.wrong_audience",
    "token for somebody else",
    "The token's audience (aud) names others, or names some where no audience is configured.",
    "Set audience to a name that the signer gives this receiver, or have it sign for this one.",
)
WRONG_ISSUER = Fault(
    "jwt.wrong_issuer",
    "issuer wrong",
    "The token's issuer (iss) is not the one that is configured.",
    "Compare issuer with what the signer writes, character by character; a slash at the end counts.",
)
WRONG_SUBJECT = Fault(
    "jwt.wrong_subject",
    "subject wrong",
    "The token's subject (sub) is not the one that is configured.",
    "Check that the sender uses a token of its own, and compare subject with what the signer writes.",
)
MISSING_CLAIM = Fault(
    "jwt.missing_claim",
    "claim missing",
    "The token lacks a claim that is asked for here.",
    "Have the signer add the claim that the text names, or ask for less: required, claims, max_age.",
)
WRONG_CLAIM = Fault(
    "jwt.wrong_claim",
    "claim wrong",
    "A claim of the token has another value than the one that is configured, or is no time.",
    "Compare the claim that the text names with what the signer writes.",
)
MALFORMED = Fault(
    "jwt.malformed",
    "no token",
    "What came is not a signed JSON Web Token: three base64url parts of JSON, JSON and signature.",
    "Check what the sender puts in the token's place; nothing may be added, cut off or wrapped.",
)
CRITICAL_HEADER = Fault(
    "jwt.critical_header",
    "header not understood",
    "The token's header demands an extension (crit, b64) that flowbus does not have.",
    "Have the signer leave the extension out; RFC 7515, section 4.1.11, forbids to ignore it.",
)
TOO_LARGE = Fault(
    "jwt.too_large",
    "token too large",
    "The token has more bytes than max_size allows; it was not looked into.",
    "Raise max_size if such tokens are wanted, or have the signer leave claims out.",
)
NO_TOKEN = Fault(
    "jwt.no_token",
    "token missing",
    "There is no token where one is expected.",
    "Check that the sender sends a token, and that the option from names the place where it is.",
)
UNKNOWN_KEY = Fault(
    "jwt.unknown_key",
    "key id unknown",
    "The token names a key (kid) that is not among the configured ones, or none where it must.",
    "Fetch the signer's current key set; after a change of keys it has the old and the new one.",
)
NOT_SIGNABLE = Fault(
    "jwt.not_signable",
    "claims cannot be signed",
    "What should become a token is no JSON object, or holds a value that JSON does not have.",
    "Put a json-decode or a map before the node, that makes an object of what JSON knows.",
)
KEY_NOT_FOUND = Fault(
    "jwt.key_not_found",
    "key file not found",
    "The file that key names does not exist or cannot be read.",
    "Put the key where key says, readable for the user that runs flowbus; paths start at the flow file.",
)
KEY_INVALID = Fault(
    "jwt.key_invalid",
    "key invalid",
    "What key or secret gives is no key that can be used.",
    "Give a PEM, DER, JWK or JWKS; for HS algorithms a secret. The text has what is wrong.",
)
KEY_PASSWORD = Fault(
    "jwt.key_password",
    "password of the key wrong",
    "The private key is encrypted, and key_password is missing or does not open it.",
    "Give the password that the key was encrypted with, for instance from ${file:}.",
)
KEY_MISMATCH = Fault(
    "jwt.key_mismatch",
    "key does not fit",
    "The key is not of the kind that algorithm needs, or is marked for another use.",
    "RS and PS need an RSA key, ES an EC key of its curve, EdDSA an Ed25519 key, HS a secret.",
)
KEY_WEAK = Fault(
    "jwt.key_weak",
    "key too short",
    "The key is shorter than RFC 7518 allows: an HS secret than its hash, RSA than 2048 bits.",
    "Make a longer one, for instance openssl rand -base64 48, and give it to both sides.",
)
LIBRARY_MISSING = Fault(
    "jwt.library_missing",
    "joserfc not installed",
    "Tokens need the Python package joserfc, which is not installed.",
    "Install it into the environment of flowbus: pip install 'flowbus[jwt]'.",
)

FAULTS: tuple[Fault, ...] = (
    EXPIRED, TOO_OLD, NOT_YET_VALID, BAD_SIGNATURE, WRONG_ALGORITHM, WRONG_TYPE, WRONG_AUDIENCE,
    WRONG_ISSUER, WRONG_SUBJECT, MISSING_CLAIM, WRONG_CLAIM, MALFORMED, CRITICAL_HEADER, TOO_LARGE,
    NO_TOKEN, UNKNOWN_KEY, NOT_SIGNABLE, KEY_NOT_FOUND, KEY_INVALID, KEY_PASSWORD, KEY_MISMATCH,
    KEY_WEAK, LIBRARY_MISSING,
)  # fmt: skip
