"""``flowbus schema``."""

from __future__ import annotations

import click
import orjson

from flowbus import plugins
from flowbus.schema import flow_schema


@click.command()
def schema() -> None:
    """Print the JSON Schema of the flow file, with every installed type, for editors.

    What did not load is missing; `flowbus nodes` says why.
    """
    found = flow_schema(plugins.installed())
    click.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
