"""What a fault that a test has provoked has to say."""

from __future__ import annotations

from flowbus import plugins
from flowbus.cli.codes import describe
from flowbus.faults import Fault
from flowbus.testing import Flow

REGISTRY = plugins.installed().faults()


def row_of(code: str, source: str = "", number: int | None = None) -> Fault:
    """Return the entry of ``code``: with the source's name and number, a cause and a next step."""
    fault = REGISTRY[code]
    assert fault.number == number
    assert fault.aliases == ((f"WS_STATUS_{source}",) if source else ())
    assert fault.name
    assert fault.cause
    assert fault.next_step
    explained = describe(fault)
    assert code in explained
    assert source in explained
    return fault


async def provoked(flow: Flow, code: str, source: str = "", number: int | None = None) -> str:
    """Wait until the client says that it was this fault; return the text beside it."""
    row_of(code, source, number)
    status = await flow.wait_code("ws", code)
    assert status.text
    return status.text
