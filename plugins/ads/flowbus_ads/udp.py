"""The datagrams of a simulated router, on the network."""

from __future__ import annotations

import errno
from typing import Final

import trio

from flowbus import Lost
from flowbus_ads import faults
from flowbus_ads.plc.routes import Router

_ROOM: Final = 2048


async def serve_router(
    router: Router, host: str, port: int, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED
) -> None:
    """Answer until cancelled; the started value is the UDP port. Raises Lost."""
    family, kind, protocol, _, address = (
        await trio.socket.getaddrinfo(host, port, type=trio.socket.SOCK_DGRAM)
    )[0]
    with trio.socket.socket(family, kind, protocol) as sock:
        try:
            await sock.bind(address)
        except OSError as error:
            in_use = error.errno == errno.EADDRINUSE
            fault = faults.ADDRESS_IN_USE if in_use else faults.CANNOT_CONNECT
            raise Lost(fault, f"{host}:{port} (UDP): {error.strerror or error}") from error
        task_status.started(sock.getsockname()[1])
        while True:
            try:
                data, sender = await sock.recvfrom(_ROOM)
                answer = router.answer(data)
                if answer is not None:
                    await sock.sendto(answer, sender)
            except OSError:
                continue  # somebody who asked is gone, and the system tells it here
