"""What a run has to tell: the final report, and the same while it runs with more detail."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flowbus.build import Parts
from flowbus.ledger import Line
from flowbus.status import Status
from flowbus.supervisor import describe_error

SECOND = 1e9


def final(parts: Parts, started: str, seconds: float) -> dict[str, Any]:
    """Return the report of ``flowbus run --report``; every text is redacted."""
    return {
        "flow": parts.flow.name,
        "started": started,
        "seconds": seconds,
        "nodes": {name: _node(parts, name) for name in parts.flow.nodes},
        "connections": {name: _connection(parts, name) for name in parts.connections},
        "wires": [
            {"from": spec.start, "to": spec.to, **wire.as_dict()} for spec, wire in parts.wires
        ],
        "ledger": parts.ledger.as_dict(),
    }


def live(parts: Parts, report: dict[str, Any]) -> dict[str, Any]:
    """Return ``report`` with statuses in full and what nodes show of themselves."""
    for name, shown in report["nodes"].items():
        counters = parts.outlets[name].counters
        shown.update(_moment(parts, parts.cells[name].value))
        shown["last"] = counters.last / SECOND
        if name in parts.stages:
            shown["busy"] = counters.busy / SECOND
        elif (io := parts.io_nodes[name].io) is not None:
            shown["details"] = _details(io.shown_details, parts)
    for name, shown in report["connections"].items():
        peer = parts.connections[name]
        shown.update(_moment(parts, peer.cell.value))
        shown["details"] = {} if peer.io is None else _details(peer.io.shown_details, parts)
    return report


def _node(parts: Parts, name: str) -> dict[str, Any]:
    counters = parts.outlets[name].counters
    line = parts.ledger.line(name) if name in parts.io_nodes else Line(name)
    return {
        "type": parts.types[name].name,
        **_words(parts, parts.cells[name].value),
        "restarts": counters.restarts,
        "taken": counters.taken,
        "sent": counters.results + line.emitted,
        "rejected": counters.rejected,
        "faults": dict(counters.faults),
    }


def _connection(parts: Parts, name: str) -> dict[str, Any]:
    peer = parts.connections[name]
    return {
        "type": parts.flow.connections[name].type,
        **_words(parts, peer.cell.value),
        "restarts": peer.counters.restarts,
    }


def _details(snapshot: Callable[[], Mapping[str, Any]], parts: Parts) -> Any:
    try:
        return parts.redactor.redact_tree(dict(snapshot()))
    except Exception as error:  # noqa: BLE001  a plugin's bug must not cost the whole status
        return {"error": describe_error(error)}


def _words(parts: Parts, status: Status) -> dict[str, str]:
    return {
        "state": status.state.value,
        "code": status.code,
        "text": parts.redactor.redact(status.text),
    }


def _moment(parts: Parts, status: Status) -> dict[str, Any]:
    return {**status.as_dict(), **_words(parts, status)}
