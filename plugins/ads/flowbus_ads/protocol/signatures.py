"""What a method takes and gives, as the data of a call and of its answer.

The inputs follow each other without gaps, as do the result and the outputs. Source: as ads-client (npm)
calls methods of TwinCAT 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from flowbus_ads.protocol.codecs import Codec
from flowbus_ads.protocol.errors import DecodeError, EncodeError
from flowbus_ads.protocol.typeentries import Method, ParameterFlag
from flowbus_ads.protocol.typetable import TypeTable

Parts = tuple[tuple[str, Codec], ...]


class Signature(msgspec.Struct, frozen=True):
    """What a method takes and gives; ``result`` is None where it returns nothing."""

    inputs: Parts
    result: Codec | None
    outputs: Parts

    @property
    def size(self) -> int:
        """Bytes of an answer."""
        result = 0 if self.result is None else self.result.size
        return result + sum(codec.size for _, codec in self.outputs)

    def encode(self, arguments: Any) -> bytes:
        """Return the inputs of a call. Raises EncodeError."""
        if not isinstance(arguments, Mapping):
            raise EncodeError("the payload is no object of inputs")
        given = {str(name).casefold(): value for name, value in arguments.items()}
        data = []
        for name, codec in self.inputs:
            if name.casefold() not in given:
                raise EncodeError(f"the input {name} is missing")
            try:
                data.append(codec.encode(given.pop(name.casefold())))
            except EncodeError as error:
                raise EncodeError(f"input {name}: {error}") from None
        if given:
            known = ", ".join(name for name, _ in self.inputs) or "none"
            raise EncodeError(f"there is no input {next(iter(given))!r}; it has {known}")
        return b"".join(data)

    def decode(self, data: bytes) -> dict[str, Any]:
        """Return ``result`` (None where there is none) and ``outputs``. Raises DecodeError."""
        if len(data) != self.size:
            raise DecodeError(f"the answer has {len(data)} bytes, {self.size} were expected")
        at = 0
        result = None
        if self.result is not None:
            at = self.result.size
            result = self.result.decode(data[:at])
        outputs = {}
        for name, codec in self.outputs:
            outputs[name] = codec.decode(data[at : at + codec.size])
            at += codec.size
        return {"result": result, "outputs": outputs}


def signature_of(method: Method, types: TypeTable) -> Signature:
    """Return the signature of a method. Raises UnsupportedTypeError."""
    sides: dict[bool, list[tuple[str, Codec]]] = {True: [], False: []}
    for parameter in method.parameters:
        codec = types.codec(parameter.type_name, parameter.size, parameter.type_id)
        if parameter.flags & ParameterFlag.IN:
            sides[True].append((parameter.name, codec))
        if parameter.flags & ParameterFlag.OUT:
            sides[False].append((parameter.name, codec))
    result = types.codec(method.type_name, method.size, method.type_id) if method.size else None
    return Signature(tuple(sides[True]), result, tuple(sides[False]))
