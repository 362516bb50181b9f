"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

DatabaseUrl: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--database-url",
        metavar="URL",
        help="PostgreSQL to use; default: HOLDFAST_DATABASE_URL, DATABASE_URL, "
        "holdfast.toml, or else the project's embedded server",
    ),
]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="print data as JSON on stdout")]
Yes: TypeAlias = Annotated[bool, typer.Option("--yes", "-y", help="do it without asking")]
AppPath: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--app",
        metavar="WHERE",
        help="the application: module, module:attribute, file.py or file.py:attribute; default: the setting app",
    ),
]
Queues: TypeAlias = Annotated[
    str | None,
    typer.Option("--queues", "-q", metavar="A,B", help="queues to serve, comma-separated; default: the setting"),
]
Concurrency: TypeAlias = Annotated[
    int | None,
    typer.Option("--concurrency", "-c", min=1, metavar="N", help="jobs that run at a time; default: the setting"),
]
Processes: TypeAlias = Annotated[
    int, typer.Option("--processes", "-p", min=1, metavar="N", help="worker processes under one supervisor")
]
Where: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--filter",
        "-f",
        metavar="FILTER",
        help="only jobs that it finds: 'queue=mail state=failed error~timeout age>1h'",
    ),
]
ManyIds: TypeAlias = Annotated[list[int] | None, typer.Argument(metavar="[ID]...", help="ids of jobs, or --filter")]
Look: TypeAlias = Annotated[bool, typer.Option("--preview", help="say what would be moved, move nothing")]
InBackground: TypeAlias = Annotated[
    bool, typer.Option("--in-background", help="let workers do it; holdfast operation shows how far they are")
]
JobIds: TypeAlias = Annotated[list[int], typer.Argument(metavar="ID...", help="ids of jobs")]
OneJobId: TypeAlias = Annotated[int, typer.Argument(metavar="ID", help="id of the job")]


def help_of(promise: str, *examples: str, more: str = "") -> str:
    """The help text of a command: what it does, how it looks in use, and what else is worth knowing."""
    # The control character keeps the lines of a paragraph as they are.
    shown = "\n".join(["\b", *(f"  $ {example}" for example in examples)])
    return "\n\n".join(part for part in (promise, shown, more) if part)
