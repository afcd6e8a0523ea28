"""JSON Web Tokens: the `jwt` object of flow files, and what signs and verifies by it.

Signed tokens in compact form only (RFC 7519, RFC 7515 section 7.1). joserfc, which does the
cryptography, is imported when the first key is loaded.
"""

from flowbus.jwt.options import JWT
from flowbus.jwt.signing import Signer
from flowbus.jwt.verifying import Verifier

__all__ = ["JWT", "Signer", "Verifier"]
