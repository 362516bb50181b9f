"""One run: read the sources, hand them in, let jobs do the work, collect what came out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from packageurl import PackageURL
from rich.progress import Progress, TaskID

from holdfast import GiveUp, Holdfast
from holdfast.db import embedded

from . import store
from .artifacts import store_artifact
from .debian_packages import installed_debian_packages
from .packages import InstalledPackage, Source, canonical_id, github_repository
from .python_packages import installed_python_packages
from .spdx import document_for, unwrap
from .tasks import GITLOG, SBOM, SCORES, app, compute_scores, process_gitlog, process_sbom

_CONCURRENCY = 8
_SERVER_HOME = Path(".holdfast/atlas-server")


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line asks for: directories are repositories, files are SBOM documents."""

    paths: Sequence[Path]
    out: Path
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """One item that could not be processed, and why."""

    kind: str
    item: str
    reason: str


@dataclass(slots=True)
class Atlas:
    """What a run found: rows as they are shown, and everything that failed."""

    submitted: int = 0
    unchanged: int = 0
    changed_scores: int = 0
    nodes: Sequence[Mapping[str, Any]] = ()
    edges: Sequence[tuple[str, str]] = ()
    projects: Sequence[Mapping[str, Any]] = ()
    failures: list[Failure] = field(default_factory=list)


@asynccontextmanager
async def open_app() -> AsyncIterator[Holdfast]:
    """Open the app: the one place that decides where the database is.

    It is the server named by the environment, else one that this process owns and that ends with it; its data stays
    beside the documents, so that a second run finds what is unchanged.
    """
    with ExitStack() as stack:
        app.configure()
        if app.settings.database_url is None:
            app.configure(stack.enter_context(embedded.owned_server(_SERVER_HOME)).url)
        await app.open(bring_up=True)
        try:
            yield app
        finally:
            await app.close()


async def run(request: Request, progress: Progress) -> Atlas:
    """Everything from reading the sources to current scores."""
    atlas = Atlas()
    async with open_app() as opened:
        async with opened.database.user.acquire() as connection:
            await store.install(connection)
            started = await store.server_time(connection)
        await _hand_in(opened, request, atlas, progress)
        jobs_failed = await _drain(opened, [SBOM, GITLOG], progress)
        await compute_scores.options(unique="scores").enqueue()
        jobs_failed += await _drain(opened, [SCORES], progress)
        async with opened.database.user.acquire() as connection:
            await _collect(connection, atlas, started)
    atlas.failures += jobs_failed
    return atlas


async def _hand_in(opened: Holdfast, request: Request, atlas: Atlas, progress: Progress) -> None:
    """Record every document and enqueue a job for each that is new, and for each history."""
    stage = progress.add_task("Reading installed packages", total=None)
    sources = await asyncio.to_thread(read_sources, request.limit)
    progress.update(stage, total=1, completed=1, description=_found(sources))
    for source in sources:
        atlas.failures += [Failure("source", source.name, reason) for reason in source.unreadable]
    documents = {source.name: _documents(source.packages) for source in sources}
    files = [path for path in request.paths if is_document(path)]
    documents["command line"] = _given_documents(files, atlas)
    count = sum(map(len, documents.values()))
    stage = progress.add_task(f"Handing in {count:,} SPDX documents", total=count)
    for actor, given in documents.items():
        rows = await asyncio.to_thread(_store_all, request.out, given)
        async with opened.database.user.acquire() as connection:
            submitted = await store.submit(connection, actor, rows)
        atlas.submitted += len(submitted)
        atlas.unchanged += sum(row["status"] == "duplicate" for row in submitted)
        progress.advance(stage, len(given))
    async with opened.database.user.acquire() as connection:
        pending = await store.pending_submissions(connection)
    # The key makes it harmless to enqueue again what a run that was killed here had enqueued already.
    directory = str(request.out.resolve())
    await asyncio.gather(
        *(process_sbom.options(unique=f"sbom:{row}").enqueue(row, directory) for row in pending),
        *(
            process_gitlog.options(unique=f"gitlog:{path}").enqueue(str(path))
            for path in sorted({path.resolve() for path in request.paths if not is_document(path)})
        ),
    )


