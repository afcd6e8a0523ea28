"""What the exit code of ``flowbus`` says."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes; those from 69 on have the meaning of the names in ``sysexits.h``."""

    OK = 0
    USAGE = 2
    UNAVAILABLE = 69  # every source failed for good; of status: the flow does not run
    BUG = 70
    IN_USE = 75
    CONFIG = 78
    INTERRUPTED = 130  # a second SIGINT; another command: the first
    TERMINATED = 143  # a second SIGTERM
