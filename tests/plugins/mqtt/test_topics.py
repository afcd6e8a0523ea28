from __future__ import annotations

import pytest
from flowbus_mqtt.protocol.topics import (
    TopicError,
    encode_filter,
    encode_topic,
    matches,
    split_share,
)
from flowbus_mqtt.protocol.topictree import TopicTree
from hypothesis import given
from hypothesis import strategies as st

LEVEL = st.sampled_from(["a", "b", "", "$x"])
TOPIC = st.lists(LEVEL, min_size=1, max_size=4).map("/".join).filter(bool)
FILTER = (
    st.tuples(
        st.lists(st.sampled_from(["a", "b", "", "+", "$x"]), min_size=0, max_size=4),
        st.sampled_from([[], ["#"]]),
    )
    .map(lambda parts: "/".join(parts[0] + parts[1]))
    .filter(bool)
)


@pytest.mark.parametrize(
    ("topic", "why"),
    [("", "empty"), ("a/#", "wildcard"), ("+", "wildcard"), ("a\0b", "NUL"), ("x" * 65_536, "65535 at most"), ("\ud800", "UTF-8")],
)
def test_a_bad_topic_is_refused(topic: str, why: str) -> None:
    with pytest.raises(TopicError, match=why):
        encode_topic(topic)


@pytest.mark.parametrize("topic", ["a", "/", "a//b", "$SYS/x", "ä/€", "x" * 65_535, " "])
def test_a_good_topic_is_encoded(topic: str) -> None:
    assert encode_topic(topic) == topic.encode()


@pytest.mark.parametrize("item", ["#", "+", "a/#", "+/a/+", "/#", "$share/g/a/#", "a"])
def test_a_good_filter_is_encoded(item: str) -> None:
    assert encode_filter(item) == item.encode()


@pytest.mark.parametrize(
    ("item", "why"),
    [
        ("", "empty"), ("a#", "whole level"), ("#/a", "last level"), ("a+/b", "whole level"),
        ("a/\0", "NUL"), ("$share/g", "is not"), ("$share//a", "is not"), ("$share/+/a", "is not"),
        ("$share/g/a#", "whole level"),
    ],
)  # fmt: skip
def test_a_bad_filter_is_refused(item: str, why: str) -> None:
    with pytest.raises(TopicError, match=why):
        encode_filter(item)


# The examples of MQTT 5.0, section 4.7.
@pytest.mark.parametrize(
    ("item", "topic", "taken"),
    [
        ("sport/tennis/player1/#", "sport/tennis/player1", True),
        ("sport/tennis/player1/#", "sport/tennis/player1/ranking", True),
        ("sport/#", "sport", True),
        ("#", "a/b", True),
        ("sport/tennis/+", "sport/tennis/player1", True),
        ("sport/tennis/+", "sport/tennis/player1/ranking", False),
        ("sport/+", "sport", False),
        ("sport/+", "sport/", True),
        ("+/+", "/finance", True),
        ("/+", "/finance", True),
        ("+", "/finance", False),
        ("#", "$SYS/a", False),
        ("+/monitor/Clients", "$SYS/monitor/Clients", False),
        ("$SYS/#", "$SYS/a", True),
        ("$SYS/monitor/+", "$SYS/monitor/Clients", True),
    ],
)
def test_the_examples_of_the_specification(item: str, topic: str, taken: bool) -> None:
    assert matches(item, topic) is taken


@given(st.lists(FILTER, max_size=8), TOPIC)
def test_the_tree_finds_what_matches(filters: list[str], topic: str) -> None:
    tree: TopicTree[int, str] = TopicTree()
    for key, item in enumerate(filters):
        tree.put(item, key, item)
    found = sorted(tree.match(topic))
    assert found == [(key, item) for key, item in enumerate(filters) if matches(item, topic)]


@given(st.lists(FILTER, max_size=6), TOPIC)
def test_what_was_removed_is_not_found(filters: list[str], topic: str) -> None:
    tree: TopicTree[int, str] = TopicTree()
    for key, item in enumerate(filters):
        tree.put(item, key, item)
    for key, item in enumerate(filters):
        tree.remove(item, key)
    tree.remove("never/there", 1)
    assert list(tree.match(topic)) == []
    assert not tree._root.below, "levels that nobody needs are gone"


def test_a_shared_subscription_is_taken_apart() -> None:
    assert split_share("$share/group/a/+") == ("group", "a/+")
    assert split_share("a/+") == ("", "a/+")
