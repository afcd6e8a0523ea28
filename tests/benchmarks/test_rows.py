from __future__ import annotations

import json

import pytest

from benchmarks import chains, payload, process, receiver, rows, stats, systems, through
from benchmarks.rows import Row, row

# ---- percentiles


def test_percentile_is_the_nearest_rank():
    values = list(range(1, 101))
    assert stats.percentile(values, 50) == 50
    assert stats.percentile(values, 99) == 99
    assert stats.percentile(values, 100) == 100


def test_percentile_sorts_and_takes_a_value_that_was_there():
    assert stats.percentile([30.0, 10.0, 20.0], 50) == 20.0
    assert stats.percentile([30.0, 10.0], 50) == 10.0
    assert stats.percentile([7.0], 1) == 7.0


@pytest.mark.parametrize(("values", "percent"), [([], 50), ([1.0], 0), ([1.0], 101)])
def test_percentile_refuses_what_has_none(values, percent):
    with pytest.raises(ValueError, match="percentile"):
        stats.percentile(values, percent)


def test_median_of_odd_and_even_counts():
    assert stats.median([3.0, 1.0, 2.0]) == 2.0
    assert stats.median([4.0, 1.0]) == 2.5
    with pytest.raises(ValueError, match="no median"):
        stats.median([])


# ---- what became of the messages


def test_all_arrived_in_order():
    became = stats.account(range(5), 5)
    assert (became.received, became.unique, became.lost, became.wrong) == (5, 5, 0, 0)


def test_lost_messages_are_counted_wherever_they_stood():
    assert stats.account([1, 3], 5).lost == 3


def test_a_duplicate_is_neither_unique_nor_out_of_order():
    became = stats.account([0, 1, 2, 0, 1], 3)
    assert (became.unique, became.duplicate, became.out_of_order, became.lost) == (3, 2, 0, 0)


def test_a_late_first_arrival_is_out_of_order():
    became = stats.account([0, 2, 1, 4, 3], 5)
    assert (became.out_of_order, became.duplicate, became.lost) == (2, 0, 0)
    assert became.wrong == 2


def test_a_number_that_was_never_sent_is_an_error_of_the_measurement():
    with pytest.raises(ValueError, match="message 5 arrived"):
        stats.account([5], 5)


# ---- the ratio


def test_ratio_above_one_means_flowbus_is_better():
    assert row("rate", "msg/s", 200.0, 100.0, "x").ratio == 2.0
    assert row("time", "ms", 1.0, 4.0, "x").ratio == 4.0
    assert row("time", "ms", 4.0, 1.0, "x").ratio == 0.25


@pytest.mark.parametrize(
    ("unit", "ours", "theirs"), [("msg/s", 5.0, None), ("messages", 0, 0), ("msg/s", None, 5.0)]
)
def test_there_is_no_ratio_without_two_figures(unit, ours, theirs):
    assert row("x", unit, ours, theirs, "x").ratio is None


def test_losing_nothing_beside_a_peer_that_loses_is_no_number():
    assert row("lost", "messages", 0, 10, "x").ratio is None


def test_a_unit_of_unknown_direction_is_refused():
    with pytest.raises(ValueError, match="furlongs"):
        row("x", "furlongs", 1.0, 2.0)


def test_figures_have_four_significant_digits():
    made = row("x", "msg/s", 123456.0, 1.23456, "y")
    assert (made.flowbus, made.peer) == (123500, 1.235)


def test_a_row_without_a_peer_names_none():
    assert row("x", "s", 1.5, None, "Node-RED").peer_name == ""


# ---- rows of other modules


def test_a_dict_needs_only_name_unit_and_flowbus():
    made = rows.from_dict({"name": "reads", "unit": "reads/s", "flowbus": 10})
    assert made == Row("reads", "reads/s", 10, None, "", None)


def test_a_ratio_is_always_our_own_arithmetic():
    value = {"name": "t", "unit": "ms", "flowbus": 2, "peer": 6, "peer_name": "p", "ratio": 99}
    assert rows.from_dict(value).ratio == 3.0


# ---- the table and the file


def test_the_table_says_how_to_read_the_ratio():
    text = rows.table([row("a", "msg/s", 1234.0, 617.0, "Node-RED"), row("b", "ms", 0.5)])
    assert text.startswith(rows.HEADER)
    assert "1,234" in text
    assert "2.00" in text
    assert "Node-RED" in text
    assert text.splitlines()[-1].split() == ["b", "ms", "0.5", "–", "–"]


def test_the_files_have_every_row_and_the_machine(tmp_path):
    path = tmp_path / "results" / "latest.json"
    rows.write(path, {"python": "3.11"}, [row("µ", "ms", 1.0, 2.0, "p")], ["quick"])
    about = json.loads(rows.circumstances(path).read_text(encoding="utf-8"))
    assert about["machine"] == {"python": "3.11"}
    assert about["notes"] == ["quick"]
    assert "flowbus is better" in about["header"]
    wanted = {"name": "µ", "unit": "ms", "flowbus": 1, "peer": 2, "peer_name": "p", "ratio": 2.0}
    assert json.loads(path.read_text(encoding="utf-8")) == [wanted]


