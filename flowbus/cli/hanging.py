"""Find the tasks that do not end although they were cancelled."""

from __future__ import annotations

from collections.abc import Iterator
from types import FrameType

import trio

NAMED = ("node ", "connection ", "segment ", "ttl ")
POLL = 0.5  # s


async def wait_overdue(
    task: trio.lowlevel.Task, scope: trio.CancelScope, ending: trio.Event, grace: float
) -> None:
    """Return when ``task`` still runs ``grace`` seconds after it was to end.

    That is once it says ``ending``, or ``scope`` around it, or the first nursery in it, was cancelled.
    """
    while not (ending.is_set() or scope.cancel_called or _first_is_cancelled(task)):
        with trio.move_on_after(POLL):
            await ending.wait()
    await trio.sleep(grace)


def _first_is_cancelled(task: trio.lowlevel.Task) -> bool:
    return any(nursery.cancel_scope.cancel_called for nursery in task.child_nurseries[:1])


def hanging(task: trio.lowlevel.Task) -> list[str]:
    """Return what still runs below ``task``: its node or connection, and the line it waits in."""
    return [*dict.fromkeys(_below(task, ""))]


def _below(task: trio.lowlevel.Task, name: str) -> Iterator[str]:
    children = [child for nursery in task.child_nurseries for child in nursery.child_tasks]
    for child in children:
        own = child.name if child.name.startswith(NAMED) else name
        yield from _below(child, own or child.name)
    if not children and name:
        yield f"{name}{_place(task)}"


def _place(task: trio.lowlevel.Task) -> str:
    """Where the task waits: the innermost line that is not trio's own."""
    frames = [(f, line) for f, line in task.iter_await_frames() if not _is_of_trio(f)]
    if not frames:
        return ""
    frame, line = frames[-1]
    return at(frame, line)


def _is_of_trio(frame: FrameType) -> bool:
    module = str(frame.f_globals.get("__name__", ""))
    return module.partition(".")[0] in ("trio", "outcome")


def at(frame: FrameType, line: int | None) -> str:
    """Return where a frame is, for the end of a message."""
    code = frame.f_code
    return f" in {code.co_name} ({code.co_filename}:{line})"
