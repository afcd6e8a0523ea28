"""Sec-WebSocket-Extensions: its grammar, and what both sides make of permessage-deflate."""

from __future__ import annotations

import pytest
from flowbus_websocket.compression import Compression, compression_of
from flowbus_websocket.protocol.answer import Answering, BadRequest, accept
from flowbus_websocket.protocol.ask import Asking, HandshakeError, Opening
from flowbus_websocket.protocol.extensions import (
    Agreed,
    Extension,
    Offer,
    check_answer,
    choose,
    parse_extensions,
)
from hypothesis import example, given
from hypothesis import strategies as st
from websockets.exceptions import NegotiationError
from websockets.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory,
    ServerPerMessageDeflateFactory,
)

NAME = "permessage-deflate"
KEY = "dGhlIHNhbXBsZSBub25jZQ=="

bits = st.one_of(st.none(), st.integers(8, 15))
offers = st.builds(Offer, st.booleans(), st.booleans(), bits, bits)
terms = st.builds(Agreed, st.booleans(), st.booleans(), st.integers(8, 15), st.integers(8, 15))


def parsed(*lines: str) -> list[Extension]:
    return parse_extensions([("Sec-WebSocket-Extensions", line) for line in lines])


@pytest.mark.parametrize(
    ("lines", "extensions"),
    [
        ([], []),
        ([""], []),
        (["a"], [Extension("a")]),
        (["a, b", "c"], [Extension("a"), Extension("b"), Extension("c")]),
        ([" a ;b= 1 ; c ,, d;e"], [Extension("a", (("b", "1"), ("c", None))), Extension("d", (("e", None),))]),
        (['a; b="10"'], [Extension("a", (("b", "10"),))]),
        (['a; b="\\1\\0"'], [Extension("a", (("b", "10"),))]),
    ],
)  # fmt: skip
def test_the_header_is_understood(lines: list[str], extensions: list[Extension]) -> None:
    assert parsed(*lines) == extensions


@pytest.mark.parametrize(
    "line",
    ["a;", ";a", "a b", "a; b=", "a; =b", "a; b c", 'a; b="', 'a; b="1', 'a; b="x y"', 'a; b=""',
     "a; b==c", "\xe4", "a; b=1=2", 'a; b="\\"', "a\x00"],
)  # fmt: skip
def test_a_malformed_header_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"no element|no(t a)? token"):
        parsed(line)


@given(st.text(alphabet=st.sampled_from('ab;,="\\ \t1'), max_size=30))
@example('a;b="\\')
def test_any_header_is_understood_or_refused(line: str) -> None:
    try:
        extensions = parsed(line)
    except ValueError:
        return
    assert parsed(", ".join(map(str, extensions))) == extensions


@given(offers, terms)
def test_a_server_keeps_to_what_is_offered_and_the_client_takes_it(
    offer: Offer, most: Agreed
) -> None:
    (extension,) = parsed(str(offer.extension()))
    chosen = choose([extension], most)
    assert chosen is not None
    agreed, answer = chosen
    assert agreed.server_max_window_bits <= most.server_max_window_bits
    assert agreed.server_no_context_takeover >= most.server_no_context_takeover
    if offer.client_max_window_bits is not None:
        assert agreed.client_max_window_bits <= most.client_max_window_bits
    taken = check_answer(parsed(str(answer)), [offer])
    # Where the client does by itself what it was not told to do, the server need not know.
    assert taken is not None
    assert taken == agreed


# The library does not compress with a window of 8 bits.
@given(
    offers.filter(lambda offer: offer.client_max_window_bits != 8),
    terms.filter(lambda agreed: agreed.client_max_window_bits != 8),
)
def test_the_websockets_library_agrees_with_our_server(offer: Offer, most: Agreed) -> None:
    factory = ClientPerMessageDeflateFactory(
        server_no_context_takeover=offer.server_no_context_takeover,
        client_no_context_takeover=offer.client_no_context_takeover,
        server_max_window_bits=offer.server_max_window_bits,
        client_max_window_bits=offer.client_max_window_bits,
    )
    chosen = choose([Extension(NAME, tuple(factory.get_request_params()))], most)
    assert chosen is not None
    agreed, answer = chosen
    peer = factory.process_response_params(list(answer.parameters), [])
    assert peer.remote_no_context_takeover == agreed.server_no_context_takeover
    assert peer.local_no_context_takeover == agreed.client_no_context_takeover
    assert peer.remote_max_window_bits == agreed.server_max_window_bits
    assert peer.local_max_window_bits == agreed.client_max_window_bits


@given(offers, terms.filter(lambda agreed: agreed.server_max_window_bits != 8))
def test_the_websockets_library_agrees_with_our_client(offer: Offer, most: Agreed) -> None:
    factory = ServerPerMessageDeflateFactory(
        server_no_context_takeover=most.server_no_context_takeover,
        client_no_context_takeover=most.client_no_context_takeover,
        server_max_window_bits=most.server_max_window_bits,
        client_max_window_bits=most.client_max_window_bits,
    )
    try:
        answer, peer = factory.process_request_params(list(offer.extension().parameters), [])
    except NegotiationError:
        return  # it declines a window of 8 bits of its own
    agreed = check_answer([Extension(NAME, tuple(answer))], [offer])
    assert agreed is not None
    assert peer.local_no_context_takeover == agreed.server_no_context_takeover
    assert peer.local_max_window_bits == agreed.server_max_window_bits
    assert peer.remote_max_window_bits >= agreed.client_max_window_bits
    assert peer.remote_no_context_takeover <= agreed.client_no_context_takeover


