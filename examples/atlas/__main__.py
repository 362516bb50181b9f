"""``python -m examples.atlas [paths...]``: what this machine stands on."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from .picture import draw
from .pipeline import Atlas, Request, run
from .report import as_json, marks, print_report

_DEFAULT_OUT = Path(".holdfast/atlas")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run once; 0 when every item was processed, 1 when one failed."""
    options = _parser().parse_args(arguments)
    request = Request(options.paths or [Path.cwd()], options.out, options.limit)
    # Progress goes to stderr, so that stdout holds the tables or the JSON and nothing else.
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        atlas = asyncio.run(run(request, progress))
        picture = _picture(atlas, options.out, progress)
    if options.json:
        sys.stdout.write(json.dumps(as_json(atlas, picture), indent=2) + "\n")
    else:
        print_report(Console(), atlas, picture)
    return 1 if atlas.failures else 0


def _picture(atlas: Atlas, out: Path, progress: Progress) -> Path | None:
    found = marks(atlas)
    if all(mark.is_history for mark in found):
        return None
    stage = progress.add_task("Drawing the graph", total=None)
    target = draw(found, atlas.edges, out / "atlas-graph.png")
    progress.update(stage, total=1, completed=1)
    return target


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m examples.atlas", description=__doc__)
    parser.add_argument(
        "paths",
        nargs="*",
        type=Path,
        help="git repositories (directories) and SPDX 2.3 documents (files); default: here",
    )
    parser.add_argument("--out", type=Path, default=_DEFAULT_OUT, help="where documents and the picture go")
    parser.add_argument("--limit", type=_positive, help="at most so many packages of each package database")
    parser.add_argument("--json", action="store_true", help="print everything as JSON instead of tables")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


if __name__ == "__main__":
    sys.exit(main())
