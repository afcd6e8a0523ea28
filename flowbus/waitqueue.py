"""Wait queues: where tasks wait until another one wakes them, first come first served."""

from __future__ import annotations

from collections import OrderedDict

from trio.lowlevel import Abort, RaiseCancelT, Task, current_task, reschedule, wait_task_rescheduled


class WaitQueue:
    """What trio's ParkingLot does at a third of its price, and each task says how much it wants.

    The price shows: messages change tasks by it, in the shortest flow once for every fifty. A
    ParkingLot guards itself against KeyboardInterrupt; flowbus takes SIGINT as a request to stop.
    """

    __slots__ = ("_tasks",)

    def __init__(self) -> None:
        self._tasks: OrderedDict[Task, int] = OrderedDict()

    def __len__(self) -> int:
        """How many tasks wait."""
        return len(self._tasks)

    async def wait(self, wanted: int = 0) -> None:
        """Return once woken. Who is cancelled meanwhile has left the queue."""
        task, tasks = current_task(), self._tasks
        tasks[task] = wanted

        def leave(raise_cancel: RaiseCancelT) -> Abort:
            del tasks[task]
            return Abort.SUCCEEDED

        await wait_task_rescheduled(leave)

    def wake(self) -> None:
        """Wake the task that has waited longest, if there is one."""
        if self._tasks:
            reschedule(self._tasks.popitem(last=False)[0])

    def wake_for(self, room: int) -> None:
        """Wake as many, in turn, as it takes to want ``room``; those behind would only wait again."""
        while room > 0 and self._tasks:
            task, wanted = self._tasks.popitem(last=False)
            reschedule(task)
            room -= wanted

    def wake_all(self) -> None:
        """Wake every task."""
        while self._tasks:
            self.wake()
