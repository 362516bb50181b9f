"""What the pages show works: code compiles and runs, and every link, setting, code and test file they name exists."""

from __future__ import annotations

import ast
import asyncio
import inspect
import logging
import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

import asyncpg
import pytest
from typer.main import get_command

from holdfast import Holdfast, errors
from holdfast.access import ROLES, Permission, Role
from holdfast.cli.program import program
from holdfast.errors import HoldfastError
from holdfast.settings import Settings
from holdfast.telemetry import EVENTS
from tests.architecture.source import ROOT
from tests.docs.pages import Block, Page, page, pages

ALL = {one.path: one for one in pages()}
RUNNING = [path for path, one in ALL.items() if any(block.runs for block in one.blocks)]
# What commands make and the repository does not have.
MADE = {"web/src/api/schema.d.ts", "tests/browser/screenshots/"}
PROGRAM = get_command(program)
OF_THE_BUILD = "SKIP_UI"
_VARIABLE = re.compile(r"\bHOLDFAST_([A-Z_]+)\b")
_FUNCTION = re.compile(r"\b[a-z_]+_v\d+\b")
_ROOM_FILE = re.compile(r"(?:app|cli|jobs|worker|leases|db)/[\w/]+\.(?:py|sql)")
_FILE = re.compile(r"(?<![\w./-])(?:src|web|tests|docs|examples|benchmarks|tools)/[\w./-]*\w(?:/|\.\w+)")


def compiled(one: Page, block: Block) -> Any:
    """The block as code; await may stand outside of functions, as in the pages."""
    source = "\n" * (block.line - 1) + block.text
    return compile(source, one.path, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)


async def run_page(one: Page, database_url: str) -> dict[str, Any]:
    """Run the marked blocks of a page one after another, as a reader would paste them."""
    names: dict[str, Any] = {"__name__": "page", "database_url": database_url}
    for block in one.blocks:
        if not block.runs:
            continue
        if block.language == "sql":
            await run_sql(database_url, block.text)
        elif block.without_loop:
            await asyncio.to_thread(eval, compiled(one, block), names)
        else:
            waiting = eval(compiled(one, block), names)
            if inspect.iscoroutine(waiting):
                await waiting
            if "main" in names:
                await names.pop("main")()
                await names["app"].open()
    return names


