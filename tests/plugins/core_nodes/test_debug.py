from __future__ import annotations

import io
import sys
from typing import Any

import pytest
import trio

from flowbus import ConfigError, Message, Outcome, State
from flowbus.testing import run_flow


def debugging(**options: Any) -> dict[str, Any]:
    return {
        "nodes": {"in": {"type": "test-source"}, "dbg": {"type": "debug", **options}},
        "wires": [["in", "dbg"]],
    }


@pytest.mark.parametrize("to", ["stderr", "stdout"])
async def test_each_message_is_a_line_and_is_confirmed(capsys: Any, to: str) -> None:
    with trio.fail_after(10):
        async with run_flow(debugging(to=to)) as flow:
            assert (await flow.put("in", Message({"v": 1}, "a/b"))).outcome is Outcome.CONFIRMED
            assert (await flow.put("in", Message(b"\xff"))).outcome is Outcome.CONFIRMED
    printed = getattr(capsys.readouterr(), to.removeprefix("std")).splitlines()
    assert [line.split(" ", 1)[1] for line in printed] == ['dbg a/b {"v":1}', "dbg \"b'\\\\xff'\""]


async def test_the_whole_message_is_shown_on_request(capsys: Any) -> None:
    with trio.fail_after(10):
        async with run_flow(debugging(show="message")) as flow:
            await flow.put("in", Message(1, "t", {"h": 2}, time=3))
    assert '"topic":"t","headers":{"h":2},"quality":"good","payload":1}' in capsys.readouterr().err


async def test_one_that_is_not_active_confirms_and_prints_nothing(capsys: Any) -> None:
    with trio.fail_after(10):
        async with run_flow(debugging(active=False, limit=1)) as flow:
            for _ in range(3):
                assert (await flow.put("in", Message(1))).outcome is Outcome.CONFIRMED
    assert capsys.readouterr().err == ""


async def test_above_the_limit_messages_are_confirmed_and_counted(
    capsys: Any, mock_clock: trio.testing.MockClock
) -> None:
    async with run_flow(debugging(limit=2)) as flow:
        for number in range(5):
            assert (await flow.put("in", Message(number))).outcome is Outcome.CONFIRMED
        assert [line[-1] for line in capsys.readouterr().err.splitlines()] == ["0", "1"]
        mock_clock.jump(1.0)
        assert (await flow.put("in", Message("next"))).outcome is Outcome.CONFIRMED
        told, following = capsys.readouterr().err.splitlines()
        assert told == "dbg: 3 more not shown, the limit is 2 a second"
        assert following.endswith('dbg "next"')


async def test_what_was_not_shown_is_told_without_another_message(
    monkeypatch: Any, mock_clock: trio.testing.MockClock
) -> None:
    told = trio.Event()
    token = trio.lowlevel.current_trio_token()

    class Stream(io.StringIO):
        def write(self, text: str) -> int:
            if "more not shown" in text:
                token.run_sync_soon(told.set)
            return super().write(text)

    stream = Stream()
    monkeypatch.setattr(sys, "stderr", stream)
    async with run_flow(debugging(limit=1)) as flow:
        for number in range(3):
            await flow.put("in", Message(number))
        mock_clock.jump(1.0)
        await told.wait()
    assert stream.getvalue().splitlines()[1:] == ["dbg: 2 more not shown, the limit is 1 a second"]


class Broken(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError(32, "Broken pipe")


async def test_output_that_breaks_costs_lines_and_no_messages(
    monkeypatch: Any, capsys: Any
) -> None:
    with trio.fail_after(10):
        async with run_flow(debugging(to="stdout")) as flow:
            whole = sys.stdout
            monkeypatch.setattr(sys, "stdout", Broken())
            assert (await flow.put("in", Message(1))).outcome is Outcome.CONFIRMED
            status = flow.status("dbg")
            assert (status.state, status.code) == (State.DEGRADED, "core.output")
            assert "stdout: " in status.text
            assert "Broken pipe" in status.text
            closed = io.StringIO()
            closed.close()
            monkeypatch.setattr(sys, "stdout", closed)
            assert (await flow.put("in", Message(2))).outcome is Outcome.CONFIRMED
            assert flow.status("dbg").state is State.DEGRADED
            monkeypatch.setattr(sys, "stdout", whole)
            assert (await flow.put("in", Message(3))).outcome is Outcome.CONFIRMED
            assert flow.status("dbg").state is State.RUNNING
    assert capsys.readouterr().out.rstrip().endswith("dbg 3")


async def test_a_reader_that_does_not_read_holds_up_nothing_but_this_node(monkeypatch: Any) -> None:
    import threading

    go_on = threading.Event()
    writing = trio.Event()
    token = trio.lowlevel.current_trio_token()

    class Stuck(io.StringIO):
        def write(self, text: str) -> int:
            token.run_sync_soon(writing.set)
            go_on.wait(20)
            return len(text)

    monkeypatch.setattr(sys, "stderr", Stuck())
    try:
        with trio.fail_after(10):
            async with run_flow(debugging()) as flow:
                flow.put_soon("in", Message(1))
                await writing.wait()
                await trio.testing.wait_all_tasks_blocked()
                assert flow.report()["ledger"]["in_flight"] == 1
            # leaving cancels the node although its thread still waits
    finally:
        go_on.set()


async def test_many_messages_keep_their_order(capsys: Any) -> None:
    with trio.fail_after(20):
        async with run_flow(debugging(limit=None)) as flow:
            for number in range(2000):
                flow.put_soon("in", Message(number))
            await flow.put("in", Message("last"))
    printed = [line.rsplit(" ", 1)[1] for line in capsys.readouterr().err.splitlines()]
    assert printed == [*map(str, range(2000)), '"last"']


@pytest.mark.parametrize(
    "options", [{"to": "file"}, {"limit": 0}, {"max_chars": 3}, {"show": "all"}, {"active": 1}]
)
async def test_bad_options_are_refused(options: Any) -> None:
    with pytest.raises(ConfigError):
        async with run_flow(debugging(**options)):
            pass