# ---- the rows of the pipeline


def figures(rate: float, lost: int) -> through.Figures:
    made = through.Figures(
        sustained=[rate], flat_out=[rate], peak_rss=[100.0], cpu_each=[20.0], lost=lost
    )
    for offered in through.RATES:
        made.p50[offered] = [1.0]
        made.p99[offered] = [2.0]
        made.cpu[offered] = [50.0]
    return made


def test_the_pipeline_has_the_same_rows_with_and_without_a_peer():
    alone = through.rows_of(1, [figures(10.0, 0)], ["flowbus"])
    beside = through.rows_of(1, [figures(10.0, 0), figures(5.0, 3)], ["flowbus", "Node-RED"])
    assert [made.name for made in alone] == [made.name for made in beside]
    assert all(made.peer is None for made in alone)
    by_name = {made.name: made for made in beside}
    assert by_name["WebSocket to MQTT QoS 1, sustained"].ratio == 2.0
    assert by_name["WebSocket to MQTT QoS 1, all runs, lost"].peer == 3


def test_a_chain_has_a_row_for_each_kind_of_peer_node_or_one_alone():
    ours = {("pass-through", 5): [10.0, 30.0, 20.0], ("building", 5): [8.0]}
    alone = chains.rows_of(ours, {})
    assert [made.flowbus for made in alone] == [20, 8]
    theirs = {("change nodes", 5): [10.0], ("bare JavaScript nodes", 5): [40.0]}
    beside = chains.rows_of(ours, theirs)
    assert [made.ratio for made in beside] == [2.0, 0.5, None]
    assert beside[0].peer_name == "Node-RED, change nodes"


# ---- messages, frames and what the receiver makes of them


def test_a_message_is_json_of_the_promised_size():
    text = payload.message(7, 1_700_000_000_000_000)
    assert len(text) == payload.SIZE
    value = json.loads(text)
    assert value["cmd"] == "speed"
    assert value["data"]["seq"] == payload.FIRST + 7
    assert value["data"]["t"] == 1_700_000_000_000_000


def test_frames_unmask_to_the_messages():
    due = [1_700_000_000_000_000, 1_700_000_000_000_123]
    chunk = payload.Frames().chunk(5, due)
    size = len(chunk) // 2
    for index, when in enumerate(due):
        frame = chunk[index * size : (index + 1) * size]
        assert frame[:2] == b"\x81\xfe"
        assert int.from_bytes(frame[2:4], "big") == payload.SIZE
        mask = frame[4:8]
        plain = bytes(byte ^ mask[at % 4] for at, byte in enumerate(frame[8:]))
        assert plain == payload.message(5 + index, when)


def test_the_receiver_counts_messages_however_the_reads_are_cut():
    stream = b"".join(b"\x30\x10\x00\x02ab" + _published(number, 10**15) for number in range(20))
    for size in (1, 7, 100, len(stream)):
        counter = receiver.Counter()
        found = sum(counter.take(stream[at : at + size]) for at in range(0, len(stream), size))
        assert found == 20
        assert list(counter.numbers) == list(range(20))


def test_the_receiver_sums_up_loss_and_latency():
    counter = receiver.Counter()
    counter.numbers.extend([0, 1, 3])
    counter.latencies.extend([9000, 1000, 3000])
    seen = counter.summary(4, skip=1)
    assert (seen["lost"], seen["unique"], seen["p50"], seen["p99"]) == (1, 3, 1.0, 3.0)


def test_a_receiver_that_saw_nothing_claims_no_latency():
    seen = receiver.Counter().summary(4, skip=0)
    assert seen["lost"] == 4
    assert "p50" not in seen


def _published(number: int, due: int) -> bytes:
    return json.dumps(json.loads(payload.message(number, due))["data"]).encode()


# ---- when flowbus is ready


def test_ready_is_when_every_named_part_has_been_running():
    ready = systems.all_running("a", "b")
    line = '{"node": "%s", "state": "running", "event": "x"}\n'
    assert not ready(line % "a")
    assert not ready(line % "a" + '{"node": "b", "state": "starting"}\n')
    assert ready(line % "a" + line % "b")


# ---- what a failure says


def test_the_end_of_an_output_says_each_thing_once():
    output = "one\n12:01 full\n12:02 full\n\n12:03 full\ntwo\n"
    assert process.last_lines(output) == "one\n12:01 full\ntwo"
    assert process.last_lines("") == "it wrote nothing"


def test_an_exit_code_and_a_signal_read_differently():
    assert process.ended(3) == "it ended with 3"
    assert process.ended(-11) == "it was ended by SIGSEGV"
