"""``accept: "ask"``: each request goes to the flow, and the flow's answer decides."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from typing import Any

import msgspec
import trio

from flowbus import Message, NodeIO, Rejected
from flowbus_websocket.faults import named
from flowbus_websocket.protocol.handshake import values
from flowbus_websocket.server.accept import check_headers
from flowbus_websocket.server.client import Caller
from flowbus_websocket.server.masking import masked
from flowbus_websocket.welcome import Decision

HEADER = "request"  # names the request that an answer is for


class Answer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the flow says about a request: the payload of a message with ``headers.request``."""

    accept: bool
    status: int = 403
    headers: dict[str, str] = {}
    subprotocol: str | None = None
    reason: str = ""

    def __post_init__(self) -> None:
        if not 300 <= self.status <= 599:
            raise ValueError(f"status: {self.status} does not refuse; 300 to 599 do")
        check_headers("headers", self.headers)


class Question:
    """A request that the flow has not decided about yet."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.decision: Decision | None = None
        self.decided = trio.Event()


class Asking:
    """The requests that wait for the flow, by their ids; ``timeout`` in seconds for each.

    ``shown`` are headers, in lower case, that the flow sees though they look like secrets.
    """

    def __init__(self, io: NodeIO, timeout: float, shown: Collection[str]) -> None:
        self._io = io
        self._timeout = timeout
        self._shown = shown
        self._questions: dict[str, Question] = {}

    async def decide(self, caller: Caller) -> Decision:
        """Return what the flow says; a refusal with 503 where it says nothing in time."""
        name = secrets.token_hex(8)
        question = self._questions[name] = Question(caller)
        try:
            with trio.move_on_after(self._timeout):
                await self._io.send(self._message(name, caller), "request")
                await question.decided.wait()
        finally:
            del self._questions[name]
        if question.decision is not None:
            return question.decision
        text = f"nobody decided about the request within {self._timeout:g} s"
        return Decision(status=503, fault=named("ask_timed_out"), text=text)

    def _message(self, name: str, caller: Caller) -> Message:
        request = caller.request
        payload = {
            "request": name,
            "uri": request.target,
            "host": request.header("host"),
            "origin": request.header("origin"),
            "subprotocols": request.subprotocols,
            "extensions": values(request.headers, "sec-websocket-extensions"),
            "headers": masked(request.headers, self._shown),
            "remote": caller.remote,
            "client_cert": caller.client_cert,
        }
        return Message(payload, headers={HEADER: name, "remote": caller.remote})

    def answer(self, message: Message) -> None:
        """Take the flow's answer; Rejected where it answers nothing that is asked, or is none."""
        name = message.headers.get(HEADER)
        question = self._questions.get(name) if isinstance(name, str) else None
        if question is None or question.decision is not None:
            text = f"no request {name!r} waits for an answer"
            raise Rejected(named("unknown_request"), text)
        question.decision = _decision(_answer_in(message.payload), question.caller)
        question.decided.set()


def _answer_in(payload: Any) -> Answer:
    given = {"accept": payload} if isinstance(payload, bool) else payload
    if not isinstance(given, dict):
        text = f"the answer to a request is true, false or an object, not {type(given).__name__}"
        raise Rejected(named("bad_answer"), text)
    try:
        return msgspec.convert(given, Answer)
    except ValueError as error:
        raise Rejected(named("bad_answer"), f"the answer to a request: {error}") from None


def _decision(answer: Answer, caller: Caller) -> Decision:
    headers = list(answer.headers.items())
    if not answer.accept:
        text = answer.reason or "the flow refuses"
        return Decision(
            status=answer.status, headers=headers, fault=named("request_refused"), text=text
        )
    if answer.subprotocol is not None and answer.subprotocol not in caller.request.subprotocols:
        text = f"the client does not offer the subprotocol {answer.subprotocol!r}"
        raise Rejected(named("bad_answer"), text)
    return Decision(headers=headers, subprotocol=answer.subprotocol)
