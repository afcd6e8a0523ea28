"""The entries that this plugin adds to the error registry, domain ``core``."""

from __future__ import annotations

from flowbus import Fault

NOT_JSON = Fault(
    "core.not_json",
    "text is not JSON",
    "A json-decode node got a text that is not JSON, or no text at all.",
    "Look at the place that the text names and mend the sender, or wire the node's error outlet.",
)
TOO_LARGE = Fault(
    "core.too_large",
    "text too large",
    "A json-decode node got a text of more bytes than its option max_bytes allows.",
    "Raise max_bytes on the node if such messages are wanted, or have the sender split them.",
)
NOT_ENCODABLE = Fault(
    "core.not_encodable",
    "value has no JSON form",
    "A json-encode node got a value that JSON cannot hold: bytes, NaN or infinity, a key that is no text.",
    "Put a map before the node that leaves the value out or turns it into a text or a number.",
)
EXPRESSION = Fault(
    "core.expression",
    "expression failed",
    "A JSONata expression could not be evaluated for this message.",
    "Compare the message with the expression; test for the type first, as in $type(payload) = 'number'.",
)
EXPRESSION_LIMIT = Fault(
    "core.expression_limit",
    "expression too costly",
    "A JSONata expression ran too long, recursed too deeply or built a list too long.",
    "Simplify the expression, or split the message before it; look for a recursion without an end.",
)
NO_VALUE = Fault(
    "core.no_value",
    "expression gives nothing",
    "A JSONata expression gave no value (or none of the right type) for this message.",
    "Give a value for that case, as in $exists(payload.x) ? payload.x : 0, or filter such messages out.",
)
NOT_A_LIST = Fault(
    "core.not_a_list",
    "payload is not a list",
    "A split node got a payload that is not a list.",
    "Put a map before the node that makes a list, for instance with the payload [payload.items].",
)
OUTPUT = Fault(
    "core.output",
    "debug output lost",
    "A debug node cannot write to its output, for instance because the reader of a pipe has gone.",
    "Choose the other output with the option to, or restart flowbus with a place for its output.",
)

FAULTS: tuple[Fault, ...] = (
    NOT_JSON, TOO_LARGE, NOT_ENCODABLE, EXPRESSION, EXPRESSION_LIMIT, NO_VALUE, NOT_A_LIST, OUTPUT,
)  # fmt: skip
