"""What the rules say about one client."""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Iterable
from typing import Final

from flowbus_websocket.faults import named
from flowbus_websocket.server.accept import STATUSES, Accept, Refusal
from flowbus_websocket.server.bearer import Bearer
from flowbus_websocket.server.client import Caller
from flowbus_websocket.server.refused import Refused
from flowbus_websocket.welcome import Decision

_PORT: Final = re.compile(r":\d+$")
#: A star does not reach beyond its attribute of a name: CN=panel* is not CN=panel 1,O=Another.
_IN_ATTRIBUTE: Final = r"(?:\\.|[^,+\\])*"
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


class Ruling:
    """Decides by the rules of an option ``accept``; ConfigError where the key of a token is none."""

    def __init__(self, accept: Accept) -> None:
        self._accept = accept
        self._paths = _patterns(accept.paths)
        self._origins = _patterns(accept.origins, re.IGNORECASE)
        self._hosts = _patterns(accept.hosts, re.IGNORECASE)
        self._fingerprints = frozenset(filter(None, map(fingerprint_of, accept.client_certs)))
        subjects = [text for text in accept.client_certs if not fingerprint_of(text)]
        self._subjects = _patterns(subjects, any_text=_IN_ATTRIBUTE)
        self._bearer = None if accept.bearer_jwt is None else Bearer(accept.bearer_jwt.verifier())
        self._rules: tuple[Callable[[Caller], None], ...] = (
            self._host,
            self._path,
            self._origin,
            self._headers,
            self._client_cert,
        )

    def decide(self, caller: Caller) -> Decision:
        """Return what to answer."""
        try:
            for rule in self._rules:
                rule(caller)
            claims = None if self._bearer is None else self._bearer.claims_of(caller)
            subprotocol = self._subprotocol(caller)
        except Refused as refused:
            return self._refusal(refused)
        headers = list(self._accept.response_headers.items())
        return Decision(headers=headers, subprotocol=subprotocol, claims=claims)

    def _refusal(self, refused: Refused) -> Decision:
        instead = self._accept.refusals.get(refused.rule, Refusal())
        headers = {**self._accept.response_headers, **refused.headers, **instead.headers}
        return Decision(
            status=instead.status or STATUSES[refused.rule],
            headers=list(headers.items()),
            fault=refused.fault,
            told=refused.told,
            text=str(refused),
        )

    def _host(self, caller: Caller) -> None:
        host = caller.request.header("host") or ""
        if self._hosts and not _fits(self._hosts, host, _PORT.sub("", host)):
            raise Refused("hosts", named("host_refused"), f"this is not {host}")

    def _path(self, caller: Caller) -> None:
        if self._paths and not _fits(self._paths, caller.request.path):
            raise Refused(
                "paths", named("wrong_path"), f"nothing is served at {caller.request.path}"
            )

    def _origin(self, caller: Caller) -> None:
        origin = caller.request.header("origin") or ""
        if self._origins and not _fits(self._origins, origin):
            shown = f"the origin {origin}" if origin else "a request without an origin"
            raise Refused("origins", named("origin_refused"), f"{shown} is not allowed")

    def _headers(self, caller: Caller) -> None:
        for name, secret in self._accept.require_headers.items():
            value, wanted = caller.request.header(name.lower()), secret.reveal()
            if value is None:
                raise Refused(
                    "require_headers", named("header_refused"), f"the header {name} is missing"
                )
            if wanted != "*" and not _same(value, wanted):
                raise Refused(
                    "require_headers", named("header_refused"), f"the header {name} is wrong"
                )

    def _client_cert(self, caller: Caller) -> None:
        if not self._accept.client_certs:
            return
        certificate, fault = caller.client_cert, named("client_cert_refused")
        if certificate is None:
            raise Refused("client_certs", fault, "a client certificate is needed")
        subject = certificate.get("subject", "")
        known = certificate["sha256"] in self._fingerprints
        if not known and not _fits(self._subjects, subject):
            text = f"the certificate of {subject} is not allowed"
            raise Refused("client_certs", fault, text)

    def _subprotocol(self, caller: Caller) -> str | None:
        offered = caller.request.subprotocols
        chosen = next((name for name in self._accept.subprotocols if name in offered), None)
        if chosen is None and self._accept.require_subprotocol:
            spoken = ", ".join(self._accept.subprotocols)
            raise Refused(
                "subprotocols", named("subprotocol_refused"), f"only {spoken} is spoken here"
            )
        return chosen


def _same(value: str, wanted: str) -> bool:
    """Compare a header with what it has to be, in a time that tells nothing about it."""
    # Any byte of a header was read as Latin-1; beyond ASCII some clients send that, others UTF-8.
    sent = value.encode("latin-1")
    as_latin = hmac.compare_digest(sent, wanted.encode("latin-1", "replace"))
    return hmac.compare_digest(sent, wanted.encode()) or as_latin


def _patterns(
    texts: Iterable[str], flags: re.RegexFlag = re.NOFLAG, *, any_text: str = ".*"
) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(re.escape(text).replace(r"\*", any_text), flags) for text in texts)


def _fits(patterns: Iterable[re.Pattern[str]], *texts: str) -> bool:
    return any(pattern.fullmatch(text) for pattern in patterns for text in texts)


def fingerprint_of(text: str) -> str:
    """Return a SHA-256 fingerprint as lower-case hex, however it is written; empty where it is none."""
    digits = text.lower().removeprefix("sha256:").replace(":", "")
    return digits if _SHA256.fullmatch(digits) else ""
