"""What check says of the keys of jwt-sign and jwt-verify, and where."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flowbus import plugins
from flowbus.check import check
from flowbus.flowfile import parse
from tests.jwt.material import RSA, jwk, private_pem, public_pem


def problems(tmp_path: Path, kind: str, jwt: str) -> list[str]:
    text = f'{{"flowbus": 1, "nodes": {{\n"in": {{"type": "inject"}},\n"x": {{"type": "{kind}",\n"jwt": {jwt}}}}},\n"wires": [["in", "x"]]}}'
    flow = parse(text.encode(), str(tmp_path / "f"))
    found = check(flow, plugins.installed(), environ={}).problems
    return [
        str(problem).removeprefix(f"{tmp_path}/")
        for problem in found
        if problem.severity == "error"
    ]


PUBLIC_AS_SECRET = json.dumps(public_pem(RSA))


@pytest.mark.parametrize(
    ("kind", "jwt", "expected"),
    [
        ("jwt-verify", '{"algorithm": "RS256",\n  "key": "nowhere.pem"}', "f:5:10: nodes.x.jwt.key: cannot read the file "),
        ("jwt-verify", '{"algorithm": "ES256",\n  "key": "public.pem"}', "f:5:10: nodes.x.jwt.key: ES256 needs an EC key, this is an RSA key"),
        ("jwt-verify", '{"algorithm": "HS256",\n  "key": "public.pem"}', "f:5:10: nodes.x.jwt.key: HS256 needs a secret"),
        ("jwt-verify", '{"algorithm": "HS256",\n  "secret": ' + PUBLIC_AS_SECRET + "}", "f:5:13: nodes.x.jwt.secret: is a PEM, JWK or SSH key, not a secret"),
        ("jwt-verify", '{"algorithm": "HS256",\n  "secret": "${file:public.pem}"}', "f:5:13: nodes.x.jwt.secret: is a PEM, JWK or SSH key, not a secret"),
        ("jwt-verify", '{"algorithm": "HS256",\n  "secret": "short"}', "f:5:13: nodes.x.jwt.secret: HS256 needs 32 bytes"),
        ("jwt-verify", '{"algorithm": "none", "key": "public.pem"}', 'f:4:22: nodes.x.jwt.algorithm: expected "'),
        ("jwt-sign", '{"algorithm": "RS256",\n  "key": "public.pem"}', "f:5:10: nodes.x.jwt.key: is a public key, and signing needs the private one"),
        ("jwt-sign", '{"algorithm": "RS256", "key": "locked.pem",\n "key_password": "wrong"}', "f:5:18: nodes.x.jwt.key_password: does not open the private key"),
        ("jwt-sign", '{"algorithm": "RS256",\n  "key": "locked.pem"}', "f:4:8: nodes.x.jwt.key_password: is missing, and the private key is encrypted"),
        ("jwt-sign", '{"algorithm": "RS256", "key": 5}', "f:4:38: nodes.x.jwt.key: expected a path, PEM or JWK text or an object, got the number 5"),
        ("jwt-sign", '{"algorithm": "RS256"}', "f:4:8: nodes.x.jwt: key, secret: give one of them"),
        ("jwt-sign", "{}", "f:4:8: nodes.x.jwt.algorithm: missing"),
    ],
)  # fmt: skip
def test_check_points_at_the_option(tmp_path: Path, kind: str, jwt: str, expected: str) -> None:
    (tmp_path / "public.pem").write_text(public_pem(RSA))
    (tmp_path / "locked.pem").write_text(private_pem(RSA, "right"))
    (found,) = problems(tmp_path, kind, jwt)
    assert found.startswith(expected)
    assert public_pem(RSA).splitlines()[1] not in found


def test_a_private_key_in_the_file_does_not_show(tmp_path: Path) -> None:
    member = jwk(RSA)["d"]
    for key in (json.dumps(jwk(RSA, use="enc")), json.dumps(private_pem(RSA))):
        found = problems(tmp_path, "jwt-verify", f'{{"algorithm": "ES256", "key": {key}}}')
        assert found
        assert member not in str(found)
        assert private_pem(RSA).splitlines()[3] not in str(found)
