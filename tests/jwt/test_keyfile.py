"""Key files that are replaced while tokens are verified."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flowbus import JWT, Rejected
from flowbus.jwt import Verifier
from tests.jwt.material import NOW, OTHER_RSA, P256, RSA, jwk, peer_token, public_pem


def put(path: Path, content: str) -> None:
    """Replace a file as one should: by renaming."""
    new = path.with_suffix(".new")
    new.write_text(content)
    new.replace(path)


def key_set(**keys: Any) -> str:
    return json.dumps({"keys": [jwk(key.public_key(), kid=kid) for kid, key in keys.items()]})


def refusal(verifier: Verifier, token: str) -> tuple[str, str]:
    with pytest.raises(Rejected) as caught:
        verifier.verify(token, NOW)
    return caught.value.fault.code, caught.value.text


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


OLD = peer_token({"by": "old"}, "RS256", OTHER_RSA, kid="old")
NEW = peer_token({"by": "new"}, "RS256", RSA, kid="new")


def test_a_key_set_is_rotated(path: Path) -> None:
    put(path, key_set(old=OTHER_RSA))
    verifier = JWT(algorithm="RS256", key=str(path)).verifier()
    assert verifier.verify(OLD, NOW)
    assert refusal(verifier, NEW)[0] == "jwt.unknown_key"
    put(path, key_set(old=OTHER_RSA, new=RSA))
    assert verifier.verify(NEW, NOW)
    assert verifier.verify(OLD, NOW)
    put(path, key_set(new=RSA))
    assert verifier.verify(NEW, NOW)
    assert refusal(verifier, OLD) == ("jwt.unknown_key", 'there is no key "old"; there is "new"')


def test_a_key_is_replaced_in_its_place(path: Path) -> None:
    path.write_text(public_pem(OTHER_RSA))
    verifier = JWT(algorithm="RS256", key=str(path)).verifier()
    assert verifier.verify(OLD, NOW)
    path.write_text("\n" + public_pem(RSA))
    assert verifier.verify(NEW, NOW)
    assert refusal(verifier, OLD)[0] == "jwt.bad_signature"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "jwt.key_invalid"),
        (key_set(old=OTHER_RSA)[:-20], "jwt.key_invalid"),
        (public_pem(P256), "jwt.key_mismatch"),
        (None, "jwt.key_not_found"),
    ],
)
def test_a_new_file_that_cannot_be_used_changes_nothing_and_is_told(
    path: Path, content: str | None, why: str
) -> None:
    put(path, key_set(old=OTHER_RSA))
    verifier = JWT(algorithm="RS256", key=str(path)).verifier()
    if content is None:
        path.unlink()
    else:
        put(path, content)
    assert verifier.verify(OLD, NOW)
    for token, code in (
        (NEW, "jwt.unknown_key"),
        (peer_token({}, "RS256", RSA, kid="old"), "jwt.bad_signature"),
    ):
        found, text = refusal(verifier, token)
        assert found == code
        assert text.endswith(f"; the key file is a new one that cannot be used ({why})")
        assert str(path) not in text
    put(path, key_set(new=RSA))
    assert verifier.verify(NEW, NOW)
    assert "cannot be used" not in refusal(verifier, OLD)[1]


def test_a_file_is_read_once_as_long_as_it_stays(path: Path) -> None:
    put(path, key_set(old=OTHER_RSA))
    verifier = JWT(algorithm="RS256", key=str(path)).verifier()
    keys = verifier._file.keys()
    for _ in range(3):
        assert verifier.verify(OLD, NOW)
    assert verifier._file.keys() is keys


def test_keys_without_a_file_stay() -> None:
    verifier = JWT(algorithm="RS256", key=key_set(old=OTHER_RSA)).verifier()
    keys = verifier._file.keys()
    assert verifier.verify(OLD, NOW)
    assert verifier._file.keys() is keys
