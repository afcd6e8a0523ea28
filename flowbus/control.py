"""The control socket: JSON lines over a Unix socket, by which a running flow is asked and stopped.

A request is an object with a ``command``; an answer has ``version``, ``ok``, and what was asked for
or an ``error``. One client may ask many times. Nothing a client does, or leaves undone, holds up
the flow: clients, lines and waits are bounded, and a flood of questions is answered from one look.
"""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson
import trio

from flowbus.problem import listed, near, quoted
from flowbus.supervisor import leaves

log = logging.getLogger("flowbus.control")

VERSION = 1
MAX_CLIENTS = 16
BACKLOG = 128  # those who are turned away want to hear it
MAX_LINE = 64 * 1024
MAX_ANSWER = 64 * 1024 * 1024
IDLE = 30.0  # s without a whole request
SLOW_READER = 10.0  # s that an answer may take to be read
FRESH = 0.1  # s for which an answer is given again

#: What a command gives; an answer has that beside ``version`` and ``ok``.
Command = Callable[[], Mapping[str, Any]]


class ControlServer:
    """Answers the clients of a control socket with what ``commands`` give."""

    def __init__(self, commands: Mapping[str, Command]) -> None:
        self._commands = commands
        self._clients = 0
        self._answers: dict[str, tuple[float, bytes]] = {}

    async def serve(
        self, path: Path, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Listen at ``path`` until cancelled; where that fails, say so in the log and return."""
        try:
            with _listen(path) as listener:
                listeners = [trio.SocketListener(trio.socket.from_stdlib_socket(listener))]
                task_status.started()
                await trio.serve_listeners(self.talk, listeners)
        except* OSError as group:
            text = "; ".join(str(error) for error in leaves(group))
            log.warning(
                "no control socket, flowbus status cannot see this flow: %s: %s", path, text
            )

    async def talk(self, stream: trio.abc.Stream) -> None:
        """Serve one client until it leaves, is idle, or sends what is no request."""
        self._clients += 1
        try:
            async with stream:
                if self._clients > MAX_CLIENTS:
                    await _send(
                        stream, _error(f"there are {MAX_CLIENTS} clients already; try again")
                    )
                else:
                    await self._converse(stream)
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError):
            log.debug("a client of the control socket went away")
        except Exception:  # a client must never end the flow
            log.exception("a client of the control socket could not be served")
        finally:
            self._clients -= 1

    async def _converse(self, stream: trio.abc.Stream) -> None:
        lines = _Lines(stream)
        while True:
            line: bytes | None = None
            with trio.move_on_after(IDLE) as patience:
                line = await lines.next()
            if patience.cancelled_caught:
                await _send(stream, _error(f"no request came for {IDLE:g} s"))
            if line is None:
                return
            if len(line) > MAX_LINE:
                await _send(stream, _error(f"a request is longer than {MAX_LINE} bytes"))
                return
            if line.strip():
                await _send(stream, self.answer(line))

    def answer(self, line: bytes) -> bytes:
        """Return the answer to one request, as a line."""
        try:
            request = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            return _error(f"that is no JSON: {error}")
        name = request.get("command") if isinstance(request, dict) else None
        if not isinstance(name, str):
            return _error('a request is an object like {"command": "status"}')
        if name not in self._commands:
            known = listed(self._commands)
            return _error(
                f"unknown command {quoted(name)}{near(name, self._commands)}; known: {known}"
            )
        return self._run(name)

    def _run(self, name: str) -> bytes:
        when, answer = self._answers.get(name, (0.0, b""))
        now = time.monotonic()
        if not answer or now - when > FRESH:
            try:
                answer = _line({"version": VERSION, "ok": True, **self._commands[name]()})
            except Exception as error:
                log.exception("the command %s of the control socket failed", name)
                answer = _error(f"{name} failed: {type(error).__name__}: {error}")
            self._answers[name] = now, answer
        return answer


def _listen(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        path.chmod(0o600)  # nobody gets in before listen()
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


class _Lines:
    """Cuts what a stream sends into lines; one that is too long comes as soon as that is known."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._data = bytearray()

    async def next(self) -> bytes | None:
        """Return the next line, the last one even without its end; None when there is no more."""
        while (end := self._data.find(b"\n")) < 0 and len(self._data) <= MAX_LINE:
            chunk = await self._stream.receive_some(MAX_LINE)
            if not chunk:
                end = len(self._data)
                break
            self._data += chunk
        if not self._data:
            return None
        line = bytes(self._data if end < 0 else self._data[:end])
        del self._data[: len(line) + 1]
        return line


async def _send(stream: trio.abc.Stream, line: bytes) -> None:
    with trio.fail_after(SLOW_READER):
        await stream.send_all(line)


def _error(text: str) -> bytes:
    return _line({"version": VERSION, "ok": False, "error": text})


def _line(value: Mapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(value, default=repr, option=orjson.OPT_NON_STR_KEYS) + b"\n"
    except orjson.JSONEncodeError:  # what a node shows of itself may be no JSON at all
        return json.dumps(value, default=repr, skipkeys=True).encode() + b"\n"


class NoAnswerError(Exception):
    """The process behind a control socket takes connections but gives no proper answer."""


def ask(path: Path, command: str, timeout: float = 5.0) -> dict[str, Any]:
    """Return the answer to ``command``, waiting ``timeout`` seconds at most; needs no event loop.

    Raises OSError where nobody listens at ``path``, NoAnswerError where the answer is late or no
    answer, or says that the command failed.
    """
    deadline = time.monotonic() + timeout
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
        peer.settimeout(timeout)
        try:
            _connect(peer, path, deadline)
            with contextlib.suppress(BrokenPipeError):  # it says why before it hangs up
                peer.sendall(orjson.dumps({"command": command}) + b"\n")
            answer = orjson.loads(_receive_line(peer, deadline))
        except TimeoutError:
            raise NoAnswerError(f"it did not answer within {timeout:g} s") from None
        except ValueError as error:
            raise NoAnswerError(f"its answer is no JSON: {error}") from None
    if not isinstance(answer, dict) or answer.get("version") != VERSION:
        raise NoAnswerError(
            "its answer is of another version; use the same flowbus as the flow does"
        )
    if not answer.get("ok"):
        raise NoAnswerError(str(answer.get("error", "it gave no reason")))
    return answer


def _connect(peer: socket.socket, path: Path, deadline: float) -> None:
    while True:
        try:
            peer.connect(str(path))
        except BlockingIOError:  # too many are waiting to be let in
            if time.monotonic() > deadline:
                raise TimeoutError from None
            time.sleep(0.01)
        else:
            return


def _receive_line(peer: socket.socket, deadline: float) -> bytes:
    data = bytearray()
    while not data.endswith(b"\n") and len(data) < MAX_ANSWER:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        peer.settimeout(left)
        chunk = b""
        with contextlib.suppress(ConnectionResetError):
            chunk = peer.recv(1 << 16)
        if not chunk:
            break
        data += chunk
    return bytes(data)
