"""From the name of a PLC type, as a symbol entry gives it, to its codec.

``ARRAY [1..3] OF INT``, ``ARRAY [-1..1,0..4] OF STRING(20)``, ``POINTER TO LREAL``, ``E_Mode``
(an enumeration or alias: the entry's data type number decides). Source: TwinCAT 3 data type pages
of the Beckhoff Information System, ADSDATATYPEID in AdsDef.h.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from flowbus_ads.protocol.codecs import (
    ArrayCodec,
    BoolCodec,
    Codec,
    FloatCodec,
    IntegerCodec,
    NumberArrayCodec,
    StringCodec,
)
from flowbus_ads.protocol.constants import TypeId
from flowbus_ads.protocol.errors import UnsupportedTypeError

DEFAULT_STRING: Final = 80
"""Characters of a STRING without a length."""

_INTEGERS: Final = {
    "b": ("SINT", "INT8"),
    "B": ("USINT", "BYTE", "UINT8"),
    "h": ("INT", "INT16"),
    "H": ("UINT", "WORD", "UINT16"),
    "i": ("DINT", "INT32"),
    "I": ("UDINT", "DWORD", "UINT32", "TIME", "TIME_OF_DAY", "TOD", "DATE", "DATE_AND_TIME", "DT"),
    "q": ("LINT", "INT64"),
    "Q": ("ULINT", "LWORD", "UINT64", "LTIME", "LDATE", "LTIME_OF_DAY", "LTOD",
          "LDATE_AND_TIME", "LDT"),
}  # fmt: skip
_TYPE_IDS: Final = {
    "BOOL": TypeId.BIT, "b": TypeId.INT8, "B": TypeId.UINT8, "h": TypeId.INT16, "H": TypeId.UINT16,
    "i": TypeId.INT32, "I": TypeId.UINT32, "q": TypeId.INT64, "Q": TypeId.UINT64,
    "f": TypeId.REAL32, "d": TypeId.REAL64,
}  # fmt: skip
_NUMBERS: Final[dict[str, IntegerCodec | FloatCodec | BoolCodec]] = {
    "BOOL": BoolCodec(),
    "BIT": BoolCodec(),
    "REAL": FloatCodec("REAL", "f"),
    "LREAL": FloatCodec("LREAL", "d"),
    **{name: IntegerCodec(name, letter) for letter, names in _INTEGERS.items() for name in names},
}
_BY_TYPE_ID: Final[dict[int, str]] = {
    TypeId.BIT: "BOOL", TypeId.INT8: "SINT", TypeId.UINT8: "USINT", TypeId.INT16: "INT",
    TypeId.UINT16: "UINT", TypeId.INT32: "DINT", TypeId.UINT32: "UDINT", TypeId.INT64: "LINT",
    TypeId.UINT64: "ULINT", TypeId.REAL32: "REAL", TypeId.REAL64: "LREAL",
}  # fmt: skip
_STRING = re.compile(r"(W?)STRING\s*(?:[(\[]\s*(\d+)\s*[)\]])?", re.IGNORECASE)
_ARRAY = re.compile(r"ARRAY\s*\[([^\]]*)\]\s*OF\s+(.+)", re.IGNORECASE | re.DOTALL)
_BOUNDS = re.compile(r"\s*(-?\d+)\s*\.\.\s*(-?\d+)\s*")
_ADDRESS = re.compile(r"(POINTER|REFERENCE)\s+TO\s.*", re.IGNORECASE | re.DOTALL)


class ArrayType(NamedTuple):
    """Bounds per dimension and the type of the elements."""

    bounds: tuple[tuple[int, int], ...]
    element: str

    @property
    def dims(self) -> tuple[int, ...]:
        """Elements per dimension."""
        return tuple(high - low + 1 for low, high in self.bounds)


def parse_array(type_name: str) -> ArrayType | None:
    """Return the parts of an ARRAY type, None where ``type_name`` is no array."""
    match = _ARRAY.fullmatch(type_name.strip())
    if match is None:
        return None
    bounds = []
    for part in match[1].split(","):
        found = _BOUNDS.fullmatch(part)
        if found is None or int(found[1]) > int(found[2]):
            raise UnsupportedTypeError(
                f"{type_name!r} has bounds that are no a..b with a <= b: {part!r}"
            )
        bounds.append((int(found[1]), int(found[2])))
    return ArrayType(tuple(bounds), match[2].strip())


@lru_cache(maxsize=4096)
def codec_for(type_name: str, encoding: str = "cp1252") -> Codec:
    """Return the codec of a type that its name alone describes. Raises UnsupportedTypeError."""
    text = type_name.strip()
    number = _NUMBERS.get(text.upper())
    if number is not None:
        return number
    string = _STRING.fullmatch(text)
    if string is not None:
        length = int(string[2]) if string[2] else DEFAULT_STRING
        if string[1]:
            return StringCodec(text, 2 * length + 2, "utf-16-le")
        return StringCodec(text, length + 1, encoding)
    array = parse_array(text)
    if array is not None:
        return array_codec(text, codec_for(array.element, encoding), array.dims)
    raise UnsupportedTypeError(
        f"type {type_name!r} has no codec: name a member of it, or use an elementary type"
    )


def codec_of_entry(type_name: str, size: int, type_id: int, encoding: str = "cp1252") -> Codec:
    """Return the codec of a symbol of ``size`` bytes; type number and size help where the name does not."""
    try:
        codec = codec_for(type_name, encoding)
    except UnsupportedTypeError:
        codec = _by_number(type_name, size, type_id, encoding)
    if codec.size != size:
        raise UnsupportedTypeError(
            f"type {type_name!r} has {codec.size} bytes, the PLC says {size}"
        )
    return codec


def type_id_of(type_name: str) -> int:
    """Return the ADS data type number of a type; that of its elements for an array."""
    array = parse_array(type_name)
    if array is not None:
        return type_id_of(array.element)
    codec = codec_for(type_name)
    if isinstance(codec, StringCodec):
        return TypeId.WSTRING if type_name.strip().upper().startswith("W") else TypeId.STRING
    if isinstance(codec, BoolCodec):
        return TypeId.BIT
    return _TYPE_IDS[getattr(codec, "letter", "B")]


def _by_number(type_name: str, size: int, type_id: int, encoding: str) -> Codec:
    if _ADDRESS.fullmatch(type_name.strip()) and size in (4, 8):
        return _NUMBERS["DWORD" if size == 4 else "LWORD"]
    if type_id == TypeId.STRING and size > 1:
        return StringCodec(f"{type_name} (STRING({size - 1}))", size, encoding)
    if type_id == TypeId.WSTRING and size > 2 and size % 2 == 0:
        return StringCodec(f"{type_name} (WSTRING({size // 2 - 1}))", size, "utf-16-le")
    name = _BY_TYPE_ID.get(type_id)
    if name is not None and _NUMBERS[name].size == size:
        return _NUMBERS[name]
    raise UnsupportedTypeError(
        f"type {type_name!r} of {size} bytes has no codec: name one of its members instead"
    )


def array_codec(name: str, element: Codec, dims: Sequence[int]) -> Codec:
    """Return the codec of an array of ``dims`` elements each way."""
    if isinstance(element, IntegerCodec | FloatCodec | BoolCodec):
        return NumberArrayCodec(name, element, dims)
    return ArrayCodec(name, element, dims)
