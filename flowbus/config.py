"""The typed options of a node or connection type."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, dataclass_transform

import msgspec
from msgspec import inspect

from flowbus.decode import decode, parse_size
from flowbus.problem import Flaw, JsonPath
from flowbus.secrets import Redactor, resolve
from flowbus.shape import CONNECTION, FILE, KEY, MARK, SIZE, Option, bare, options, shape_of

__all__ = [
    "ByteSize", "Config", "ConfigMeta", "FilePath", "Key", "Option", "Ref", "configure",
    "connection_refs", "decode", "options", "parse_size", "refs_in", "shape_of",
]  # fmt: skip

T = TypeVar("T")

_LISTS = (inspect.ListType, inspect.VarTupleType)


class ConfigMeta(msgspec.StructMeta):
    """Makes every config frozen and keyword-only; msgspec itself does not inherit ``kw_only``."""

    def __new__(
        mcls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **settings: Any
    ) -> Any:
        """Return the new class with the settings of a config."""
        settings = {"frozen": True, "kw_only": True, "forbid_unknown_fields": True, **settings}
        return super().__new__(mcls, name, bases, namespace, **settings)


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(msgspec.field,))
class Config(msgspec.Struct, metaclass=ConfigMeta, frozen=True):
    """Base of what a flow file can say about a node or connection: one field an option.

    Frozen and keyword-only; an option that is no field is an error. Rules between fields go into
    ``__post_init__`` as ValueError.
    """

    def check_files(self) -> None:
        """Look at the files that options name; raise ConfigError where one cannot be used.

        ``flowbus check`` calls it, on configs inside configs too. It does not touch the network.
        """


if TYPE_CHECKING:
    from typing import Literal as Ref
else:

    class Ref:
        """``Ref["ads"]``: a text that names a connection of type ``ads``."""

        def __class_getitem__(cls, connection_type: str) -> Any:
            """Return the annotation for a connection of this type."""
            return Annotated[str, msgspec.Meta(extra={CONNECTION: connection_type})]


#: A whole number of bytes; the flow file may say 1024 or "64KB" (a K is 1024, as in "64KiB").
ByteSize = Annotated[int, msgspec.Meta(ge=0, extra={MARK: SIZE})]

#: The path of a file, relative to the folder of the flow file; absolute once decoded. A text that
#: holds PEM (``-----BEGIN``) is kept as it is.
FilePath = Annotated[str, msgspec.Meta(extra={MARK: FILE})]

#: A cryptographic key: the path of a file like :data:`FilePath`, or the key itself as PEM text, as
#: JSON text or as a JSON object (JWK, JWKS). What is private in it is redacted.
Key = (
    Annotated[str, msgspec.Meta(extra={MARK: KEY})]
    | Annotated[dict[str, Any], msgspec.Meta(extra={MARK: KEY})]
)


def configure(
    config_type: type[T],
    raw: Mapping[str, Any],
    base_dir: Path,
    *,
    environ: Mapping[str, str] | None = None,
    redactor: Redactor | None = None,
    other_keys: tuple[str, ...] = (),
) -> tuple[T | None, list[Flaw]]:
    """Resolve the references in ``raw`` and decode it: the config, or None and every flaw."""
    values, flaws = resolve(dict(raw), base_dir, environ=environ, redactor=redactor)
    config, more = decode(
        config_type, values, base_dir=base_dir, redactor=redactor, other_keys=other_keys
    )
    return (None if flaws else config), flaws + more


def connection_refs(config_type: type) -> dict[str, str]:
    """Return the options of ``config_type`` that name a connection, with the type of that connection."""
    return {o.name: o.connection for o in options(config_type) if o.connection is not None}


def refs_in(config: msgspec.Struct) -> list[tuple[JsonPath, str, str]]:
    """Return every connection that ``config`` names: where, of which type, and the name."""
    found: list[tuple[JsonPath, str, str]] = []
    _find_refs(shape_of(type(config)), config, (), found)
    return found


def _find_refs(
    shape: inspect.Type, value: Any, path: JsonPath, found: list[tuple[JsonPath, str, str]]
) -> None:
    plain, marks = bare(shape)
    if CONNECTION in marks and isinstance(value, str):
        found.append((path, marks[CONNECTION], value))
    elif isinstance(plain, inspect.UnionType):
        for member in plain.types:
            _find_refs(member, value, path, found)
    elif isinstance(plain, inspect.StructType) and isinstance(value, plain.cls):
        for field in plain.fields:
            _find_refs(field.type, getattr(value, field.name), (*path, field.encode_name), found)
    elif isinstance(plain, _LISTS) and isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _find_refs(plain.item_type, item, (*path, index), found)
    elif isinstance(plain, inspect.DictType) and isinstance(value, dict):
        for key, item in value.items():
            _find_refs(plain.value_type, item, (*path, key), found)