async def run_sql(database_url: str, text: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(text)
    finally:
        await connection.close()


@pytest.mark.parametrize("path", [path for path, one in ALL.items() if one.blocks])
def test_python_compiles(path: str) -> None:
    for block in ALL[path].blocks:
        if block.language == "python":
            compiled(ALL[path], block)


@pytest.mark.parametrize("path", RUNNING)
async def test_marked_blocks_run(path: str, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_DATABASE_URL", database_url)
    names = await run_page(ALL[path], database_url)
    for value in names.values():
        if isinstance(value, Holdfast):
            await value.close()


def test_some_pages_run() -> None:
    assert "README.md" in RUNNING
    assert "docs/tutorial.md" in RUNNING


def dead_links(one: Page) -> Iterator[str]:
    for link in one.links:
        if link.startswith(("https://", "mailto:")):
            continue
        target, _, anchor = link.partition("#")
        file = (ROOT / one.path).parent / target
        if target and not file.exists():
            yield f"{one.path}: {link} leads nowhere"
        elif anchor and anchor not in (page(file.resolve()) if target else one).anchors:
            yield f"{one.path}: {link} names no heading"


def unknown_files(one: Page) -> Iterator[str]:
    for span in one.spans:
        for name in _FILE.findall(span):
            if "*" not in span and name not in MADE and not (ROOT / name).exists():
                yield f"{one.path}: there is no {name}"


def unknown_functions(one: Page) -> Iterator[str]:
    """SQL functions, and files of rooms said without `src/holdfast/`, that do not exist."""
    schema = (ROOT / "src/holdfast/db/schema.sql").read_text(encoding="utf-8")
    for span in one.spans:
        for name in _FUNCTION.findall(span):
            if f"holdfast.{name}(" not in schema and name != "claim_v2":
                yield f"{one.path}: there is no function {name}"
        found = _ROOM_FILE.fullmatch(span)
        if found and "NNNN" not in span and not (ROOT / "src" / "holdfast" / span).exists():
            yield f"{one.path}: there is no {span}"


def unknown_settings(one: Page) -> Iterator[str]:
    known = {name.upper() for name in Settings.model_fields}
    for name in _VARIABLE.findall(one.text):
        if name.removesuffix("_FILE") not in known and not name.startswith("TEST_") and name != OF_THE_BUILD:
            yield f"{one.path}: HOLDFAST_{name} is no setting"


@pytest.mark.parametrize("find", [dead_links, unknown_files, unknown_functions, unknown_settings])
def test_what_pages_name_exists(find: Any) -> None:
    assert [problem for one in ALL.values() for problem in find(one)] == []


def table_rows(one: Page, columns: int) -> list[list[str]]:
    """Rows of the page's tables with so many columns, without backticks."""
    rows = [re.split(r" \| ", line.strip("|").strip()) for line in one.text.splitlines() if line.startswith("| ")]
    return [[cell.strip().strip("`") for cell in row] for row in rows if len(row) == columns]


def shown_default(name: str) -> str:
    if Settings.model_fields[name].default is None:
        return "auto" if name in ("pooled", "api_port", "auth") else "none"
    return Settings().shown()[name] or "none"


def test_every_setting_is_in_the_table_with_its_default_and_meaning() -> None:
    shown = {row[0]: row[1:] for row in table_rows(ALL["docs/operations/settings.md"], 3)}
    shown.pop("setting")
    expected = {name: [shown_default(name), field.description or ""] for name, field in Settings.model_fields.items()}

    assert shown == expected


def test_every_error_is_in_the_table_with_its_statuses() -> None:
    shown = {row[0]: row[1:3] for row in table_rows(ALL["docs/operations/exit-codes.md"], 4)}
    shown.pop("code")
    classes = [kind for kind in vars(errors).values() if inspect.isclass(kind) and issubclass(kind, HoldfastError)]

    assert shown == {kind.code: [str(kind.exit_status), str(kind.http_status)] for kind in classes}


def test_every_permission_is_in_the_table_with_its_roles() -> None:
    shown = {row[0]: row[1:] for row in table_rows(ALL["docs/reference/http.md"], 7)}
    roles = [Role(word) for word in shown.pop("permission")]

    assert sorted(roles) == sorted(Role)
    assert shown == {
        permission.value: ["yes" if permission in ROLES[role] else "\N{EN DASH}" for role in roles]
        for permission in Permission
    }


def test_every_event_is_in_the_table() -> None:
    shown = {row[0]: row[1:] for row in table_rows(ALL["docs/operations/events.md"], 3)}
    shown.pop("event")

    assert shown == {name: [logging.getLevelName(it.level).lower(), it.meaning] for name, it in EVENTS.items()}


def unknown_commands(one: Page) -> Iterator[str]:
    """`holdfast …` as the pages type it, compared with the commands and flags of the program."""
    for words in one.commands:
        command: Any = PROGRAM
        flags: list[str] = []
        for word in words[1:]:
            inner = getattr(command, "commands", {})
            if word == "--help":
                break
            if word in inner:
                command = inner[word]
                flags += [flag for option in command.params for flag in (*option.opts, *option.secondary_opts)]
            elif inner or (word.startswith("-") and word not in flags):
                yield f"{one.path}: there is no {word} in {' '.join(words)}"
                break


def commands_of(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every command that does something, by the words that call it."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield path, command
    else:
        for name, part in inner.items():
            yield from commands_of(part, f"{path} {name}")


def test_every_command_is_in_the_table() -> None:
    shown = {row[0] for row in table_rows(ALL["docs/reference/cli.md"], 2)} - {"command", "status"}
    statuses = {word for word in shown if word.isdigit()}

    assert shown - statuses == {path for path, _ in commands_of(PROGRAM, "holdfast")}


def test_every_command_exists() -> None:
    assert sum(len(one.commands) for one in ALL.values()) > 10
    assert [problem for one in ALL.values() for problem in unknown_commands(one)] == []
    assert list(unknown_commands(BAD)) == ["docs/bad.md: there is no fly in holdfast fly"]


BAD = Page(
    "docs/bad.md",
    "# Bad\n[a](nowhere.md) [b](#bad) [c](#good) `tests/nothing/test_x.py` `fly_v1` `jobs/fly.py`\n"
    "HOLDFAST_COLOUR `holdfast fly`\n"
    "```python\nx = (\n```\n<!-- run -->\n```python\n1 / 0\n```\n",
)


def test_a_bad_page_is_seen() -> None:
    assert len(list(dead_links(BAD))) == 2
    assert list(unknown_files(BAD)) == ["docs/bad.md: there is no tests/nothing/test_x.py"]
    assert len(list(unknown_functions(BAD))) == 2
    assert list(unknown_settings(BAD)) == ["docs/bad.md: HOLDFAST_COLOUR is no setting"]
    assert BAD.commands == [["holdfast", "fly"]]
    with pytest.raises(SyntaxError):
        compiled(BAD, BAD.blocks[0])


async def test_a_page_whose_code_fails_is_seen() -> None:
    with pytest.raises(ZeroDivisionError):
        await run_page(BAD, "postgresql://nowhere")


def test_pages_are_short() -> None:
    too_long = {
        path: len(one.text.splitlines()) for path, one in ALL.items() if PurePosixPath(path).name != "README.md"
    }

    assert {path: lines for path, lines in too_long.items() if lines > 160} == {}
    assert len(ALL["ARCHITECTURE.md"].text.splitlines()) <= 150
