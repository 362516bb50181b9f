"""`python -m benchmarks`: see README.md of this folder."""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.environments import EnvironmentFailed, ensure, find_interpreter
from benchmarks.plots import draw
from benchmarks.results import Record, describe_commit, make_records, number, read, write
from benchmarks.rounds import Plan, Runner, Sample
from benchmarks.stores import Redis, postgres
from benchmarks.systems import MEASURES, SYSTEMS
from benchmarks.tables import show

RESULTS = Path(__file__).parent / "results"


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--systems", default=",".join(SYSTEMS), help="comma-separated; default: all")
    parser.add_argument("--measures", default=",".join(MEASURES), help="comma-separated; default: all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0, help="length of one measure")
    parser.add_argument("--quick", action="store_true", help="one round of 2 s: does everything work?")
    parser.add_argument("--dsn", help="measure on this server instead of one of our own")
    parser.add_argument("--out", type=Path, help="the JSON file; default: results/<day>-<commit>.json")
    parser.add_argument("--resume", action="store_true", help="go on with the journal of --out, where a run broke off")
    parser.add_argument("--show", type=Path, metavar="JSON", help="only print and draw the results of an earlier run")
    parser.add_argument("--set", action="append", default=[], metavar="SYSTEM.NAME=JSON", help="try another setting")
    parser.add_argument("--python", help="the interpreter for all environments; default: 3.12 or 3.13 of this machine")
    options = parser.parse_args(arguments)
    if options.quick:
        options.rounds, options.seconds = 1, 2.0
    for asked, known in ((options.systems, SYSTEMS), (options.measures, MEASURES)):
        unknown = set(asked.split(",")) - set(known)
        if unknown:
            parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(known)}")
    return options


def make_plan(options: argparse.Namespace) -> Plan:
    """What the command line asks for."""
    overrides: dict[str, tuple[str, ...]] = {}
    for entry in options.set:
        system, _, setting = entry.partition(".")
        overrides[system] = (*overrides.get(system, ()), setting)
    return Plan(
        systems=tuple(SYSTEMS[name] for name in SYSTEMS if name in options.systems.split(",")),
        measures=tuple(MEASURES[name] for name in MEASURES if name in options.measures.split(",")),
        rounds=options.rounds,
        seconds=options.seconds,
        interpreter=find_interpreter(options.python),
        overrides=overrides,
    )


def main() -> int:
    """Run, print, write, draw. The exit code says whether any system failed."""
    options, console = parse(), make_console()
    if options.show:
        records = read(options.show)
        show(console, records)
        draw(records, options.show.parent, options.show.stem)
        return 0
    plan = make_plan(options)
    out = options.out or RESULTS / f"{dt.datetime.now(dt.UTC):%Y-%m-%d}-{describe_commit()}.json"
    journal = out.with_suffix(".journal")
    out.parent.mkdir(parents=True, exist_ok=True)
    if not options.resume:
        journal.unlink(missing_ok=True)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(postgres(options.dsn))
        redis = None
        if any(system.store == "redis" for system in plan.systems):
            console.print("[dim]starting Redis[/]")
            redis = stack.enter_context(Redis(ensure("valkey", plan.interpreter)))
        runner = Runner(plan, server, redis, journal)
        runner.install(lambda line: console.print(f"[dim]{line}[/]"))
        resumed = runner.resume()
        measure_all(console, runner, plan, resumed)
        records = make_records(runner.samples, {**server.settings, "python": plan.interpreter.version})
    write(records, out)
    if not any(failed(record) for record in records):
        journal.unlink(missing_ok=True)
    show(console, records)
    pictures = draw(records, out.parent, out.stem)
    console.print(f"\n{out}\n" + "\n".join(str(path) for path in pictures if path.suffix == ".png"), highlight=False)
    return 1 if any(failed(record) for record in records) else 0


def failed(record: Record) -> bool:
    """Whether a figure is missing that the system could have given."""
    return record.value is None and record.measure not in SYSTEMS[record.system].lacks


def make_console() -> Console:
    """Wide enough for the tables where nobody says how wide, as in a log file."""
    console = Console()
    return console if console.is_terminal else Console(width=200)


def measure_all(console: Console, runner: Runner, plan: Plan, resumed: int) -> None:
    """Run it under a progress bar; every sample is said as it comes."""
    total = len(plan.systems) * len(plan.measures) * plan.rounds
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=total, completed=resumed)

        def say(event: Sample | str) -> None:
            if isinstance(event, str):
                progress.update(task, description=event)
                return
            progress.advance(task)
            what = f"round {event.round}  {event.measure:20} {event.system:14}"
            if event.value is None:
                console.print(f"{what} [red]{(event.error or '').splitlines()[-1][:100]}[/]", highlight=False)
            else:
                console.print(f"{what} {number(event.value):>9} {event.unit}", highlight=False)

        runner.run(say)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except EnvironmentFailed as error:
        sys.exit(f"benchmarks: {error}")
