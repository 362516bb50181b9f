"""What jobs do to the tables: PA-05, PA-09, PA-10, PA-14, F4, F5, F9, F13, F14."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest

from examples.atlas import store
from examples.atlas.gitlog import Contribution, History, email_hash
from examples.atlas.scores import materialise
from examples.atlas.spdx import Sbom, SbomPackage
from tests.examples.atlas.queries import query

DAY = datetime(2026, 11, 1, tzinfo=UTC)


def named(name: str) -> SbomPackage:
    return SbomPackage(f"pkg:pypi/{name}", f"pkg:pypi/{name}@1", name, "1", None, None)


def sbom(name: str, *needs: str, nested: tuple[tuple[str, str], ...] = ()) -> Sbom:
    edges = [(name, needed) for needed in needs] + list(nested)
    others = sorted({end for edge in edges for end in edge} - {name})
    return Sbom(
        named(name),
        tuple(named(other) for other in others),
        tuple((f"pkg:pypi/{one}", f"pkg:pypi/{other}", None) for one, other in sorted(edges)),
    )


def history(**commits: int) -> History:
    people = [Contribution(email_hash(f"{name}@example.org"), name, count, DAY, DAY) for name, count in commits.items()]
    return History("pkg:github/example/thing", "thing", tuple(people), DAY)


async def submit(connection: asyncpg.Connection, name: str, content: str = "a") -> Any:
    [row] = await store.submit(connection, "test", [(f"pkg:pypi/{name}", content * 64, f"sboms/{content}.json")])
    return row


async def apply(connection: asyncpg.Connection, document: Sbom, content: str = "a") -> str:
    row = await submit(connection, document.repository.name, content)
    async with connection.transaction():
        return await store.apply_sbom(connection, row["id"], document)


async def edges(connection: asyncpg.Connection) -> set[tuple[str, str, str]]:
    return {tuple(row) for row in await connection.fetch(query("edges"))}


async def statuses(connection: asyncpg.Connection) -> list[str]:
    return [row["status"] for row in await connection.fetch(query("submissions"))]


async def test_installing_twice_and_at_once_is_harmless(database_url: str) -> None:
    async def install() -> None:
        opened = await asyncpg.connect(database_url)
        await store.install(opened)
        await opened.close()

    await asyncio.gather(*(install() for _ in range(4)))
    await install()


async def test_a_document_becomes_vertices_and_edges(connection: asyncpg.Connection) -> None:
    assert await apply(connection, sbom("app", "left", "right", nested=(("left", "right"),))) == "processed"

    assert await edges(connection) == {
        ("app", "left", "verified-sbom"),
        ("app", "right", "verified-sbom"),
        ("left", "right", "verified-sbom"),
    }
    assert await statuses(connection) == ["processed"]
    kinds = {row["display_name"]: row["kind"] for row in await connection.fetch(query("vertices"))}
    assert kinds == {"app": "repo", "left": "external-repo", "right": "external-repo"}


async def test_processing_again_changes_nothing(connection: asyncpg.Connection) -> None:
    document = sbom("app", "left", nested=(("left", "right"),))
    await apply(connection, document)
    before = await edges(connection), await connection.fetchval(query("claims"))

    row = await submit(connection, "app", "b")
    assert await store.apply_sbom(connection, row["id"], document) == "processed"
    assert await store.apply_sbom(connection, row["id"], document) == "unchanged"
    assert (await edges(connection), await connection.fetchval(query("claims"))) == before


async def test_edges_that_are_not_declared_any_more_go(connection: asyncpg.Connection) -> None:
    """F14: nested edges used to stay for ever."""
    await apply(connection, sbom("app", "left", nested=(("left", "right"),)))
    await apply(connection, sbom("app", "right"), "b")

    assert await edges(connection) == {("app", "right", "verified-sbom")}


async def test_an_edge_stays_as_long_as_somebody_declares_it(connection: asyncpg.Connection) -> None:
    await apply(connection, sbom("app", "left", nested=(("left", "right"),)))
    await apply(connection, sbom("other", "left", nested=(("left", "right"),)))
    await apply(connection, sbom("app"), "b")

    assert await edges(connection) == {("other", "left", "verified-sbom"), ("left", "right", "verified-sbom")}


async def test_confidence_verified_survives_a_shadow(connection: asyncpg.Connection) -> None:
    await apply(connection, sbom("app", "left"))
    app = await connection.fetchval(query("vertex_id"), "pkg:pypi/app")

    shadow = [("pkg:pypi/app", "pkg:pypi/left", "*")]
    for _ in range(2):
        await store.claim(connection, app, "inferred-shadow", shadow)
    assert await edges(connection) == {("app", "left", "verified-sbom")}

    await apply(connection, sbom("app"), "b")
    assert await edges(connection) == {("app", "left", "inferred-shadow")}


async def test_self_loops_are_dropped(connection: asyncpg.Connection) -> None:
    await apply(connection, sbom("app", nested=(("app", "app"),)))

    assert await edges(connection) == set()


async def test_the_same_content_is_a_duplicate_and_ends_there(connection: asyncpg.Connection) -> None:
    """F9: a duplicate of a pending submission used to be processed a second time."""
    given = [await submit(connection, "app", content) for content in "aab"]
    assert [row["status"] for row in given] == ["pending", "duplicate", "pending"]

    # Back to what it said before: news, because the last word was another one.
    assert (await submit(connection, "app", "a"))["status"] == "pending"
    assert (await submit(connection, "other", "a"))["status"] == "pending"
    assert len(await store.pending_submissions(connection)) == 4


async def test_a_failed_content_may_be_submitted_again(connection: asyncpg.Connection) -> None:
    row = await submit(connection, "app")
    await store.fail_submission(connection, row["id"], "no good")

    assert (await submit(connection, "app"))["status"] == "pending"


async def test_the_newest_document_wins_whatever_runs_first(connection: asyncpg.Connection) -> None:
    older, newer = await submit(connection, "app", "a"), await submit(connection, "app", "b")

    assert await store.apply_sbom(connection, newer["id"], sbom("app", "new")) == "processed"
    assert await store.apply_sbom(connection, older["id"], sbom("app", "old")) == "superseded"
    assert await edges(connection) == {("app", "new", "verified-sbom")}
    assert await store.pending_submissions(connection) == []


async def test_terminal_and_missing_submissions_are_left_alone(connection: asyncpg.Connection) -> None:
    row = await submit(connection, "app")
    await store.fail_submission(connection, row["id"], "x" * 10_000)

    assert await store.submission(connection, row["id"]) is None
    assert await store.submission(connection, 999) is None
    assert await store.apply_sbom(connection, row["id"], sbom("app", "left")) == "unchanged"
    assert await store.apply_sbom(connection, 999, sbom("app", "left")) == "unchanged"
    assert await statuses(connection) == ["failed"]
    [failure] = await store.failures_since(connection, DAY)
    assert (failure["kind"], failure["item"], len(failure["reason"])) == ("sbom", "pkg:pypi/app", 4096)


async def test_a_failed_submission_is_processed_when_asked_for(connection: asyncpg.Connection) -> None:
    row = await submit(connection, "app")
    await store.fail_submission(connection, row["id"], "missing artifact")

    assert await store.submission(connection, row["id"], reprocess_failed=True) is not None
    assert await store.apply_sbom(connection, row["id"], sbom("app", "left"), reprocess_failed=True) == "processed"
    assert await statuses(connection) == ["processed"]
    await store.fail_submission(connection, row["id"], "too late")
    assert await statuses(connection) == ["processed"]


async def test_writers_of_shared_packages_neither_deadlock_nor_wait(
    database_url: str, connection: asyncpg.Connection
) -> None:
    """F13: eight writers name the same twenty packages, each in an order of its own."""
    shared = [f"shared-{number}" for number in range(20)]
    pool = await asyncpg.create_pool(database_url, min_size=8, max_size=8)

    async def write(number: int) -> str:
        turned = shared[number:] + shared[:number]
        async with pool.acquire() as own, own.transaction():
            row = await submit(own, f"app-{number}")
            return await store.apply_sbom(own, row["id"], sbom(f"app-{number}", *reversed(turned)))

    assert await asyncio.gather(*(write(number) for number in range(8))) == ["processed"] * 8
    assert len(await edges(connection)) == 160

    async with pool.acquire() as one, pool.acquire() as other, one.transaction():
        row = await submit(one, "slow")
        await store.apply_sbom(one, row["id"], sbom("slow", "shared-1"))
        await other.execute(query("impatient"))
        row = await submit(other, "quick")
        async with other.transaction():
            assert await store.apply_sbom(other, row["id"], sbom("quick", "shared-1")) == "processed"
    await pool.close()


async def test_two_writers_of_one_repository_take_turns(database_url: str, connection: asyncpg.Connection) -> None:
    older, newer = await submit(connection, "app", "a"), await submit(connection, "app", "b")
    first, second = await asyncpg.connect(database_url), await asyncpg.connect(database_url)
    await apply(connection, sbom("app"), "c")
    newest = await submit(connection, "app", "d")

    async with first.transaction():
        await store.apply_sbom(first, newest["id"], sbom("app", "new"))
        waiting = asyncio.create_task(store.apply_sbom(second, newer["id"], sbom("app", "old")))
        while not await connection.fetchval(query("somebody_waits")):
            assert not waiting.done()
    assert await waiting == "superseded"
    assert await store.apply_sbom(second, older["id"], sbom("app", "older")) == "superseded"
    assert await edges(connection) == {("app", "new", "verified-sbom")}
    await first.close()
    await second.close()


async def test_contributors_enter_change_and_leave(connection: asyncpg.Connection) -> None:
    """F4: who left the window used to keep the last count for ever."""
    await store.apply_history(connection, "/repository", history(ann=10, bob=3))
    await store.apply_history(connection, "/repository", history(bob=4, cid=1))

    rows = await connection.fetch(query("contributions"))
    assert {row["name"]: row["number_of_commits"] for row in rows} == {"bob": 4, "cid": 1}


async def test_a_quiet_repository_keeps_nobody(connection: asyncpg.Connection) -> None:
    await store.apply_history(connection, "/repository", history(ann=10))
    await store.apply_history(connection, "/repository", history())

    assert await connection.fetch(query("contributions")) == []
    await materialise(connection)
    assert await connection.fetchval(query("pony_of"), "pkg:github/example/thing") == 0


async def test_the_latest_commit_is_never_lowered(connection: asyncpg.Connection) -> None:
    await store.apply_history(connection, "/repository", history(ann=1))
    older = History("pkg:github/example/thing", "thing", (), datetime(2020, 1, 1, tzinfo=UTC))
    await store.apply_history(connection, "/repository", older)

    assert await connection.fetchval(query("latest_commit")) == DAY


async def test_people_exist_once_however_many_meet_them_at_once(
    database_url: str, connection: asyncpg.Connection
) -> None:
    """F5: a look before an insert made duplicates."""
    people = {f"person{number}": number + 1 for number in range(30)}
    pool = await asyncpg.create_pool(database_url, min_size=6, max_size=6)

    async def write(number: int) -> None:
        names = sorted(people, reverse=number % 2 == 1)
        found = history(**{name: people[name] for name in names})
        own = History(f"pkg:github/example/r{number}", f"r{number}", found.contributions, DAY)
        async with pool.acquire() as opened, opened.transaction():
            await store.apply_history(opened, "/repository", own)

    await asyncio.gather(*(write(number) for number in range(6)))
    await pool.close()
    assert await connection.fetchval(query("contributors")) == 30


async def test_scores_are_a_snapshot_and_the_second_run_writes_nothing(connection: asyncpg.Connection) -> None:
    await apply(connection, sbom("app", "left", nested=(("left", "right"), ("right", "left"))))
    await store.apply_history(connection, "/repository", history(ann=6, bob=3))
    async with connection.transaction():
        first = await materialise(connection)
    async with connection.transaction():
        second = await materialise(connection)

    assert (first.changed, second) == (4, type(first)(first.id, 0))
    rows = await connection.fetch(query("scores"))
    assert {row["display_name"]: (row["criticality"], row["pony_factor"], row["adoption"]) for row in rows} == {
        "app": (0, None, None),
        "left": (2, None, None),
        "right": (2, None, None),
        "thing": (0, 1, None),
    }

    await apply(connection, sbom("app"), "b")
    async with connection.transaction():
        third = await materialise(connection)
    assert third.id > first.id
    assert third.changed == 2


async def test_a_package_shows_the_pony_factor_of_its_project(connection: asyncpg.Connection) -> None:
    package = SbomPackage("pkg:pypi/thing", "pkg:pypi/thing@1", "thing", "1", None, "https://github.com/example/thing")
    row = await submit(connection, "thing")
    await store.apply_sbom(connection, row["id"], Sbom(package, (), ()))
    await store.apply_history(connection, "/repository", history(ann=3, bob=3, cid=3))
    await materialise(connection)

    _, nodes, _, projects = await store.current_scores(connection, DAY)
    assert {node["canonical_id"]: node["pony_factor"] for node in nodes} == {
        "pkg:pypi/thing": 2,
        "pkg:github/example/thing": 2,
    }
    assert [(project["canonical_id"], project["repositories"]) for project in projects] == [
        ("pkg:github/example/thing", 2)
    ]


async def test_figures_make_adoption(connection: asyncpg.Connection) -> None:
    for name in ("one", "two"):
        await apply(connection, sbom(name))
    for name, value in (("one", 5), ("two", 7), ("two", 9)):
        await store.record_figure(connection, f"pkg:pypi/{name}", "stars", "recorded", value)
    await materialise(connection)

    rows = await connection.fetch(query("scores"))
    assert {row["display_name"]: float(row["adoption"]) for row in rows} == {"one": 0.0, "two": 50.0}


@pytest.mark.parametrize("status", ["processed", "failed", "duplicate", "superseded"])
async def test_the_database_refuses_a_half_ended_submission(connection: asyncpg.Connection, status: str) -> None:
    await submit(connection, "app")

    with pytest.raises(asyncpg.CheckViolationError):
        await connection.execute(query("half_end"), status)
