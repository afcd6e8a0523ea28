"""From JSON text to values and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import orjson
from msgspec import Meta

from flowbus import ByteSize, Config, Message, Rejected, transform
from flowbus_core_nodes.faults import NOT_ENCODABLE, NOT_JSON, TOO_LARGE

_EXCERPT = 20  # characters of a bad text that are shown
_TEXTS = (str, bytes, bytearray, memoryview)


class JsonDecode(Config):
    """Turn a payload that is JSON text (or its UTF-8 bytes) into the value that it stands for."""

    max_bytes: Annotated[
        ByteSize | None,
        Meta(description='The largest text in bytes, as 1048576 or "1MB"; null: any size.'),
    ] = None


class JsonEncode(Config):
    """Turn a payload into JSON text. NaN, infinities and bytes have no JSON form and are rejected."""

    to: Annotated[Literal["str", "bytes"], Meta(description="Give a text, or its UTF-8 bytes.")] = (
        "str"
    )
    sort_keys: Annotated[
        bool, Meta(description="Write the keys of objects in alphabetical order.")
    ] = False
    indent: Annotated[bool, Meta(description="Write one item a line, indented by two spaces.")] = (
        False
    )


@transform("json-decode")
def json_decode(message: Message, config: JsonDecode) -> Message:
    """Turn a payload that is JSON text (or its UTF-8 bytes) into the value that it stands for."""
    text = message.payload
    if not isinstance(text, _TEXTS):
        raise Rejected(NOT_JSON, f"expected a text or bytes, got {_kind(text)}")
    if config.max_bytes is not None and (size := _size(text, config.max_bytes)) > config.max_bytes:
        raise Rejected(TOO_LARGE, f"{size} bytes, {config.max_bytes} are allowed")
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise Rejected(NOT_JSON, _explain(error)) from None
    return message.with_payload(value)


@transform("json-encode")
class json_encode:  # noqa: N801 - named like the functions that other node types are
    """Turn a payload into JSON text. NaN, infinities and bytes have no JSON form and are rejected."""

    def __init__(self, config: JsonEncode) -> None:
        self._as_text = config.to == "str"
        sort = orjson.OPT_SORT_KEYS if config.sort_keys else 0
        self._options = sort | (orjson.OPT_INDENT_2 if config.indent else 0)

    def __call__(self, message: Message) -> Message:
        """Return the message with its payload encoded."""
        payload = message.payload
        try:
            text = orjson.dumps(payload, None, self._options)
        except orjson.JSONEncodeError as error:
            raise Rejected(NOT_ENCODABLE, str(error)) from None
        # orjson writes NaN and the infinities as null, so only then are they to be looked for.
        if b"null" in text and (path := _not_finite(payload, "payload")):
            raise Rejected(NOT_ENCODABLE, f"{path} is not a finite number")
        return message.with_payload(text.decode() if self._as_text else text)


def _size(text: str | bytes | bytearray | memoryview, limit: int) -> int:
    if not isinstance(text, str):
        return memoryview(text).nbytes
    # UTF-8 takes one to four bytes a character: mostly that decides without encoding.
    if len(text) > limit or len(text) * 4 <= limit:
        return len(text)
    return len(text.encode(errors="surrogatepass"))


def _explain(error: orjson.JSONDecodeError) -> str:
    excerpt = error.doc[error.pos : error.pos + _EXCERPT]
    shown = f", at {excerpt!r}" if excerpt else ""
    return f"not JSON: line {error.lineno}, column {error.colno}: {error.msg}{shown}"


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a truth value"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, Mapping):
        return "an object (it is decoded already)"
    if isinstance(value, list | tuple):
        return "a list (it is decoded already)"
    return f"a value of type {type(value).__name__}"


def _not_finite(value: Any, path: str) -> str:
    """Return the path of the first number that is NaN or infinite, empty where there is none."""
    if isinstance(value, float):
        return "" if value - value == 0 else path
    if isinstance(value, Mapping):
        found = (_not_finite(item, f"{path}.{key}") for key, item in value.items())
    elif isinstance(value, list | tuple):
        found = (_not_finite(item, f"{path}[{index}]") for index, item in enumerate(value))
    else:
        return ""
    return next(filter(None, found), "")
