"""Send a message where its content says."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from msgspec import Meta

from flowbus import Config, Message, transform
from flowbus_core_nodes.expression import Condition, view_for

_NAME = re.compile(r"[a-z][a-z0-9_-]*")
_TAKEN = ("else", "error", "status")


class Switch(Config):
    """Send each message out of the outlets whose condition it fulfils, else out of `else`."""

    cases: Annotated[
        dict[str, str],
        Meta(
            min_length=1,
            description="One outlet a case: its name and a JSONata condition over `payload`, "
            "`topic`, `headers`, `id`, `time` (ms) and `quality`. They are tried in this order.",
        ),
    ]
    mode: Annotated[
        Literal["first", "all"],
        Meta(description="Send the message out of the first case that holds, or of all that do."),
    ] = "first"

    def __post_init__(self) -> None:
        """Compile every case, so that a bad one is found before the flow runs."""
        for name, condition in self.cases.items():
            if name in _TAKEN:
                raise ValueError(
                    f"case {name!r}: every switch has an outlet of that name; choose another"
                )
            if not _NAME.fullmatch(name):
                raise ValueError(
                    f"case {name!r}: a name begins with a-z and goes on with a-z, 0-9, - and _"
                )
            Condition(condition, f"case {name!r}")


def outlets(config: Switch) -> tuple[str, ...]:
    """Return the outlets of a switch: its cases in order, and ``else``."""
    return (*config.cases, "else")


@transform("switch", outlets=outlets)
class switch:  # noqa: N801 - named like the functions that other node types are
    """Send each message out of the outlets whose condition it fulfils, else out of `else`."""

    def __init__(self, config: Switch) -> None:
        self._cases = [
            (name, Condition(text, f"case {name!r}")) for name, text in config.cases.items()
        ]
        self._all = config.mode == "all"
        self._view = view_for(*config.cases.values())

    def __call__(self, message: Message) -> dict[str, Message]:
        """Return the message under every outlet that it leaves by."""
        seen = self._view(message)
        if self._all:
            found = {name: message for name, case in self._cases if case.holds(seen)}
            return found or {"else": message}
        for name, case in self._cases:
            if case.holds(seen):
                return {name: message}
        return {"else": message}
