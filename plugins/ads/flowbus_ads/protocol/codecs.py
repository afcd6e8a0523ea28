"""Codecs between the bytes of a PLC value and a Python value, compiled once per symbol.

Sizes and layouts: IEC 61131-3 and the TwinCAT 3 data type pages of the Beckhoff Information System
(little endian, STRING(n) takes n+1 bytes, WSTRING(n) 2n+2; TIME and TOD count ms, DATE and DT
seconds since 1970, LTIME and the other L types ns).

Encoding checks everything before a byte leaves: EncodeError names the value and what fits.
"""

from __future__ import annotations

import codecs
import struct
from collections.abc import Callable, Sequence
from math import isfinite
from struct import Struct
from typing import Any, Final, Protocol

from flowbus_ads.protocol.errors import DecodeError, EncodeError

_EXACT: Final = 2.0**53


class Codec(Protocol):
    """Bytes of a fixed ``size`` to a value and back."""

    @property
    def size(self) -> int:
        """Bytes."""

    @property
    def decode(self) -> Callable[[bytes], Any]:
        """Turn exactly ``size`` bytes into a value. Raises DecodeError."""

    def encode(self, value: Any) -> bytes:
        """Turn a value into ``size`` bytes. Raises EncodeError."""


class IntegerCodec:
    """A whole number of 1, 2, 4 or 8 bytes."""

    def __init__(self, name: str, letter: str) -> None:
        self._struct = Struct("<" + letter)
        self.name, self.letter, self.size = name, letter, self._struct.size
        bits = 8 * self.size
        signed = letter.islower()
        self.low = -(1 << (bits - 1)) if signed else 0
        self.high = (1 << (bits - signed)) - 1

    def decode(self, data: bytes) -> int:
        """Return the number."""
        try:
            return self._struct.unpack(data)[0]  # type: ignore[no-any-return]
        except struct.error:
            raise _wrong_size(self, data) from None

    def check(self, value: Any) -> int:
        """Return ``value`` as an int that fits, or raise EncodeError."""
        if type(value) is not int:
            value = self._whole(value)
        if not self.low <= value <= self.high:
            raise EncodeError(f"{value} does not fit {self.name} ({self.low} to {self.high})")
        return value  # type: ignore[no-any-return]

    def encode(self, value: Any) -> bytes:
        """Return the bytes of ``value``: an int, or a float that is a whole number."""
        return self._struct.pack(self.check(value))

    def _whole(self, value: Any) -> int:
        if isinstance(value, float) and value.is_integer() and abs(value) <= _EXACT:
            return int(value)
        if isinstance(value, int) and not isinstance(value, bool):
            return int(value)
        raise EncodeError(f"{_show(value)} is not a whole number, which {self.name} needs")


class BoolCodec:
    """BOOL: one byte, 0 or 1; anything but 0 reads as true."""

    name, letter, size = "BOOL", "B", 1

    def decode(self, data: bytes) -> bool:
        """Return the truth of the byte."""
        if len(data) != 1:
            raise _wrong_size(self, data)
        return data != b"\0"

    def check(self, value: Any) -> int:
        """Return 0 or 1, or raise EncodeError."""
        if value is True or value is False:
            return int(value)
        if type(value) is int and value in (0, 1):
            return value
        raise EncodeError(f"{_show(value)} is not true or false, which BOOL needs")

    def encode(self, value: Any) -> bytes:
        """Return one byte for true, false, 1 or 0."""
        return b"\1" if self.check(value) else b"\0"


class FloatCodec:
    """REAL or LREAL; NaN and the infinities pass both ways."""

    def __init__(self, name: str, letter: str) -> None:
        self._struct = Struct("<" + letter)
        self.name, self.letter, self.size = name, letter, self._struct.size

    def decode(self, data: bytes) -> float:
        """Return the number."""
        try:
            return self._struct.unpack(data)[0]  # type: ignore[no-any-return]
        except struct.error:
            raise _wrong_size(self, data) from None

    def check(self, value: Any) -> float:
        """Return ``value`` as a float that fits, or raise EncodeError."""
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise EncodeError(f"{_show(value)} is not a number, which {self.name} needs")
        try:
            number = float(value)
            if isfinite(number):
                self._struct.pack(number)
        except OverflowError:
            raise EncodeError(f"{_show(value)} is too large for {self.name}") from None
        return number

    def encode(self, value: Any) -> bytes:
        """Return the bytes of an int or a float."""
        return self._struct.pack(self.check(value))


class StringCodec:
    """STRING(n) of n+1 bytes, or WSTRING(n) of 2n+2; the text ends at the first zero.

    ``encoding`` is ``cp1252``, ``utf-8`` or ``utf-16-le``. The five bytes that Windows-1252 leaves
    undefined stand for the control characters of the same number, so that every text survives.
    """

    def __init__(self, name: str, size: int, encoding: str) -> None:
        self.name, self.size, self._encoding = name, size, encoding
        self.unit = 2 if encoding == "utf-16-le" else 1
        self._room = size - self.unit

    def decode(self, data: bytes) -> str:
        """Return the text up to the first zero; a missing zero means the whole field."""
        if len(data) != self.size:
            raise _wrong_size(self, data)
        if self.unit == 1:
            return _decode_text(data.split(b"\0", 1)[0], self._encoding)
        for end in range(0, self.size - 1, 2):
            if data[end] == 0 == data[end + 1]:
                return data[:end].decode("utf-16-le", "replace")
        return data.decode("utf-16-le", "replace")

    def encode(self, value: Any) -> bytes:
        """Return ``size`` bytes; the rest behind the text is zero."""
        if not isinstance(value, str):
            raise EncodeError(f"{_show(value)} is not a text, which {self.name} needs")
        if "\0" in value:
            raise EncodeError(f"the text for {self.name} has a zero character, which ends a text")
        try:
            data = _encode_text(value, self._encoding)
        except UnicodeError as error:
            raise EncodeError(
                f"{_show(value)} cannot be written as {self._encoding}: {error}"
            ) from None
        if len(data) > self._room:
            raise EncodeError(
                f"the text has {len(data) // self.unit} characters in {self._encoding}, "
                f"{self.name} holds {self._room // self.unit}"
            )
        return data.ljust(self.size, b"\0")


