"""What a job does to the tables, on whatever transaction it is given. SQL lives in the two .sql files beside this."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, Protocol

from holdfast.db import load_statements

from .gitlog import WINDOW_MONTHS, Contribution, History
from .packages import project_id
from .spdx import Edge, Sbom, SbomPackage


class Transaction(Protocol):
    """The part of an asyncpg connection used here; ``job.transaction()`` hands out the same."""

    async def execute(self, query: str, /, *args: Any) -> str:
        """Run a statement; its command tag."""
        ...

    async def fetch(self, query: str, /, *args: Any) -> Sequence[Mapping[str, Any]]:
        """All rows."""
        ...

    async def fetchrow(self, query: str, /, *args: Any) -> Mapping[str, Any] | None:
        """The first row, if any."""
        ...

    async def fetchval(self, query: str, /, *args: Any) -> Any:
        """The first value of the first row, if any."""
        ...


@cache
def statements() -> Mapping[str, str]:
    """The text of every statement by its name."""
    return {name: statement.sql for name, statement in load_statements(__package__, "statements.sql").items()}


async def install(connection: Transaction) -> None:
    """Make the schema if it is missing (several statements without parameters run as one transaction)."""
    await connection.execute(load_statements(__package__, "schema.sql")["install"].sql)


async def submit(tx: Transaction, actor: str, documents: Iterable[tuple[str, str, str]]) -> Sequence[Mapping[str, Any]]:
    """Record (repository, hash, artifact path); returns id, repository and status pending or duplicate of each."""
    rows = list(documents)
    columns = [[row[column] for row in rows] for column in range(3)]
    return await tx.fetch(statements()["submit"], columns[0], actor, columns[1], columns[2])


async def submission(
    connection: Transaction, submission_id: int, *, reprocess_failed: bool = False
) -> Mapping[str, Any] | None:
    """Repository and artifact path of a submission that is still to be processed."""
    row = await connection.fetchrow(statements()["submission"], submission_id)
    return row if row is not None and row["status"] in _open_statuses(reprocess_failed=reprocess_failed) else None


async def apply_sbom(tx: Transaction, submission_id: int, sbom: Sbom, *, reprocess_failed: bool = False) -> str:
    """Make the graph say what the document says; returns the final status, or "unchanged" if it already had one.

    Later documents win whatever the order in which jobs run: an older one that comes second is superseded.
    """
    sql = statements()
    row = await tx.fetchrow(sql["lock_submission"], submission_id)
    if row is None or row["status"] not in _open_statuses(reprocess_failed=reprocess_failed):
        return "unchanged"
    repository = sbom.repository
    project = project_id(repository.purl, repository.homepage)
    await tx.execute(sql["add_projects"], [project])
    vertex_id = await _own_vertex(tx, [repository, *sbom.packages], repository.canonical)
    if await tx.fetchval(sql["newer_processed"], row["repository"], submission_id):
        await tx.execute(sql["end_submission"], submission_id, "superseded", None, reprocess_failed)
        return "superseded"
    await tx.execute(
        sql["describe_vertex"], vertex_id, repository.name, repository.version, repository.licence,
        repository.homepage, project,
    )  # fmt: skip
    await claim(tx, vertex_id, "verified-sbom", sbom.edges)
    await tx.execute(sql["end_submission"], submission_id, "processed", None, reprocess_failed)
    return "processed"


async def claim(tx: Transaction, vertex_id: int, confidence: str, edges: Sequence[Edge]) -> None:
    """Replace everything a repository says with this confidence; what others say, and say better, stays."""
    sql = statements()
    needs, needed = [edge[0] for edge in edges], [edge[1] for edge in edges]
    await tx.execute(sql["withdraw_claims"], vertex_id, confidence, needs, needed)
    await tx.execute(sql["add_claims"], vertex_id, confidence, needs, needed, [edge[2] for edge in edges])


async def fail_submission(
    connection: Transaction, submission_id: int, reason: str, *, reprocess_failed: bool = False
) -> None:
    """Note why a document cannot be used; a submission that is final already stays as it is."""
    await connection.fetchval(
        statements()["end_submission"], submission_id, "failed", _storable(reason), reprocess_failed
    )


async def apply_history(tx: Transaction, path: str, history: History) -> None:
    """Make contributors of a repository exactly those of the window: newcomers enter, the departed leave."""
    sql = statements()
    project = project_id(history.repository, None)
    await tx.execute(sql["add_projects"], [project])
    named = SbomPackage(history.repository, history.repository, history.name, None, None, None)
    vertex_id = await _own_vertex(tx, [named], history.repository)
    await tx.execute(sql["describe_history"], vertex_id, history.latest_commit_at, project)
    people = sorted(history.contributions, key=lambda contribution: contribution.email_hash)
    await _contributions(tx, vertex_id, people)
    await tx.execute(sql["record_gitlog"], path, vertex_id, WINDOW_MONTHS, "processed", None)


async def _contributions(tx: Transaction, vertex_id: int, people: Sequence[Contribution]) -> None:
    sql = statements()
    hashes = [person.email_hash for person in people]
    await tx.execute(sql["add_contributors"], hashes, [person.name for person in people])
    await tx.execute(sql["forget_departed"], vertex_id, hashes)
    commits, first, last = (
        [person.commits for person in people],
        [person.first_at for person in people],
        [person.last_at for person in people],
    )
    await tx.execute(sql["record_contributions"], vertex_id, hashes, commits, first, last)


async def fail_history(connection: Transaction, path: str, reason: str) -> None:
    """Note why a history could not be read; what was known of the repository stays."""
    await connection.execute(statements()["record_gitlog"], path, None, WINDOW_MONTHS, "failed", _storable(reason))


async def record_figure(tx: Transaction, canonical: str, figure: str, source: str, value: int) -> None:
    """Keep the latest downloads, stars or forks of a repository from one source."""
    await tx.execute(statements()["record_figure"], canonical, figure, source, value)


async def server_time(connection: Transaction) -> datetime:
    """The clock that rows are stamped with."""
    moment: datetime = await connection.fetchval(statements()["server_time"])
    return moment


async def pending_submissions(connection: Transaction) -> list[int]:
    """Every document that still waits, oldest first."""
    return [row["id"] for row in await connection.fetch(statements()["pending_submissions"])]


async def current_scores(
    connection: Transaction, since: datetime
) -> tuple[int, Sequence[Mapping[str, Any]], list[tuple[str, str]], Sequence[Mapping[str, Any]]]:
    """Of the newest snapshot: how many scores changed since then, the nodes, the edges by name, the projects."""
    sql = statements()
    snapshot = await connection.fetchrow(sql["latest_snapshot"])
    if snapshot is None:
        return 0, (), [], ()
    is_new = snapshot["made_at"] >= since
    changed = int(await connection.fetchval(sql["changed_scores"], snapshot["id"])) if is_new else 0
    nodes = await connection.fetch(sql["nodes"], snapshot["id"])
    names = {row["id"]: row["canonical_id"] for row in nodes}
    edges = [
        (names[row["in_vertex_id"]], names[row["out_vertex_id"]])
        for row in await connection.fetch(sql["edges"])
        if row["in_vertex_id"] in names and row["out_vertex_id"] in names
    ]
    return changed, nodes, edges, await connection.fetch(sql["projects"], snapshot["id"])


async def failures_since(connection: Transaction, moment: datetime) -> Sequence[Mapping[str, Any]]:
    """kind, item and reason of everything that failed from that moment on."""
    return await connection.fetch(statements()["failures_since"], moment)


def _storable(reason: str) -> str:
    """Reasons quote what was wrong, and that may be what PostgreSQL cannot hold either."""
    return reason.replace("\x00", "\\0").encode("utf-8", "replace").decode()


def _open_statuses(*, reprocess_failed: bool) -> tuple[str, ...]:
    """A failed submission is final too, unless somebody asks for it by that status."""
    return ("pending", "failed") if reprocess_failed else ("pending",)


async def _own_vertex(tx: Transaction, packages: Sequence[SbomPackage], own: str) -> int:
    """Make missing vertices in name order, then lock the own one; the look comes after the wait."""
    sql = statements()
    unique = {package.canonical: package for package in packages}
    ordered = [unique[canonical] for canonical in sorted(unique)]
    await tx.execute(
        sql["add_vertices"],
        [package.canonical for package in ordered],
        [package.name for package in ordered],
        [package.version for package in ordered],
        [package.licence for package in ordered],
        [package.homepage for package in ordered],
    )
    return int(await tx.fetchval(sql["lock_vertex"], own))