def read_sources(limit: int | None) -> list[Source]:
    """The package databases of this machine, each cut to its first ``limit`` packages."""
    found = [installed_python_packages(), installed_debian_packages()]
    return [Source(source.name, source.packages[:limit], source.unreadable) for source in found if source is not None]


def is_document(path: Path) -> bool:
    """Files are documents, directories are repositories; of what is missing the name decides."""
    return path.is_file() or (path.suffix == ".json" and not path.is_dir())


def _found(sources: Sequence[Source]) -> str:
    return "Read " + ", ".join(f"{len(source.packages):,} {source.name}" for source in sources)


def _documents(packages: Iterable[InstalledPackage]) -> list[tuple[str, bytes]]:
    now = datetime.now(UTC)
    return [(package.canonical_id(), json.dumps(document_for(package, now)).encode()) for package in packages]


def _given_documents(files: Sequence[Path], atlas: Atlas) -> list[tuple[str, bytes]]:
    documents = []
    for path in files:
        try:
            documents.append((_claimed_repository(path, raw := path.read_bytes()), raw))
        except OSError as problem:
            atlas.failures.append(Failure("sbom", str(path), problem.strerror or str(problem)))
    return documents


def _claimed_repository(path: Path, raw: bytes) -> str:
    """Whose document a file is: its name when that is a purl or a GitHub repository, else the name of the file."""
    try:
        document = unwrap(json.loads(raw))
    except ValueError:
        document = None
    name = str(document.get("name", "")) if isinstance(document, dict) else ""
    exported = github_repository(name.replace("com.github.", "github.com/", 1))
    if exported is not None:
        return exported
    try:
        return canonical_id(name)
    except ValueError:
        return PackageURL("generic", None, path.name.split(".")[0] or "document").to_string()


def _store_all(directory: Path, documents: Iterable[tuple[str, bytes]]) -> list[tuple[str, str, str]]:
    return [(repository, *store_artifact(directory, raw)) for repository, raw in documents]


async def _drain(opened: Holdfast, queues: list[str], progress: Progress) -> list[Failure]:
    """Work until nothing is runnable; the bar follows the documents, which are nearly all of the work."""
    async with opened.database.user.acquire() as connection:
        waiting = len(await store.pending_submissions(connection))
    stage = progress.add_task(f"Working on {', '.join(queues)}", total=max(waiting, 1))
    watch = asyncio.create_task(_watch(opened, progress, stage, waiting))
    try:
        report = await opened.drain(queues, concurrency=_CONCURRENCY)
    finally:
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)
    progress.update(stage, completed=max(waiting, 1))
    found = [(failed, _described(failed.error)) for failed in report.failures]
    # A job that gave up has noted why beside its item, and is listed by that.
    return [
        Failure("job", f"{failed.task} {failed.job_id}", f"{kind}: {message}")
        for failed, (kind, message) in found
        if kind != GiveUp.__name__
    ]


def _described(error: str) -> tuple[str, str]:
    """Type and message of a stored error."""
    try:
        stored = json.loads(error)
        return str(stored["type"]), str(stored["message"])
    except (ValueError, TypeError, KeyError):
        return "error", error


async def _watch(opened: Holdfast, progress: Progress, stage: TaskID, total: int) -> None:
    while total:
        async with opened.database.user.acquire() as connection:
            waiting = len(await store.pending_submissions(connection))
        progress.update(stage, completed=max(0, total - waiting))
        await asyncio.sleep(0.2)


async def _collect(connection: store.Transaction, atlas: Atlas, started: datetime) -> None:
    shown = await store.current_scores(connection, started)
    atlas.changed_scores, atlas.nodes, atlas.edges, atlas.projects = shown
    atlas.failures += [
        Failure(row["kind"], row["item"], row["reason"]) for row in await store.failures_since(connection, started)
    ]
