"""Declaring node types: a transform is a plain function, an I/O node an async function."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from flowbus.config import Config
from flowbus.message import Message

if TYPE_CHECKING:
    from flowbus.nodeio import NodeIO

Result = Message | None | list[Message] | dict[str, Message]
IoFunction = Callable[[Any, "NodeIO"], Awaitable[None]]
OutletNames = tuple[str, ...] | Callable[[Any], tuple[str, ...]]

RESERVED_OUTLETS = ("error", "status")


class NodeType:
    """A kind of node that a flow file can name.

    ``ttl`` is the default time to live in seconds of messages that wait for such a node.
    """

    def __init__(
        self,
        name: str,
        implementation: Callable[..., Any],
        *,
        is_transform: bool,
        outlets: OutletNames = ("out",),
        duplex: bool = False,
        listens: bool = False,
        ttl: float | None = None,
    ) -> None:
        self.name = name
        self.implementation = implementation
        self.is_transform = is_transform
        self.duplex = duplex
        self.listens = listens
        self.ttl = ttl
        self.plugin = ""  # set by whoever registers it
        self.config_type = config_annotation(implementation, name)
        self._outlets = outlets

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return first_line(self.implementation) or first_line(self.config_type)

    @property
    def fixed_outlets(self) -> tuple[str, ...] | None:
        """The outlets where they do not depend on the options, else None."""
        return None if callable(self._outlets) else tuple(self._outlets)

    def outlets(self, config: Config) -> tuple[str, ...]:
        """Return the outlets beside ``error`` and ``status`` of a node with these options."""
        names = tuple(self._outlets(config) if callable(self._outlets) else self._outlets)
        for name in names:
            if name in RESERVED_OUTLETS:
                raise ValueError(f"every node has an outlet {name!r}, a type cannot declare it")
        return names

    def callable(self, config: Config) -> tuple[Callable[..., Result], Config | None]:
        """Return what a transform calls for each message, and the config to pass beside it.

        A class gives a fresh instance, which is called with the message alone.
        """
        if isinstance(self.implementation, type):
            return self.implementation(config), None
        return self.implementation, config

    def __repr__(self) -> str:
        return f"<node type {self.name}>"


def transform(
    name: str, *, outlets: OutletNames = ("out",), ttl: float | None = None
) -> Callable[[Callable[..., Any]], NodeType]:
    """Declare a function ``(message, config) -> result``, or a class with state, as a node type.

    A result is a message, None (drops it), a list (splits it) or a dict of outlet to message. A
    class has ``__init__(config)`` and ``__call__(message)``. Raise :class:`Rejected` for a message
    that cannot be processed.
    """

    def declare(implementation: Callable[..., Any]) -> NodeType:
        return NodeType(name, implementation, is_transform=True, outlets=outlets, ttl=ttl)

    return declare


def io_node(
    name: str,
    *,
    outlets: OutletNames = ("out",),
    duplex: bool = False,
    listens: bool = False,
    ttl: float | None = None,
) -> Callable[[IoFunction], NodeType]:
    """Declare an async function ``(config, io)`` as a node type.

    ``duplex``: what leaves its outlets does not descend from its inbox. ``listens``: others dial
    it, so it starts first.
    """

    def declare(implementation: IoFunction) -> NodeType:
        if not inspect.iscoroutinefunction(implementation):
            raise TypeError(f"io node {name!r}: {implementation!r} is not an async function")
        return NodeType(
            name, implementation, is_transform=False,
            outlets=outlets, duplex=duplex, listens=listens, ttl=ttl,
        )  # fmt: skip

    return declare


def config_annotation(implementation: Callable[..., Any], name: str) -> type[Config]:
    """Return the Config class that ``implementation`` annotates its ``config`` parameter with."""
    function: Any = implementation
    if isinstance(implementation, type):
        function = inspect.getattr_static(implementation, "__init__")
    try:
        annotation = typing.get_type_hints(function).get("config")
    except NameError as error:
        raise TypeError(f"{name!r}: cannot resolve the annotations of {implementation!r}: {error}") from error
    if isinstance(annotation, type) and issubclass(annotation, Config):
        return annotation
    raise TypeError(f"{name!r}: {implementation!r} needs a parameter 'config' annotated with a Config class")


def first_line(documented: object) -> str:
    """Return the first line of an object's own docstring, without its full stop."""
    return (getattr(documented, "__doc__", None) or "").strip().partition("\n")[0].rstrip(".")
