"""Source (c): the git history of a repository, reduced to who contributed how much and when."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from .packages import history_id

WINDOW_MONTHS = 24
_TIMEOUT_SECONDS = 120
# What the checkout stands on comes first, as it is what the user sees; the rest serves clones without a usable HEAD.
_REFERENCES = ("HEAD", "origin/HEAD", "main", "master")
_FORMAT = "%an%x00%ae%x00%aI%x00%H"
# A repository handed in by path may carry its own configuration: nothing in it may start a program.
_HARMLESS = ("-c", "core.fsmonitor=false", "-c", "log.showSignature=false", "-c", "core.pager=cat")
_BOT_NAME = re.compile(
    r"\[bot\]$|^(dependabot|greenkeeper|renovate|github[- ]actions?|pre-commit-ci|snyk|mergify|imgbot|allcontributors"
    r"|weblate|semantic-release|codecov|stellar-jenkins|web-flow|pyup)([- ](bot|preview|ci|action))*$",
    re.IGNORECASE,
)
_BOT_EMAIL = re.compile(
    r"\[bot\]@|^(\d+\+)?(dependabot|greenkeeper|renovate|github-actions)[^@]*@users\.noreply\.github\.com$"
    r"|^bot@|^support@(dependabot|greenkeeper)\.(com|io)$|^(action|actions)@github\.com$",
    re.IGNORECASE,
)


class HistoryUnavailable(Exception):
    """The path holds no history that could be read; the message says why."""


@dataclass(frozen=True, slots=True)
class Commit:
    """One line of the log."""

    author: str
    email: str
    at: datetime
    hash: str


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one person did within the window; people are told apart by the hash of their address only."""

    email_hash: bytes
    name: str
    commits: int
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True)
class History:
    """The history of one repository, named canonically."""

    repository: str
    name: str
    contributions: tuple[Contribution, ...]
    latest_commit_at: datetime


def read_history(path: Path, now: datetime) -> History:
    """Read the last 24 months; HistoryUnavailable when there is no repository or not a single commit in it."""
    if not path.is_dir():
        raise HistoryUnavailable(f"missing repository: {path} is no directory")
    _git(path, "rev-parse", "--git-dir", missing="missing repository: ")
    reference = _reference(path)
    since = f"--since={_months_before(now, WINDOW_MONTHS).isoformat()}"
    recent = parse_log(_git(path, "log", "--no-merges", f"--format={_FORMAT}", since, reference, "--"))
    newest = parse_log(_git(path, "log", "--max-count=1", f"--format={_FORMAT}", reference, "--"))
    latest = max((commit.at for commit in (*recent, *newest)), default=None)
    if latest is None:
        raise HistoryUnavailable(f"empty history: no readable commit at {reference} of {path}")
    origin = _origin(path)
    top = _try_git(path, "rev-parse", "--show-toplevel").stdout.rstrip("\n")  # a bare repository has none
    place = Path(top) if top else path
    return History(history_id(place, origin), _name(place, origin), contributions(recent), latest)


def parse_log(text: str) -> list[Commit]:
    """One commit a line, NUL between its fields; a line that is not like that is skipped, and so is an empty e-mail."""
    return list(_commits(text.split("\n")))


def _commits(lines: Iterable[str]) -> Iterator[Commit]:
    for line in lines:
        fields = line.split("\0")
        if len(fields) != 4 or not fields[1].strip():
            continue
        try:
            at = datetime.fromisoformat(fields[2])
        except ValueError:
            continue
        if at.tzinfo is not None:
            yield Commit(fields[0].strip(), fields[1].strip(), at.astimezone(UTC), fields[3])


def is_bot(name: str, email: str) -> bool:
    """Known automata by name or no-reply address; a person with "bot" inside the name stays a person."""
    return bool(_BOT_NAME.search(name.strip()) or _BOT_EMAIL.search(email.strip()))


def email_hash(email: str) -> bytes:
    """The only trace of an address that is kept."""
    return hashlib.sha256(email.strip().lower().encode()).digest()


def contributions(commits: Iterable[Commit]) -> tuple[Contribution, ...]:
    """Group by address, without bots, in the order in which rows are locked later."""
    found: dict[bytes, Contribution] = {}
    for commit in commits:
        if is_bot(commit.author, commit.email):
            continue
        key = email_hash(commit.email)
        known = found.get(key)
        if known is None:
            found[key] = Contribution(key, commit.author, 1, commit.at, commit.at)
        else:
            name = commit.author if commit.at > known.last_at else known.name
            first, last = min(known.first_at, commit.at), max(known.last_at, commit.at)
            found[key] = Contribution(key, name, known.commits + 1, first, last)
    return tuple(found[key] for key in sorted(found))


def _reference(path: Path) -> str:
    for reference in _REFERENCES:
        if _try_git(path, "rev-parse", "--quiet", "--verify", f"{reference}^{{commit}}").returncode == 0:
            return reference
    raise HistoryUnavailable(f"empty history: none of {', '.join(_REFERENCES)} leads to a commit in {path}")


def _origin(path: Path) -> str | None:
    return _try_git(path, "config", "--get", "remote.origin.url").stdout.strip() or None


def _name(path: Path, origin: str | None) -> str:
    said = (origin or "").rstrip("/").removesuffix(".git").rpartition("/")[2]
    return said or path.resolve().name or "root"


def _months_before(moment: datetime, months: int) -> datetime:
    years, month = divmod(moment.year * 12 + moment.month - 1 - months, 12)
    return moment.replace(year=years, month=month + 1, day=min(moment.day, 28))


def _git(path: Path, *arguments: str, missing: str = "") -> str:
    finished = _try_git(path, *arguments)
    if finished.returncode != 0:
        said = " ".join(finished.stderr.split()) or f"git ended with status {finished.returncode}"
        raise HistoryUnavailable(f"{missing}{path}: {said.removeprefix('fatal: ')}")
    return finished.stdout.rstrip("\n")


def _try_git(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    command = ["git", "--no-pager", *_HARMLESS, "-C", str(path.resolve()), *arguments]
    try:
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, errors="replace", check=False,
            timeout=_TIMEOUT_SECONDS, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except FileNotFoundError as problem:
        raise HistoryUnavailable("git is not installed") from problem
    except subprocess.TimeoutExpired as problem:
        # Not HistoryUnavailable: a slow disk is worth another attempt.
        raise TimeoutError(f"{path}: git did not answer within {_TIMEOUT_SECONDS} seconds") from problem