class BytesCodec:
    """Bytes as they are: ``size`` of them, fewer where a target has fewer to tell."""

    def __init__(self, size: int) -> None:
        self.name, self.size = f"{size} bytes", size

    def decode(self, data: bytes) -> bytes:
        """Return the bytes."""
        if not 0 < len(data) <= self.size:
            raise _wrong_size(self, data)
        return bytes(data)

    def encode(self, value: Any) -> bytes:
        """Return the bytes of ``value``: bytes, or a list of whole numbers from 0 to 255."""
        if isinstance(value, list):
            octet = IntegerCodec("BYTE", "B")
            value = bytes(_each(self.name, octet.check, value))
        if not isinstance(value, bytes | bytearray | memoryview):
            raise EncodeError(f"{_show(value)} is neither bytes nor a list of numbers")
        if len(value) != self.size:
            raise EncodeError(f"{len(value)} bytes were given, {self.size} are needed")
        return bytes(value)


class NumberArrayCodec:
    """ARRAY of numbers or BOOLs in one struct call; a list, nested for several dimensions."""

    def __init__(
        self, name: str, element: IntegerCodec | FloatCodec | BoolCodec, dims: Sequence[int]
    ):
        self.name, self._element, self._dims = name, element, tuple(dims)
        self._count = _product(dims)
        self._struct = Struct(f"<{self._count}{element.letter}")
        self.size = self._struct.size
        self._truth = isinstance(element, BoolCodec)

    def decode(self, data: bytes) -> list[Any]:
        """Return the elements in the order of the PLC."""
        try:
            values: list[Any] = list(self._struct.unpack(data))
        except struct.error:
            raise _wrong_size(self, data) from None
        if self._truth:
            values = [value != 0 for value in values]
        return _nest(values, self._dims)

    def encode(self, value: Any) -> bytes:
        """Return the bytes of a list that has every element."""
        check = self._element.check
        values = _flatten(self.name, value, self._dims)
        return self._struct.pack(*_each(self.name, check, values))


class ArrayCodec:
    """ARRAY of anything else, such as texts."""

    def __init__(self, name: str, element: Codec, dims: Sequence[int]) -> None:
        self.name, self._element, self._dims = name, element, tuple(dims)
        self.size = element.size * _product(dims)

    def decode(self, data: bytes) -> list[Any]:
        """Return the elements in the order of the PLC."""
        if len(data) != self.size:
            raise _wrong_size(self, data)
        step, decode = self._element.size, self._element.decode
        values = [decode(data[at : at + step]) for at in range(0, self.size, step)]
        return _nest(values, self._dims)

    def encode(self, value: Any) -> bytes:
        """Return the bytes of a list that has every element."""
        values = _flatten(self.name, value, self._dims)
        return b"".join(_each(self.name, self._element.encode, values))


def _undefined(error: UnicodeError) -> tuple[str | bytes, int]:
    """Map the holes of Windows-1252 to the control characters of the same number, both ways."""
    if isinstance(error, UnicodeDecodeError):
        return chr(error.object[error.start]), error.start + 1
    if isinstance(error, UnicodeEncodeError) and ord(error.object[error.start]) in _HOLES:
        return bytes((ord(error.object[error.start]),)), error.start + 1
    raise error


_HOLES: Final = frozenset((0x81, 0x8D, 0x8F, 0x90, 0x9D))
codecs.register_error("flowbus_ads.cp1252", _undefined)


def _decode_text(data: bytes, encoding: str) -> str:
    return data.decode(encoding, "flowbus_ads.cp1252" if encoding == "cp1252" else "replace")


def _encode_text(text: str, encoding: str) -> bytes:
    return text.encode(encoding, "flowbus_ads.cp1252" if encoding == "cp1252" else "strict")


def _product(dims: Sequence[int]) -> int:
    count = 1
    for dim in dims:
        count *= dim
    return count


def _nest(values: list[Any], dims: tuple[int, ...]) -> list[Any]:
    for dim in reversed(dims[1:]):
        values = [values[at : at + dim] for at in range(0, len(values), dim)]
    return values


def _flatten(name: str, value: Any, dims: tuple[int, ...]) -> list[Any]:
    values = [value]
    for dim in dims:
        for part in values:
            if not isinstance(part, list | tuple):
                raise EncodeError(f"{_show(part)} is not a list of {dim}, which {name} needs")
            if len(part) != dim:
                raise EncodeError(f"the list has {len(part)} elements, {name} needs {dim}")
        values = [element for part in values for element in part]
    return values


def _each(name: str, encode: Callable[[Any], Any], values: list[Any]) -> list[Any]:
    encoded = []
    for index, value in enumerate(values):
        try:
            encoded.append(encode(value))
        except EncodeError as error:
            raise EncodeError(f"element {index} of {name}: {error}") from None
    return encoded


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


class _Sized(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def size(self) -> int: ...


def _wrong_size(codec: _Sized, data: bytes) -> DecodeError:
    return DecodeError(f"{codec.name} has {codec.size} bytes, the PLC sent {len(data)}")
