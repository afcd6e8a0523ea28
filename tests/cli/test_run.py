"""``flowbus run`` in this process: how it ends, what it reports, what it says."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.lowlevel

from flowbus.cli import hanging, main, watchlines
from flowbus.cli import run as run_module  # noqa: F401  the command is looked up by name
from flowbus.cli.stopping import Stopping
from flowbus.runtime import Exit, Runtime
from flowbus.storage import StateDirectory, state_path

Captured = pytest.CaptureFixture[str]

COUNTED = {
    "flowbus": 1,
    "name": "demo",
    "nodes": {"in": {"type": "stage-tick", "count": 5, "every": 0}, "out": {"type": "stage-gate"}},
    "wires": [["in", "out"]],
}


def write(**parts: Any) -> str:
    Path("a.json").write_text(json.dumps({**COUNTED, **parts}))
    return "a.json"


def test_it_ends_when_all_sources_have(capsys: Captured) -> None:
    assert main(["run", write(), "--report", "r.json"]) == 0
    report = json.loads(Path("r.json").read_text())
    assert report["flow"] == "demo"
    assert report["ledger"]["confirmed"] == report["ledger"]["emitted"] == 5
    assert report["ledger"]["in_flight"] == 0
    shown = capsys.readouterr()
    assert shown.out == ""
    assert re.search(r"INFO    in           running: ticking\n", shown.err)
    assert shown.err.endswith("ended: every source has ended\n")


def test_for_stops_it(capsys: Captured) -> None:
    nodes = {**COUNTED["nodes"], "in": {"type": "stage-tick"}}  # type: ignore[dict-item]
    assert main(["run", write(nodes=nodes), "--for", "0.1", "--report", "r.json"]) == 0
    assert json.loads(Path("r.json").read_text())["ledger"]["in_flight"] == 0
    assert "stopping: the 0.1 s of --for have passed" in capsys.readouterr().err


def test_the_state_directory_is_free_again_and_has_no_socket() -> None:
    assert main(["run", write(), "--state-dir", "here"]) == 0
    assert [path.name for path in Path("here").iterdir()] == ["lock"]


def test_a_state_directory_in_use_ends_with_75(capsys: Captured, tmp_path: Path) -> None:
    path = state_path("demo", {"XDG_STATE_HOME": str(tmp_path / "state")})
    with StateDirectory.take(path, "demo", {}):
        assert main(["run", write(), "--report", "r.json"]) == 75
    assert "is in use by process" in capsys.readouterr().err
    assert not Path("r.json").exists()


def test_sources_that_all_failed_end_it_with_69(capsys: Captured) -> None:
    nodes = {"in": {"type": "stage-wrong"}, "out": {"type": "stage-gate"}}
    assert main(["run", write(nodes=nodes), "--report", "r.json"]) == 69
    assert "in (stage-wrong): flowbus.config: there is no such line" in capsys.readouterr().err
    assert json.loads(Path("r.json").read_text())["nodes"]["in"]["state"] == "failed"


def test_a_bad_flow_ends_with_78_and_all_its_errors(capsys: Captured) -> None:
    nodes = {"in": {"type": "stage-tik"}, "out": {"type": "stage-gate", "fil": 1}}
    assert main(["run", write(nodes=nodes)]) == 78
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("a.json:1:") for line in lines)
    assert not Path("state").exists()


def test_no_log_means_none(capsys: Captured) -> None:
    assert main(["run", write(), "--log-level", "none"]) == 0
    assert capsys.readouterr() == ("", "")


def test_secrets_stay_out_of_log_and_report(capsys: Captured) -> None:
    Path("secret").write_text("hunter2hunter2\n")
    nodes = {
        "in": {"type": "stage-shout", "secret": "${file:secret}"},
        "out": {"type": "stage-gate"},
    }
    flow = write(nodes=nodes)
    for form in ("console", "json"):
        arguments = [
            "run",
            flow,
            "--for",
            "0.05",
            "--log-format",
            form,
            "--report",
            "r.json",
            "--watch",
        ]
        assert main(arguments) == 0
        shown = capsys.readouterr()
        assert "psst: ***" in shown.err
        assert "cannot log in with ***" in shown.err
        assert "cannot log in with ***" in shown.out
        assert "hunter2" not in shown.out + shown.err + Path("r.json").read_text()


# ---- a bug in flowbus


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run(self: Runtime) -> Exit:
        await trio.lowlevel.checkpoint()
        raise LookupError("hunter2hunter2")

    monkeypatch.setattr(Runtime, "run", run)


@pytest.mark.usefixtures("broken")
def test_a_bug_is_told_in_few_words_and_there_is_a_report(capsys: Captured) -> None:
    assert main(["run", write(), "--report", "r.json"]) == 70
    shown = capsys.readouterr().err
    assert "flowbus: internal error: LookupError: hunter2hunter2 (in " in shown
    assert "Traceback" not in shown
    assert json.loads(Path("r.json").read_text())["flow"] == "demo"


@pytest.mark.usefixtures("broken")
def test_the_traceback_of_a_bug_is_in_the_debug_log_redacted(capsys: Captured) -> None:
    Path("secret").write_text("hunter2hunter2")
    nodes = {
        "in": {"type": "stage-shout", "secret": "${file:secret}"},
        "out": {"type": "stage-gate"},
    }
    assert main(["run", write(nodes=nodes), "--log-level", "debug"]) == 70
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert "LookupError: ***" in shown
    assert "hunter2" not in shown


def test_a_report_that_cannot_be_written_at_the_end_is_an_error(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(report: object, value: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("flowbus.cli.reportfile.ReportFile.write", full)
    assert main(["run", write(), "--report", "r.json"]) == 78
    assert "the report could not be written: " in capsys.readouterr().err


# ---- watching


def test_watch_without_a_terminal_writes_lines(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchlines, "SUMMARY", 0.05)
    nodes = {**COUNTED["nodes"], "in": {"type": "stage-tick"}, "gone": {"type": "stage-lost"}}  # type: ignore[dict-item]
    assert main(["run", write(nodes=nodes), "--for", "0.3", "--watch", "--log-level", "none"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"^\d\d:\d\d:\d\d in running ticking$", shown, re.MULTILINE)
    assert re.search(r" gone waiting stage.0x0745 nobody answers \(next try in ", shown)
    assert re.search(r" demo: 2 running, 1 waiting; [\d.]+ msg/s in, ", shown)


def test_watch_on_a_terminal_without_rich_names_the_extra(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.delitem(sys.modules, "flowbus.cli.watchtable", raising=False)
    for name in [name for name in sys.modules if name.partition(".")[0] == "rich"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "rich", None)
    assert main(["run", write(), "--watch"]) == 78
    assert "pip install 'flowbus[watch]'" in capsys.readouterr().err


def test_the_table_shows_trouble_first_where_there_is_no_room(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("rich")
    from rich.console import Console

    from flowbus.cli import watchtable
    from flowbus.cli.rows import Rates

    drawn: list[str] = []

    async def watch(runtime: Runtime) -> None:
        await runtime.parts.cells["gone"].wait_until(lambda status: status.code == "stage.0x0745")
        console = Console(width=100, color_system=None)
        for height in (40, 6):
            with console.capture() as captured:
                console.print(watchtable.draw(runtime, Rates(), height))
            drawn.append(captured.get())

    monkeypatch.setattr(watchlines, "watch_lines", watch)
    nodes = {**COUNTED["nodes"], "gone": {"type": "stage-lost"}, "in": {"type": "stage-tick"}}  # type: ignore[dict-item]
    assert main(["run", write(nodes=nodes), "--for", "0.3", "--watch"]) == 0
    tall, low = drawn
    assert [line.split()[0] for line in tall.splitlines()[2:]] == ["in", "out", "gone"]
    assert "nobody answers" in tall
    assert [line.split()[0] for line in low.splitlines()[2:]] == ["gone"]
    assert "2 not shown" in low


def test_a_watch_that_breaks_does_not_end_the_flow(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def watch(runtime: Runtime) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(watchlines, "watch_lines", watch)
    assert main(["run", write(), "--watch"]) == 0
    assert "--watch failed; the flow runs on" in capsys.readouterr().err


# ---- stopping


async def test_a_signal_before_the_loop_is_not_lost() -> None:
    done: list[str] = []
    with Stopping(0) as stopping:
        stopping._handle(15, None)
        stopping._handle(2, None)
        stopping.attach(done.append, lambda: done.append("cancel"), lambda number, frame: None)
    assert done == ["SIGTERM", "cancel"]
    assert stopping.signal == 2


async def test_a_third_signal_kills() -> None:
    killed: list[int | None] = []
    asked = trio.Event()
    with trio.fail_after(5), Stopping(0) as stopping:
        stopping.attach(
            lambda why: asked.set(), lambda: None, lambda number, frame: killed.append(number)
        )
        stopping.ask("test")
        stopping.ask("test")
        await asked.wait()
        for number in (15, 15, 15):
            stopping._handle(number, None)
    assert killed == [15]


async def test_tasks_that_hang_are_named_with_their_line() -> None:
    found: list[str] = []

    async def stuck() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            await trio.sleep_forever()

    async def flow(task_status: trio.TaskStatus[trio.lowlevel.Task]) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stuck, name="node drive")
            task_status.started(trio.lowlevel.current_task())

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            task = await nursery.start(flow)
            await trio.testing.wait_all_tasks_blocked()
            found = hanging.hanging(task)
            nursery.cancel_scope.cancel()
    assert found == ["node drive"]


async def test_overdue_means_cancelled_and_still_there(autojump_clock: object) -> None:
    scope, ending = trio.CancelScope(), trio.Event()

    async def flow(task_status: trio.TaskStatus[trio.lowlevel.Task]) -> None:
        task_status.started(trio.lowlevel.current_task())
        with scope, trio.CancelScope(shield=True):
            await trio.sleep(200)

    async with trio.open_nursery() as nursery:
        task = await nursery.start(flow)
        with trio.move_on_after(50) as waiting:
            await hanging.wait_overdue(task, scope, ending, 5)
        assert waiting.cancelled_caught
        for end in (scope.cancel, ending.set):
            end()
            began = trio.current_time()
            await hanging.wait_overdue(task, scope, ending, 5)
            assert 5 <= trio.current_time() - began < 6
        fresh = trio.CancelScope()
        await hanging.wait_overdue(task, fresh, ending, 5)  # the flow says so itself
