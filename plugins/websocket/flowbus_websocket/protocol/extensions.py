"""Extensions in the opening handshake: the header, and permessage-deflate's part of it.

Sources: RFC 6455, section 9.1 (the header); RFC 7692, section 7.1 (the parameters).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from flowbus_websocket.protocol.handshake import TOKEN, Headers, values

PERMESSAGE_DEFLATE: Final = "permessage-deflate"
MIN_WINDOW_BITS: Final = 8
MAX_WINDOW_BITS: Final = 15

_EXTENSION: Final = re.compile(TOKEN)
_PARAMETER: Final = re.compile(rf'({TOKEN})(?:[ \t]*=[ \t]*({TOKEN}|"(?:[^"\\]|\\.)+"))?')
_QUOTED_PAIR: Final = re.compile(r"\\(.)")
_BITS: Final = re.compile(r"[89]|1[0-5]")

_FLAGS: Final = ("server_no_context_takeover", "client_no_context_takeover")
_WINDOWS: Final = ("server_max_window_bits", "client_max_window_bits")


class Extension(NamedTuple):
    """One element of Sec-WebSocket-Extensions; a parameter without a value has None."""

    name: str
    parameters: tuple[tuple[str, str | None], ...] = ()

    def __str__(self) -> str:
        parts = [name if value is None else f"{name}={value}" for name, value in self.parameters]
        return "; ".join([self.name, *parts])


class Offer(NamedTuple):
    """What a client asks for with permessage-deflate.

    Without ``server_max_window_bits`` it takes any window of the server; without
    ``client_max_window_bits`` its own window cannot be limited.
    """

    server_no_context_takeover: bool = False
    client_no_context_takeover: bool = False
    server_max_window_bits: int | None = None
    client_max_window_bits: int | None = None

    def extension(self) -> Extension:
        """Return the element of the header that makes this offer."""
        # A client window of 15 bits is no limit: that is the parameter without a value.
        whole = self.client_max_window_bits == MAX_WINDOW_BITS
        return _extension(self, valueless="client_max_window_bits" if whole else "")


class Agreed(NamedTuple):
    """What client and server compress with; the windows are 2 to the power of so many bytes."""

    server_no_context_takeover: bool = False
    client_no_context_takeover: bool = False
    server_max_window_bits: int = MAX_WINDOW_BITS
    client_max_window_bits: int = MAX_WINDOW_BITS


def parse_extensions(headers: Headers) -> list[Extension]:
    """Return what the headers name, in their order; ValueError where one is malformed."""
    # A quoted value must be a token too, so that no comma or semicolon can stand in one.
    return [_parse(element) for element in values(headers, "sec-websocket-extensions")]


def choose(extensions: Iterable[Extension], terms: Agreed) -> tuple[Agreed, Extension] | None:
    """Return what a server agrees to, and its answer; None where it declines all offers.

    ``terms`` are what the server wants at most: windows no larger, no context takeover where it
    says so. The first offer that is in order is taken.
    """
    for extension in extensions:
        if extension.name == PERMESSAGE_DEFLATE:
            try:
                return _accept(_offer(extension), terms)
            except ValueError:
                continue
    return None


def check_answer(extensions: list[Extension], offers: Iterable[Offer]) -> Agreed | None:
    """Return what the server has agreed to; ValueError where that fits no offer of the client."""
    if not extensions:
        return None
    offers = list(offers)
    if not offers or any(extension.name != PERMESSAGE_DEFLATE for extension in extensions):
        names = ", ".join(extension.name for extension in extensions)
        raise ValueError(f"the server uses {names}, which was not offered")
    if len(extensions) > 1:
        raise ValueError(f"the server uses {PERMESSAGE_DEFLATE} twice")
    flaws = []
    try:
        answer = _offer(extensions[0])
        for offer in offers:
            if not (flaw := _flaw(answer, offer, extensions[0])):
                return _agreed(answer, offer)
            flaws.append(flaw)
    except ValueError as error:
        flaws.append(str(error))
    raise ValueError(f"the server answered {extensions[0]}: {flaws[0]}")


def _parse(element: str) -> Extension:
    name, *rest = (part.strip() for part in element.split(";"))
    found = [_PARAMETER.fullmatch(part) for part in rest]
    if _EXTENSION.fullmatch(name) is None or None in found:
        raise ValueError(f"{element!r} is no element of Sec-WebSocket-Extensions")
    return Extension(name, tuple((m[1], _unquoted(m[2])) for m in found if m))


def _unquoted(value: str | None) -> str | None:
    if value is None or not value.startswith('"'):
        return value
    plain = _QUOTED_PAIR.sub(r"\1", value[1:-1])
    if _EXTENSION.fullmatch(plain) is None:
        raise ValueError(f"the quoted {value} is not a token of HTTP")
    return plain


def _offer(extension: Extension) -> Offer:
    """Return the parameters of an offer or an answer; ValueError where one is wrong."""
    found: dict[str, int] = {}
    for name, value in extension.parameters:
        if name in found:
            raise ValueError(f"the parameter {name} is given twice")
        found[name] = _value(name, value)
    return Offer(**found)  # type: ignore[arg-type]  # a flag is 1, which is True


def _value(name: str, value: str | None) -> int:
    if name in _FLAGS and value is None:
        return True
    if name == "client_max_window_bits" and value is None:
        return MAX_WINDOW_BITS
    if name in _WINDOWS and value is not None and _BITS.fullmatch(value):
        return int(value)
    raise ValueError(f"{name}{'' if value is None else f'={value}'} is no valid parameter")


def _accept(offer: Offer, terms: Agreed) -> tuple[Agreed, Extension]:
    server_bits = min(terms.server_max_window_bits, offer.server_max_window_bits or MAX_WINDOW_BITS)
    client_bits = None
    if offer.client_max_window_bits is not None:
        client_bits = min(terms.client_max_window_bits, offer.client_max_window_bits)
    answer = Offer(
        offer.server_no_context_takeover or terms.server_no_context_takeover,
        offer.client_no_context_takeover or terms.client_no_context_takeover,
        server_bits if offer.server_max_window_bits or server_bits < MAX_WINDOW_BITS else None,
        client_bits,
    )
    return _agreed(answer, answer), _extension(answer)


def _flaw(answer: Offer, offer: Offer, extension: Extension) -> str:
    """Say what makes an answer none to this offer (RFC 7692, sections 7.1.1 and 7.1.2)."""
    if offer.server_no_context_takeover and not answer.server_no_context_takeover:
        return "server_no_context_takeover was asked for and is missing"
    if offer.server_max_window_bits:
        if answer.server_max_window_bits is None:
            return "server_max_window_bits was asked for and is missing"
        if answer.server_max_window_bits > offer.server_max_window_bits:
            return f"server_max_window_bits is above the {offer.server_max_window_bits} asked for"
    if answer.client_max_window_bits is not None:
        if offer.client_max_window_bits is None:
            return "client_max_window_bits was not offered"
        if ("client_max_window_bits", None) in extension.parameters:
            return "client_max_window_bits has no value"
        if answer.client_max_window_bits > offer.client_max_window_bits:
            return f"client_max_window_bits is above the {offer.client_max_window_bits} offered"
    return ""


def _agreed(answer: Offer, offer: Offer) -> Agreed:
    """Return what holds after ``answer``; a client keeps to what it offered of its own accord."""
    return Agreed(
        answer.server_no_context_takeover,
        answer.client_no_context_takeover or offer.client_no_context_takeover,
        answer.server_max_window_bits or MAX_WINDOW_BITS,
        min(
            answer.client_max_window_bits or MAX_WINDOW_BITS,
            offer.client_max_window_bits or MAX_WINDOW_BITS,
        ),
    )


def _extension(offer: Offer, valueless: str = "") -> Extension:
    parameters: list[tuple[str, str | None]] = []
    for name, value in zip(offer._fields, offer, strict=True):
        if value is True or name == valueless:
            parameters.append((name, None))
        elif value:
            parameters.append((name, str(value)))
    return Extension(PERMESSAGE_DEFLATE, tuple(parameters))
