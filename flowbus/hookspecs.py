"""The one hook that a plugin implements."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pluggy

hookspec = pluggy.HookspecMarker("flowbus")
hookimpl = pluggy.HookimplMarker("flowbus")

PARTS = ("nodes", "connections", "faults", "commands")


@hookspec
def flowbus_register() -> Mapping[str, Mapping[str, Any]]:  # type: ignore[empty-body]
    """Return what this plugin has: ``nodes``, ``connections``, ``faults`` and ``commands``.

    Each part maps a name to ``"module:attribute"``, which is imported when a flow first uses it,
    or to the object itself: a node type, a connection type, an iterable of faults, a click command.
    """
