"""A command line option that is a number of seconds."""

from __future__ import annotations

import math

import click


def seconds(text: object) -> float:
    """Return the finite number, at least 0, that an option was given, or say what it should be."""
    try:
        number = float(str(text))
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise click.BadParameter(f"{text!r} is not a number of seconds, such as 30 or 0.5")
    return number
