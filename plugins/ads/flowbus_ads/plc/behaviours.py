"""What a simulated symbol does by itself: ramp, toggle, sine, counter, echo."""

from __future__ import annotations

from math import pi, sin
from typing import Annotated, Any, Literal

from msgspec import Meta, field

from flowbus import Config
from flowbus_ads.plc.memory import Place, PlcMemory
from flowbus_ads.protocol.codecs import BoolCodec, FloatCodec, IntegerCodec
from flowbus_ads.protocol.errors import EncodeError

Kind = Literal["constant", "ramp", "toggle", "sine", "counter", "echo"]


class SymbolOptions(Config):
    """A symbol of the simulated PLC."""

    type: Annotated[
        str, Meta(description="PLC type, such as INT, STRING(20), ARRAY [1..3] OF REAL, or one of `types`.")
    ]
    value: Annotated[
        Any, Meta(description="First value; zero, false or an empty text when absent.")
    ] = None
    comment: Annotated[str, Meta(description="Comment, as clients see it in the symbol table.")] = (
        ""
    )
    attributes: Annotated[
        dict[str, str], Meta(description="Attributes, as clients see them in the symbol table.")
    ] = field(default_factory=dict)
    behaviour: Annotated[Kind, Meta(description="What the value does by itself.")] = "constant"
    period: Annotated[
        float, Meta(gt=0, description="Seconds: of a ramp or sine, between toggles or counts.")
    ] = 1.0
    low: Annotated[float, Meta(description="Lowest value of a ramp or sine.")] = 0.0
    high: Annotated[float, Meta(description="Highest value of a ramp or sine.")] = 100.0
    step: Annotated[int, Meta(description="What a counter adds.")] = 1
    of: Annotated[str, Meta(description="Symbol whose value an echo takes over.")] = ""

    def __post_init__(self) -> None:
        if (self.behaviour == "echo") != bool(self.of):
            raise ValueError('"of" names the symbol that an echo follows: give both or neither')


class Behaviour:
    """Moves one symbol with time."""

    def __init__(self, place: Place, options: SymbolOptions, memory: PlcMemory) -> None:
        self._place, self._options, self._memory = place, options, memory
        self._start = memory.value(place.name)
        needs = {"toggle": BoolCodec, "echo": object}.get(
            options.behaviour, IntegerCodec | FloatCodec
        )
        if not isinstance(place.codec, needs):
            raise ValueError(  # noqa: TRY004, it is an option that is wrong
                f"{place.name}: a {place.type_name} cannot {options.behaviour}"
            )

    def move(self, elapsed: float) -> None:
        """Set the value for ``elapsed`` seconds since the start of the program."""
        value = self._value(elapsed)
        codec = self._place.codec
        if isinstance(codec, IntegerCodec):
            value = min(max(round(value), codec.low), codec.high)
        try:
            data = codec.encode(value)
        except EncodeError:  # an echo of a value that does not fit keeps the last one
            return
        self._memory.write(self._place.group, self._place.offset, data)

    def _value(self, elapsed: float) -> Any:
        options = self._options
        turns = elapsed / options.period
        span = options.high - options.low
        match options.behaviour:
            case "ramp":
                return options.low + span * (turns % 1.0)
            case "sine":
                return options.low + span * (1 + sin(2 * pi * turns)) / 2
            case "toggle":
                return bool(self._start) ^ bool(int(turns) % 2)
            case "echo":
                return self._memory.value(options.of)
        return self._counted(int(turns))

    def _counted(self, steps: int) -> Any:
        value = self._start + steps * self._options.step
        codec = self._place.codec
        if isinstance(codec, IntegerCodec):  # a PLC counter wraps
            return (value - codec.low) % (codec.high - codec.low + 1) + codec.low
        return value
