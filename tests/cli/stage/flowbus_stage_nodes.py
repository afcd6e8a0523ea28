"""Node types of the stage plugin. Files are how a test tells a flow in another process to go on."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated

import click
import msgspec
import trio

from flowbus import (
    Config,
    ConfigError,
    Fault,
    Lost,
    Message,
    NodeIO,
    Ref,
    Secret,
    connection,
    io_node,
)

GONE = Fault(
    "stage.0x0745", "STAGE_GONE", "The line is gone.", "Plug it in.", number=0x745, temporary=True,
    aliases=("LINE_GONE",),
)  # fmt: skip
FAULTS = (GONE,)


class Tick(Config):
    """Emit whole numbers, one after the other."""

    count: Annotated[int, msgspec.Meta(ge=0, description="How many; 0: without end.")] = 0
    every: Annotated[float, msgspec.Meta(ge=0, description="Seconds between two.")] = 0.01


@io_node("stage-tick")
async def tick(config: Tick, io: NodeIO) -> None:
    """Emit whole numbers, one after the other."""
    io.connected("ticking")
    sent = 0
    while not config.count or sent < config.count:
        await io.send(Message(sent))
        sent += 1
        await trio.sleep(config.every)


class Gate(Config):
    """Take messages, and confirm them once a file is there."""

    file: Annotated[
        str, msgspec.Meta(description="The file; without one all is confirmed at once.")
    ] = ""
    connection: Annotated[Ref["stage-line"] | None, msgspec.Meta(description="A line.")] = None


@io_node("stage-gate", outlets=())
async def gate(config: Gate, io: NodeIO) -> None:
    """Take messages, and confirm them once a file is there."""
    if config.connection is not None:
        await io.connection()

    async def pass_on(message: Message) -> None:
        while config.file and not Path(config.file).exists():  # noqa: ASYNC240
            await trio.sleep(0.01)

    await io.each(pass_on)


class Line(Config):
    """A line that is always up."""

    password: Annotated[Secret, msgspec.Meta(description="A secret.")] = Secret("")


@connection("stage-line")
async def line(config: Line) -> AsyncIterator[None]:
    """A line that is always up."""
    yield None


class Nothing(Config):
    """It has no options."""


@io_node("stage-stuck")
async def stuck(config: Nothing, io: NodeIO) -> None:
    """Do not end when cancelled."""
    io.connected()
    with trio.CancelScope(shield=True):
        await trio.sleep_forever()


@io_node("stage-busy")
async def busy(config: Gate, io: NodeIO) -> None:
    """Hold up the whole program."""
    io.connected()
    await trio.sleep(0.2)
    Path(config.file).touch()  # noqa: ASYNC240
    while True:
        time.sleep(0.01)


@io_node("stage-wrong")
async def wrong(config: Nothing, io: NodeIO) -> None:
    """Fail for good."""
    raise ConfigError("there is no such line")


@io_node("stage-lost")
async def lost(config: Nothing, io: NodeIO) -> None:
    """Never reach the peer."""
    raise Lost(GONE, "nobody answers")


class Shout(Config):
    """Say a secret aloud."""

    secret: Secret


@io_node("stage-shout")
async def shout(config: Shout, io: NodeIO) -> None:
    """Say a secret aloud, in a log line and in an error."""
    io.connected(f"the secret is {config.secret.reveal()}")
    logging.getLogger("somewhere").warning("psst: %s", config.secret.reveal())
    raise RuntimeError(f"cannot log in with {config.secret.reveal()}")


@click.command()
@click.option("--name", default="you")
def hello(name: str) -> None:
    """Say hello."""
    click.echo(f"hello {name}")
