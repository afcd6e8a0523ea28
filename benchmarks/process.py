"""Processes that a benchmark starts: their output, memory, CPU time, and their certain end."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

TICK = 1 / os.sysconf("SC_CLK_TCK")
POLL = 0.005  # s


class BenchError(Exception):
    """A benchmark cannot go on; the text says why, with the end of what the process wrote."""


def free_port() -> int:
    """Return a TCP port on loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def ended(code: int) -> str:
    """Return an exit code, or the signal that ended a process, as text."""
    return f"it was ended by {signal.Signals(-code).name}" if code < 0 else f"it ended with {code}"


def last_lines(output: str, count: int = 8) -> str:
    """Return the last lines that are not empty; of equal ones in a row, but for the time, only one."""
    kept: list[str] = []
    for line in output.splitlines():
        if line.strip() and (not kept or _words(line) != _words(kept[-1])):
            kept.append(line.strip())
    return "\n".join(kept[-count:]) or "it wrote nothing"


def _words(line: str) -> str:
    return "".join(letter for letter in line if not letter.isdigit())


class Process:
    """A child process in a process group of its own, which is ended with the ``with`` block."""

    def __init__(
        self,
        args: Sequence[str | Path],
        log: Path,
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        """Start ``args``; what it writes to stdout and stderr goes to the file ``log``."""
        self.log = log
        self.started = time.monotonic()
        with log.open("wb") as out:
            self._popen = subprocess.Popen(
                args, stdin=subprocess.PIPE, stdout=out, stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})}, cwd=cwd, start_new_session=True,
            )  # fmt: skip
        self.pid = self._popen.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def output(self) -> str:
        """What it has written so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def wait_for(self, ready: Callable[[str], bool], timeout: float = 20.0) -> float:
        """Return the seconds from its start until its output satisfied ``ready``."""
        deadline = time.monotonic() + timeout
        size = -1
        while time.monotonic() < deadline:
            now = self.log.stat().st_size
            if now != size:
                size = now
                if ready(self.output):
                    return time.monotonic() - self.started
            if self._popen.poll() is not None:
                raise BenchError(f"{ended(self._popen.returncode)}: {last_lines(self.output)}")
            time.sleep(POLL)
        raise BenchError(f"not ready within {timeout:g} s: {last_lines(self.output)}")

    def wait(self, timeout: float) -> int:
        """Wait for its end and return the exit code; BenchError if it takes longer."""
        try:
            return self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            text = f"still running after {timeout:g} s: {last_lines(self.output)}"
            raise BenchError(text) from None

    def close_stdin(self) -> None:
        """Tell a child that reads its standard input that it may end."""
        if self._popen.stdin is not None:
            with contextlib.suppress(OSError):
                self._popen.stdin.close()

    def stop(self, timeout: float = 5.0) -> None:
        """End it with SIGTERM, after ``timeout`` with SIGKILL, and whatever its group still holds."""
        self.close_stdin()
        if self._popen.poll() is None:
            self._popen.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(timeout)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._popen.wait()

    # ---- what it uses, with its descendants

    def rss(self) -> float:
        """Return the resident memory of the process tree now, in MB (2^20 bytes)."""
        return sum(_status_kb(pid, "VmRSS") for pid in tree(self.pid)) / 1024

    def peak_rss(self) -> float:
        """Return the largest resident memory so far, in MB, summed over the tree."""
        return sum(_status_kb(pid, "VmHWM") for pid in tree(self.pid)) / 1024

    def cpu(self) -> float:
        """Return the CPU seconds (user and system) that the process tree has used."""
        return sum(_cpu_seconds(pid) for pid in tree(self.pid))

    def cpu_percent(self, seconds: float) -> float:
        """Watch it for ``seconds`` and return its load in percent of one core."""
        cpu, began = self.cpu(), time.monotonic()
        time.sleep(seconds)
        return 100 * (self.cpu() - cpu) / (time.monotonic() - began)


def tree(root: int) -> Iterator[int]:
    """Yield ``root`` and the process ids of all its descendants that still live."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                parents[int(entry.name)] = int(_stat(int(entry.name))[1])
    wanted = [root]
    while wanted:
        pid = wanted.pop()
        yield pid
        wanted += [child for child, parent in parents.items() if parent == pid]


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the state on (proc(5): field 3)."""
    text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    return text.rpartition(")")[2].split()


def _status_kb(pid: int, field: str) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1])
    return 0


def _cpu_seconds(pid: int) -> float:
    try:
        # Nanoseconds on the CPU, a thread a file; finer than the clock ticks of /proc/PID/stat.
        threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
        spent = [int(path.read_text(encoding="utf-8").split()[0]) for path in threads]
        if spent:
            return sum(spent) / 1e9
        fields = _stat(pid)
        return (int(fields[11]) + int(fields[12])) * TICK  # utime and stime
    except OSError:  # it has ended meanwhile
        return 0.0
