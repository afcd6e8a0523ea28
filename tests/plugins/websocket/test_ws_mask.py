"""Masking, at every size where the way of doing it changes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
from flowbus_websocket.protocol.mask import LONG, SHORT, mask, mask_in_python, rotated
from hypothesis import given
from hypothesis import strategies as st

Mask = Callable[[bytes, bytes], bytes]
both = pytest.mark.parametrize("masking", [mask, mask_in_python])


def _slowly(data: bytes, key: bytes) -> bytes:
    return bytes(byte ^ key[index % 4] for index, byte in enumerate(data))


@both
@given(st.binary(max_size=300), st.binary(min_size=4, max_size=4))
def test_every_byte_is_xored_with_its_byte_of_the_key(
    masking: Mask, data: bytes, key: bytes
) -> None:
    assert masking(data, key) == _slowly(data, key)


@both
@pytest.mark.parametrize(
    "size", [0, 1, 3, 4, 5, 125, SHORT, SHORT + 1, 5003, LONG - 1, LONG, LONG + 1, LONG + 2]
)
def test_every_way_gives_the_same(masking: Mask, size: int) -> None:
    data = bytes(index * 7 & 0xFF for index in range(size))
    key = b"\x00\xff\x5a\x81"
    assert masking(data, key) == _slowly(data, key)
    assert masking(masking(data, key), key) == data


@given(st.binary(max_size=50), st.integers(0, 50))
def test_a_rotated_key_goes_on_in_the_middle(data: bytes, cut: int) -> None:
    key = b"\x01\x02\x03\x04"
    first, rest = data[:cut], data[cut:]
    assert mask(first, key) + mask(rest, rotated(key, len(first))) == mask(data, key)


@pytest.mark.parametrize(
    ("before", "name"),
    [("", "apply_mask"), ("sys.modules['websockets'] = None;", "mask_in_python")],
)
def test_c_does_it_where_it_is_installed_and_python_where_not(before: str, name: str) -> None:
    code = (
        f"import sys; {before} from flowbus_websocket.protocol import mask;"
        "print(mask.mask.__name__, mask.mask(b'abcde', b'    ').decode())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith(f"{name} ")
    assert done.stdout.endswith(" ABCDE\n")
