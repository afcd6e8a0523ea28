"""The programs of a simulated PLC: types and symbols, from a flow file or a file of their own."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, field

from flowbus import Config
from flowbus_ads.plc.behaviours import SymbolOptions
from flowbus_ads.plc.typedefs import TypeOptions


class RuntimeOptions(Config):
    """Another runtime of the simulated PLC: a program of its own."""

    symbols: Annotated[
        dict[str, SymbolOptions], Meta(description="Symbols by name: type, value and behaviour.")
    ] = field(default_factory=dict)
    types: Annotated[
        dict[str, TypeOptions],
        Meta(description="Types that the program declares, by name: structures, enumerations, aliases."),
    ] = field(default_factory=dict)


def load_program(path: str) -> RuntimeOptions:
    """Return the program of a JSON or TOML file (its name ends with ``.toml``). Raises ValueError."""
    try:
        text = Path(path).read_text("utf-8")
        value: Any = tomllib.loads(text) if path.endswith(".toml") else json.loads(text)
        return msgspec.convert(value, RuntimeOptions)
    except OSError as error:
        raise ValueError(f"{path!r}: {error.strerror or error}") from None
    except ValueError as error:  # of the text, or of what it says
        raise ValueError(f"{path!r}: {error}") from None


def joined(inline: RuntimeOptions, file: RuntimeOptions) -> RuntimeOptions:
    """Return the program of both. Raises ValueError for a name that both declare."""
    for what, ours, theirs in (
        ("symbol", inline.symbols, file.symbols), ("type", inline.types, file.types),
    ):  # fmt: skip
        both = {name.casefold() for name in ours} & {name.casefold() for name in theirs}
        if both:
            raise ValueError(f"{what} {min(both)} is declared here and in the file")
    return RuntimeOptions(
        symbols={**file.symbols, **inline.symbols}, types={**file.types, **inline.types}
    )
