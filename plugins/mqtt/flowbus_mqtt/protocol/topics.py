"""Topic names and topic filters (MQTT 5.0, section 4.7)."""

from __future__ import annotations

from typing import Final

LONGEST: Final = 65_535
SHARE: Final = "$share/"


class TopicError(ValueError):
    """A topic name or filter that MQTT does not allow; the text says why."""


def encode_topic(topic: str) -> bytes:
    """Check a topic name and return it as UTF-8."""
    data = _encode(topic, "topic")
    if "+" in topic or "#" in topic:
        raise TopicError(f"topic {_shown(topic)} has a wildcard (+ or #); only a filter may")
    return data


def encode_filter(topic_filter: str) -> bytes:
    """Check a topic filter, ``$share/group/filter`` too, and return it as UTF-8."""
    data = _encode(topic_filter, "topic filter")
    _, plain = split_share(topic_filter)
    levels = plain.split("/")
    for place, level in enumerate(levels):
        if level == "#":
            if place != len(levels) - 1:
                raise TopicError(f"topic filter {_shown(topic_filter)}: # must be the last level")
        elif level != "+" and ("+" in level or "#" in level):
            raise TopicError(
                f"topic filter {_shown(topic_filter)}: + and # must fill a whole level"
            )
    return data


def split_share(topic_filter: str) -> tuple[str, str]:
    """Return the group of a shared subscription (else "") and the filter proper."""
    if not topic_filter.startswith(SHARE):
        return "", topic_filter
    group, slash, plain = topic_filter[len(SHARE) :].partition("/")
    if not group or not slash or not plain or "+" in group or "#" in group:
        raise TopicError(
            f"shared subscription {_shown(topic_filter)} is not $share/<group>/<filter>"
        )
    return group, plain


def matches(topic_filter: str, topic: str) -> bool:
    """Tell whether a valid filter (without ``$share``) takes a valid topic name.

    Wildcards in the first level do not take topics that begin with $ (section 4.7.2).
    """
    if topic_filter == topic:
        return True
    if topic[:1] == "$" and topic_filter[:1] in ("+", "#"):
        return False
    wanted, given = topic_filter.split("/"), topic.split("/")
    for place, level in enumerate(wanted):
        if level == "#":
            return True
        if place >= len(given) or level not in ("+", given[place]):
            return False
    return len(wanted) == len(given)


def _encode(text: str, what: str) -> bytes:
    if not text:
        raise TopicError(f"the {what} is empty")
    if "\0" in text:
        raise TopicError(f"{what} {_shown(text)} holds a NUL character")
    try:
        data = text.encode()
    except UnicodeEncodeError:
        raise TopicError(f"{what} {_shown(text)} cannot be written as UTF-8") from None
    if len(data) > LONGEST:
        raise TopicError(f"{what} {_shown(text)} is {len(data)} bytes long; {LONGEST} at most")
    return data


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 80 else text[:77] + "...")