@pytest.mark.parametrize(
    "parameters",
    ["unknown", "unknown=1", "server_no_context_takeover=1", "client_no_context_takeover=true",
     "server_max_window_bits", "server_max_window_bits=7", "server_max_window_bits=16",
     "server_max_window_bits=08", "client_max_window_bits=0", "client_max_window_bits=x",
     "client_max_window_bits; client_max_window_bits", "Server_No_Context_Takeover",
     "server_no_context_takeover; server_no_context_takeover"],
)  # fmt: skip
def test_a_wrong_offer_is_declined_and_the_next_one_taken(parameters: str) -> None:
    wrong = f"{NAME}; {parameters}"
    assert choose(parsed(wrong), Agreed()) is None
    chosen = choose(
        parsed(f"x-other, {wrong}, {NAME}; server_max_window_bits=10, {NAME}"), Agreed()
    )
    assert chosen is not None
    assert chosen[0].server_max_window_bits == 10
    assert str(chosen[1]) == f"{NAME}; server_max_window_bits=10"


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (f"{NAME}, {NAME}", "twice"),
        ("x-webkit-deflate-frame", "not offered"),
        (f"{NAME}, other", "not offered"),
        (f"{NAME}; server_max_window_bits=12", "server_no_context_takeover was asked for"),
        (f"{NAME}; server_no_context_takeover", "server_max_window_bits was asked for"),
        (f"{NAME}; server_no_context_takeover; server_max_window_bits=13", "above the 12"),
        (f"{NAME}; server_no_context_takeover; server_max_window_bits=12; client_max_window_bits=12", "above the 11"),
        (f"{NAME}; server_no_context_takeover; server_max_window_bits=12; client_max_window_bits", "no value"),
        (f"{NAME}; unknown", "no valid parameter"),
        (f"{NAME}; server_max_window_bits=99", "no valid parameter"),
        (f"{NAME};", "no element"),
    ],
)  # fmt: skip
def test_an_answer_that_fits_no_offer_fails_the_handshake(answer: str, text: str) -> None:
    offer = Offer(True, False, 12, 11)
    response = _response(answer)
    with pytest.raises(HandshakeError, match=text) as caught:
        _asking((offer,)).receive(response)
    assert caught.value.why == "extension_invalid"


def test_an_answer_to_no_offer_fails_the_handshake_and_none_to_one_is_fine() -> None:
    with pytest.raises(HandshakeError, match="not offered"):
        _asking(()).receive(_response(NAME))
    with pytest.raises(HandshakeError, match="client_max_window_bits was not offered"):
        _asking((Offer(),)).receive(_response(f"{NAME}; client_max_window_bits=10"))
    opened = _asking((Offer(),)).receive(_response(""))
    assert opened is not None
    assert opened.deflate is None


def test_any_of_several_offers_may_be_answered() -> None:
    asking = _asking((Offer(server_max_window_bits=9), Offer(client_max_window_bits=15)))
    assert (
        b"permessage-deflate; server_max_window_bits=9, permessage-deflate; client_max_window_bits\r\n"
        in asking.request_sent
    )
    opened = asking.receive(_response(f"{NAME}; client_max_window_bits=10"))
    assert opened is not None
    assert opened.deflate == Agreed(client_max_window_bits=10)


def test_a_request_with_a_malformed_header_is_refused() -> None:
    with pytest.raises(BadRequest, match="no element"):
        Answering().receive(_request(f"{NAME};"))


@pytest.mark.parametrize(
    ("offer", "answer"),
    [
        # Chromium, Firefox
        (f"{NAME}; client_max_window_bits", f"{NAME}; server_no_context_takeover; server_max_window_bits=11; client_max_window_bits=11"),
        (NAME, f"{NAME}; server_no_context_takeover; server_max_window_bits=11"),
        (f"{NAME}; server_max_window_bits=8; client_max_window_bits=9", f"{NAME}; server_no_context_takeover; server_max_window_bits=8; client_max_window_bits=9"),
    ],
)  # fmt: skip
def test_our_server_wants_small_windows(offer: str, answer: str) -> None:
    compression = compression_of(True)
    assert compression is not None
    request = Answering().receive(_request(offer))
    assert request is not None
    chosen = request.deflate(compression.terms())
    assert chosen is not None
    assert f"\r\nSec-WebSocket-Extensions: {answer}\r\n".encode() in accept(
        request, extension=chosen[1]
    )


def test_what_the_option_means() -> None:
    assert compression_of(False) is None
    assert compression_of(True) == Compression()
    assert str(Compression().offer().extension()) == f"{NAME}; client_max_window_bits"
    own = Compression(client_max_window_bits=9, server_no_context_takeover=True, mem_level=2)
    assert (
        str(own.offer().extension())
        == f"{NAME}; server_no_context_takeover; client_max_window_bits=9"
    )
    assert Compression().terms().server_no_context_takeover
    assert not Compression(server_no_context_takeover=False).terms().server_no_context_takeover
    agreed = Agreed(True, False, 10, 9)
    assert own.deflater(agreed, is_client=True).window_bits == 9
    assert own.deflater(agreed, is_client=True).takeover
    assert own.deflater(agreed, is_client=False).window_bits == 10
    assert not own.deflater(agreed, is_client=False).takeover


class _Asked(Asking):
    request_sent = b""


def _asking(offered: tuple[Offer, ...]) -> _Asked:
    asking = _Asked(Opening("h", "/", KEY, offers=offered))
    asking.request_sent = asking.request()
    return asking


def _response(extensions: str) -> bytes:
    request = Answering().receive(Asking(Opening("h", "/", KEY)).request())
    assert request is not None
    return accept(request, None, [("Sec-WebSocket-Extensions", extensions)] if extensions else None)


def _request(extensions: str) -> bytes:
    headers = (("Sec-WebSocket-Extensions", extensions),)
    return Asking(Opening("h", "/", KEY, headers=headers)).request()
