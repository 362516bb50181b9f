"""``holdfast metrics``: everything as Prometheus reads it, once."""

from __future__ import annotations

import sys

import typer

from holdfast.app import Holdfast
from holdfast.cli.connection import on_application
from holdfast.cli.options import DatabaseUrl, help_of
from holdfast.errors import ConfigurationError

commands = typer.Typer()


@commands.command(
    help=help_of(
        "Everything as Prometheus reads it, once; /metrics of the API serves the same.",
        "holdfast metrics > /var/lib/node_exporter/holdfast.prom",
    )
)
def metrics(database_url: DatabaseUrl = None) -> None:
    """Print the metrics."""
    try:
        from holdfast.observe import metrics as made
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"metrics need the package {error.name}", remedy='pip install "holdfast[api]"'
        ) from None

    async def work(app: Holdfast) -> bytes:
        return made.expose(await made.read_figures(app.database))

    text = on_application(database_url, work)
    sys.stdout.buffer.write(text)
    sys.stdout.flush()
