from __future__ import annotations

from flowbus_core_nodes.faults import FAULTS


def test_every_fault_says_what_a_technician_needs() -> None:
    assert len({fault.code for fault in FAULTS}) == len(FAULTS)
    for fault in FAULTS:
        assert fault.code.startswith("core.")
        assert fault.name
        assert fault.cause.endswith(".")
        assert fault.next_step.endswith(".")
        assert not fault.temporary
