"""PA-14: the git log, on text and on real repositories."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.atlas.gitlog import HistoryUnavailable, contributions, email_hash, is_bot, parse_log, read_history

NOW = datetime(2026, 11, 15, 12, tzinfo=UTC)
HASH = "0123456789abcdef0123456789abcdef01234567"


def git(
    path: Path, *arguments: str, at: str = "2026-11-01T12:00:00+00:00", author: str = "Ann <ann@example.org>"
) -> None:
    name, _, email = author.removesuffix(">").partition(" <")
    environment = {
        "PATH": "/usr/bin:/bin:/usr/local/bin", "HOME": str(path), "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": name, "GIT_AUTHOR_EMAIL": email, "GIT_COMMITTER_NAME": name, "GIT_COMMITTER_EMAIL": email,
        "GIT_AUTHOR_DATE": at, "GIT_COMMITTER_DATE": at,
    }  # fmt: skip
    subprocess.run(["git", "-C", str(path), *arguments], env=environment, check=True, capture_output=True)


def commit(path: Path, at: str = "2026-11-01T12:00:00+00:00", author: str = "Ann <ann@example.org>") -> None:
    git(path, "commit", "--allow-empty", "--message", "work", at=at, author=author)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    path = tmp_path / "repository"
    path.mkdir()
    git(path, "init", "--initial-branch", "main")
    return path


def line(*fields: str) -> str:
    return "\0".join(fields)


def test_lines_are_read_and_malformed_ones_skipped() -> None:
    text = "\n".join(
        [
            line("Ann", "ann@example.org", "2026-11-01T12:00:00+02:00", HASH),
            line("Ann", "ann@example.org", "2026-11-01T12:00:00+02:00"),
            line("Ann", "ann@example.org", "yesterday", HASH),
            line("Ann", "ann@example.org", "2026-11-01T12:00:00", HASH),
            line("Nobody", "  ", "2026-11-01T12:00:00+02:00", HASH),
            "",
            line("Bob", "bob@example.org", "2026-11-02T12:00:00Z", HASH),
        ]
    )

    found = parse_log(text)
    assert [(one.author, one.at) for one in found] == [
        ("Ann", datetime(2026, 11, 1, 10, tzinfo=UTC)),
        ("Bob", datetime(2026, 11, 2, 12, tzinfo=UTC)),
    ]
    assert all(one.at.tzinfo is UTC for one in found)


@given(st.text(max_size=200))
def test_any_text_is_survived(text: str) -> None:
    contributions(parse_log(text))


@pytest.mark.parametrize(
    ("name", "email"),
    [
        ("dependabot[bot]", "49699333+dependabot[bot]@users.noreply.github.com"),
        ("anything[bot]", "x@example.org"),
        ("dependabot-preview", "support@dependabot.com"),
        ("greenkeeper", "support@greenkeeper.io"),
        ("Renovate Bot", "bot@renovateapp.com"),
        ("github-actions", "action@github.com"),
        ("Somebody", "123+renovate[bot]@users.noreply.github.com"),
    ],
)
def test_bots_are_known(name: str, email: str) -> None:
    assert is_bot(name, email)


@pytest.mark.parametrize(
    ("name", "email"),
    [
        ("Ann Abbott", "abbott@example.org"),
        ("Botond", "botond@example.org"),
        ("Talbot Renovates", "talbot@users.noreply.github.com"),
        ("Robot Person", "1+robotperson@users.noreply.github.com"),
    ],
)
def test_people_with_bot_in_their_name_are_people(name: str, email: str) -> None:
    assert not is_bot(name, email)


def test_people_are_told_apart_by_their_address_alone() -> None:
    assert email_hash(" Ann@Example.org ") == email_hash("ann@example.org")
    assert len(email_hash("x")) == 32


def test_contributions_are_counted_merged_and_sorted() -> None:
    text = "\n".join(
        [
            line("Ann B.", "ANN@example.org", "2026-11-03T00:00:00Z", HASH),
            line("Bob", "bob@example.org", "2026-11-02T00:00:00Z", HASH),
            line("Ann", "ann@example.org", "2026-11-01T00:00:00Z", HASH),
            line("x[bot]", "x@example.org", "2026-11-01T00:00:00Z", HASH),
        ]
    )

    found = contributions(parse_log(text))
    assert [one.email_hash for one in found] == sorted(one.email_hash for one in found)
    ann = next(one for one in found if one.name == "Ann B.")
    assert (ann.commits, ann.first_at.day, ann.last_at.day) == (2, 1, 3)
    assert len(found) == 2


def test_a_history_is_read_without_merges_and_within_the_window(repository: Path) -> None:
    commit(repository, at="2020-01-01T12:00:00+00:00", author="Old <old@example.org>")
    commit(repository, at="2026-10-01T23:30:00-05:00")
    git(repository, "checkout", "-b", "side")
    commit(repository, author="Bob <bob@example.org>")
    git(repository, "checkout", "main")
    git(repository, "merge", "--no-ff", "side", "--message", "merge", at="2026-11-05T12:00:00+00:00")

    history = read_history(repository, NOW)
    assert {person.name: person.commits for person in history.contributions} == {"Ann": 1, "Bob": 1}
    assert history.latest_commit_at == datetime(2026, 11, 5, 12, tzinfo=UTC)
    ann = next(person for person in history.contributions if person.name == "Ann")
    assert ann.first_at == datetime(2026, 10, 2, 4, 30, tzinfo=UTC)


def test_a_quiet_repository_has_no_contributors_but_a_last_commit(repository: Path) -> None:
    commit(repository, at="2020-01-01T12:00:00+00:00")

    history = read_history(repository, NOW)
    assert history.contributions == ()
    assert history.latest_commit_at.year == 2020


def test_head_falls_back_to_origin_main_and_master(repository: Path) -> None:
    commit(repository)
    git(repository, "symbolic-ref", "HEAD", "refs/heads/unborn")
    assert len(read_history(repository, NOW).contributions) == 1

    git(repository, "branch", "--move", "main", "master")
    assert len(read_history(repository, NOW).contributions) == 1

    git(repository, "update-ref", "refs/remotes/origin/trunk", "refs/heads/master")
    git(repository, "symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/trunk")
    git(repository, "update-ref", "-d", "refs/heads/master")
    assert len(read_history(repository, NOW).contributions) == 1


def test_a_folder_inside_and_a_bare_clone_are_the_same_history(repository: Path, tmp_path: Path) -> None:
    commit(repository)
    (repository / "inside").mkdir()
    git(repository, "clone", "--bare", ".", str(tmp_path / "bare.git"))

    whole = read_history(repository, NOW)
    assert read_history(repository / "inside", NOW) == whole
    assert read_history(tmp_path / "bare.git", NOW).contributions == whole.contributions


def test_the_origin_names_the_history(repository: Path) -> None:
    commit(repository)
    git(repository, "remote", "add", "origin", "https://token@github.com/Owner/Thing.git")

    history = read_history(repository, NOW)
    assert (history.repository, history.name) == ("pkg:github/owner/thing", "Thing")


def test_an_empty_history_is_a_clear_failure(repository: Path) -> None:
    with pytest.raises(HistoryUnavailable, match="empty history: none of HEAD"):
        read_history(repository, NOW)


def test_a_missing_repository_is_a_clear_failure(tmp_path: Path) -> None:
    with pytest.raises(HistoryUnavailable, match="missing repository"):
        read_history(tmp_path / "nowhere", NOW)
    with pytest.raises(HistoryUnavailable, match="missing repository"):
        read_history(tmp_path, NOW)


def test_a_repository_cannot_start_programs(repository: Path, tmp_path: Path) -> None:
    commit(repository)
    proof = tmp_path / "started"
    for key in ("core.fsmonitor", "core.pager", "gpg.program"):
        git(repository, "config", key, f"touch {proof};")
    git(repository, "config", "log.showSignature", "true")

    read_history(repository, NOW)
    assert not proof.exists()
