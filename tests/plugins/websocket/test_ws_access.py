"""Lists of clients: addresses, networks, names and patterns."""

from __future__ import annotations

import pytest
import trio
from flowbus_websocket.server.access import Access, entries_of

from flowbus import Fault


async def admits(address: str, allow: list[str], block: list[str]) -> bool:
    faults: list[str] = []

    def on_fault(fault: Fault, text: str) -> None:
        faults.append(text)

    with trio.fail_after(20):
        admitted = await Access(allow, block, on_fault).admits(address)
    assert not faults
    return admitted


@pytest.mark.parametrize(
    ("entry", "hits", "misses"),
    [
        ("10.1.2.3", ["10.1.2.3"], ["10.1.2.30", "110.1.2.3", "::a01:203"]),
        ("10.0.0.0/8", ["10.0.0.0", "10.255.255.255"], ["11.0.0.0", "9.255.255.255"]),
        ("192.168.*", ["192.168.0.1", "192.168.255.255"], ["192.169.0.1", "19.2.168.1"]),
        ("10.*.3.*", ["10.7.3.255"], ["10.7.4.3"]),
        ("*", ["1.2.3.4", "fe80::1"], []),
        ("fe80::/10", ["fe80::1", "febf::ffff", "fe80::1%eth0"], ["fec0::1", "1.2.3.4"]),
        ("2001:DB8::*", ["2001:db8::17"], ["2001:db9::17"]),
        ("::1", ["::1", "0:0:0:0:0:0:0:1"], ["::2", "127.0.0.1"]),
    ],
)
async def test_entries_without_a_name(entry: str, hits: list[str], misses: list[str]) -> None:
    for address in hits:
        assert await admits(address, [entry], [])
        assert not await admits(address, [], [entry])
    for address in misses:
        assert not await admits(address, [entry], [])
        assert await admits(address, [], [entry])


async def test_block_wins_and_an_empty_list_allows_all() -> None:
    assert await admits("10.0.0.1", [], [])
    assert not await admits("10.0.0.1", ["10.0.0.1"], ["10.*"])


async def test_names_are_looked_up_both_ways() -> None:
    assert await admits("127.0.0.1", ["localhost"], [])
    assert not await admits("127.0.0.2", ["localhost"], [])
    assert await admits("127.0.0.1", ["LOCAL*"], [])
    assert not await admits("127.0.0.1", [], ["local*"])
    assert not await admits("127.0.0.1", ["*.invalid"], [])


async def test_a_name_that_nobody_has_matches_nobody_and_says_so() -> None:
    faults: list[tuple[str, str]] = []
    access = Access(["nobody.invalid"], [], lambda fault, text: faults.append((fault.code, text)))
    with trio.fail_after(20):
        assert not await access.admits("127.0.0.1")
        assert not await access.admits("127.0.0.1")
    assert len(faults) == 1, "the answer of the name server is kept"
    assert faults[0][0] == "ws.resolver_error"
    assert "nobody.invalid" in faults[0][1]


@pytest.mark.parametrize(
    "entry",
    ["", "10.0.0.1/8", "10.0.0.0/33", "a b", "1.2.3.4.5", "10.0.0", "http://h", "[::1]", "-"],
)
def test_what_is_no_entry_is_named(entry: str) -> None:
    with pytest.raises(ValueError, match=r"\"") as caught:
        entries_of([entry])
    assert f'"{entry}"' in str(caught.value)
