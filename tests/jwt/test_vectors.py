"""The example tokens of RFC 7515, appendix A: what everybody has to read alike."""

from __future__ import annotations

from typing import Any

import pytest

from flowbus import JWT, Rejected

PAYLOAD = (
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
)
CLAIMS = {"iss": "joe", "exp": 1300819380, "http://example.com/is_root": True}

#: Appendix: algorithm, header, key, signature.
VECTORS: dict[str, tuple[str, str, Any, str]] = {
    "A.1": (
        "HS256",
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9",
        {
            "kty": "oct",
            "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
        },
        "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
    ),
    "A.3": (
        "ES256",
        "eyJhbGciOiJFUzI1NiJ9",
        {
            "kty": "EC",
            "crv": "P-256",
            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        },
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
    ),
}


@pytest.mark.parametrize("vector", VECTORS)
def test_the_examples_of_the_standard_are_read(vector: str) -> None:
    algorithm, header, key, signature = VECTORS[vector]
    jwt = JWT(algorithm=algorithm, key=key, issuer="joe")  # type: ignore[arg-type]
    token = f"{header}.{PAYLOAD}.{signature}"
    assert jwt.verify(token, CLAIMS["exp"] - 1.0) == CLAIMS
    with pytest.raises(Rejected) as caught:
        jwt.verify(token, CLAIMS["exp"] + 11.0)
    assert caught.value.fault.code == "jwt.expired"


def test_the_unsecured_example_is_refused() -> None:
    """Appendix A.5 of RFC 7515, section 6.1 of RFC 7519."""
    _, _, key, _ = VECTORS["A.1"]
    with pytest.raises(Rejected) as caught:
        JWT(algorithm="HS256", key=key).verify(f"eyJhbGciOiJub25lIn0.{PAYLOAD}.", 0.0)
    assert caught.value.fault.code == "jwt.wrong_algorithm"
