"""The worst end of all branches decides, when the last one ends."""

from __future__ import annotations

import gc
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowbus import Outcome
from flowbus.ledger import Ledger, Line
from flowbus.receipt import End, Receipt, join, on_error_branch

ENDS: dict[Outcome, Callable[[Receipt], None]] = {
    Outcome.CONFIRMED: Receipt.confirm,
    Outcome.DROPPED: Receipt.drop,
    Outcome.EXPIRED: lambda receipt: receipt.expire("old"),
    Outcome.REJECTED: lambda receipt: receipt.reject("x.bad", "bad"),
}


def emit(line: Line, told: list[End]) -> Receipt:
    line.emitted += 1
    return Receipt(line, 0, told.append)


@given(st.lists(st.sampled_from(list(Outcome)), min_size=1, max_size=8))
def test_the_worst_branch_decides(outcomes: list[Outcome]) -> None:
    line, told = Line("a"), list[End]()
    receipt = emit(line, told)
    receipt.fork(len(outcomes) - 1)
    for outcome in outcomes:
        assert told == []
        ENDS[outcome](receipt)
    assert [end.outcome for end in told] == [max(outcomes)]
    assert line.ended[max(outcomes)] == 1
    assert line.in_flight == 0


@given(st.lists(st.sampled_from(list(Outcome)), min_size=1, max_size=6))
def test_a_join_ends_all_its_parents_alike(outcomes: list[Outcome]) -> None:
    line, told = Line("a"), list[End]()
    joined = join([emit(line, told) for _ in range(4)])
    joined.fork(len(outcomes) - 1)
    for outcome in outcomes:
        ENDS[outcome](joined)
    assert [end.outcome for end in told] == [max(outcomes)] * 4
    assert line.in_flight == 0


@pytest.mark.parametrize("outcome", list(Outcome))
def test_whatever_ends_the_error_branch_the_message_is_rejected(outcome: Outcome) -> None:
    line, told = Line("a"), list[End]()
    branch = on_error_branch(emit(line, told), "x.bad", "because")
    assert branch.handled
    assert join([branch, emit(line, [])]).handled
    ENDS[outcome](branch)
    assert told == [End(Outcome.REJECTED, "x.bad", "because")]


def test_a_callback_that_fails_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    def fail(end: End) -> None:
        raise ZeroDivisionError

    line = Line("a")
    line.emitted += 1
    Receipt(line, 0, fail).confirm()
    assert line.ended[Outcome.CONFIRMED] == 1
    assert "on_end callback failed" in caplog.text


def test_a_receipt_keeps_no_exception_and_needs_no_collector() -> None:
    gc.collect()
    assert not gc.is_tracked(Receipt(Line("a"), 0))


def test_the_ledger_sums_its_lines() -> None:
    ledger = Ledger()
    emit(ledger.line("a"), []).confirm()
    emit(ledger.line("b"), [])
    told = ledger.as_dict()
    assert (told["emitted"], told["confirmed"], told["in_flight"]) == (2, 1, 1)
    assert set(told["sources"]) == {"a", "b"}
