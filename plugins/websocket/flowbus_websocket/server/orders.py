"""The commands to a server: what they are called and what they take."""

from __future__ import annotations

from typing import Annotated, Any, Final

from msgspec import Meta

from flowbus import Message, Rejected
from flowbus_websocket.command import Arguments, Close, Ping, arguments_of
from flowbus_websocket.faults import named


class CloseClient(Close, frozen=True):
    """Close clients; ``wait`` for their answer before the connection is taken down."""

    wait: bool = True


class Pause(Arguments, frozen=True):
    """Read nothing from clients until they are resumed."""


class Resume(Arguments, frozen=True):
    """Read from clients again."""


class StartListening(Arguments, frozen=True):
    """Let clients connect."""


class StopListening(Arguments, frozen=True):
    """Let no more clients connect; those who are stay."""


class SetLineMode(Arguments, frozen=True):
    """Take what clients send as lines, or again as messages; without ``max_line`` the option holds."""

    on: bool = True
    max_line: Annotated[int, Meta(ge=1)] | None = None


class Interrupt(Arguments, frozen=True):
    """End the file that is being sent."""


Order = (
    Interrupt | CloseClient | Ping | Pause | Resume | StartListening | StopListening | SetLineMode
)

_ORDERS: Final[dict[str, Any]] = {
    "close": CloseClient,
    "ping": Ping,
    "pause": Pause,
    "resume": Resume,
    "start-listening": StartListening,
    "stop-listening": StopListening,
    "line-mode": SetLineMode,
    "interrupt": Interrupt,
}


def order_of(message: Message) -> Order:
    """Return the command that a message is; Rejected says what is wrong with it."""
    name = message.headers["command"]
    kind = _ORDERS.get(name) if isinstance(name, str) else None
    if kind is None:
        known = ", ".join(_ORDERS)
        raise Rejected(named("bad_command"), f"there is no command {name!r}; known: {known}")
    order: Order = arguments_of(message, kind)
    return order
