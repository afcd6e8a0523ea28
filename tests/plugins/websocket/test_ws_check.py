"""What ``flowbus check`` says of the options of both nodes, and where."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flowbus import plugins
from flowbus.check import check_file

REGISTRY = plugins.installed()


def problems(folder: Path, options: dict[str, Any], kind: str = "client") -> list[str]:
    """Check a flow whose node has one option a line, from line 7 on."""
    node = json.dumps({"type": f"websocket-{kind}", **options}, indent=0)
    sink = '"sink": {"type": "debug"}'
    text = (
        f'{{\n"flowbus": 1,\n"name": "x",\n"nodes": {{\n"ws": {node},\n{sink}}},\n'
        '"wires": [["ws", "sink"]]}'
    )
    file = folder / "x.json"
    file.write_text(text)
    found = check_file(file, REGISTRY).problems
    return [str(problem).removeprefix(str(file)) for problem in found]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"url": "http://h"}, ":7:8: nodes.ws.url: the scheme is 'http'; a WebSocket has ws:// or wss://"),
        ({"url": "ws://"}, ":7:8: nodes.ws.url: 'ws://' names no host; write ws://HOST:PORT/PATH"),
        ({"url": "ws://h:99999"}, ":7:8: nodes.ws.url: 'ws://h:99999' is no URL: Port out of range 0-65535"),
        ({"url": "ws://h#x"}, ":7:8: nodes.ws.url: a WebSocket URL has no fragment; write # as %23"),
        ({"url": "ws://h", "tls": {}}, ":8:8: nodes.ws.tls: has no use with a ws:// url; write wss:// or leave it out"),
        (
            {"url": "ws://h", "subprotocols": ["a", "b", "a"]},
            ":8:17: nodes.ws.subprotocols: 'a' is there twice; servers refuse that",
        ),
        (
            {"url": "ws://h", "require_subprotocol": True},
            ":8:24: nodes.ws.require_subprotocol: needs subprotocols to offer",
        ),
        (
            {"url": "wss://h", "tls": {"ciphers": "ROT13"}},
            ":9:12: nodes.ws.tls.ciphers: \"ROT13\" names no cipher suite that is known here",
        ),
        ({"url": "ws://h", "keepalive_interval": -1}, ":8:23: nodes.ws.keepalive_interval: must be at least 0, got the number -1"),
    ],
)  # fmt: skip
def test_each_error_points_at_its_option(
    options: dict[str, Any], problem: str, tmp_path: Path
) -> None:
    assert problems(tmp_path, options) == [problem]


def test_a_folder_of_files_has_to_be_there(tmp_path: Path) -> None:
    errors = problems(tmp_path, {"port": 0, "files": "reports"}, "server")
    assert errors[0] == f":8:10: nodes.ws.files: '{tmp_path / 'reports'}' is no folder"
    (tmp_path / "reports").mkdir()
    assert not any("files" in error for error in problems(tmp_path, {"port": 0, "files": "reports"}, "server"))
