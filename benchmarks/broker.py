"""A mosquitto of the benchmark's own: private port, nothing persisted, no queue limits."""

from __future__ import annotations

import contextlib
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.process import BenchError, Process, free_port, last_lines

CONFIG = """\
listener {port} 127.0.0.1
allow_anonymous true
persistence false
max_queued_messages 0
max_inflight_messages 0
set_tcp_nodelay true
log_type error
"""


@contextlib.contextmanager
def mosquitto(folder: Path) -> Iterator[int]:
    """Run a broker and yield its port. BenchError if it is not installed or does not come up."""
    if shutil.which("mosquitto") is None:
        raise BenchError("mosquitto is not installed: install the package `mosquitto`")
    port = free_port()
    config = folder / "mosquitto.conf"
    config.write_text(CONFIG.format(port=port), encoding="utf-8")
    with Process(["mosquitto", "-c", config], folder / "mosquitto.log") as broker:
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.5):
                break
            time.sleep(0.02)
        else:
            raise BenchError(f"mosquitto did not come up: {last_lines(broker.output)}")
        yield port
