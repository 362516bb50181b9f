"""``holdfast version``: which program this is."""

from __future__ import annotations

import platform
from importlib import metadata

import typer

from holdfast.cli.options import AsJson, help_of
from holdfast.cli.screen import screen

commands = typer.Typer()


@commands.command(help=help_of("The versions of Holdfast and Python.", "holdfast version"))
def version(as_json: AsJson = False) -> None:
    """Say which program this is."""
    ours, python = metadata.version("holdfast"), platform.python_version()
    if as_json:
        screen.json({"holdfast": ours, "python": python})
    else:
        screen.write(f"holdfast {ours} (Python {python})")
