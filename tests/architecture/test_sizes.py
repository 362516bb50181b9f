"""What does not fit on a few screens holds two concepts. There is no list of exceptions."""

from __future__ import annotations

import ast

from tests.architecture.source import Source, sources

FILE_LINES = 500
FUNCTION_LINES = 60
FOLDERS = ("src", "tests", "tools", "examples", "benchmarks")


def too_long_file(source: Source) -> list[str]:
    lines = len(source.text.splitlines())
    return [source.at(FILE_LINES, f"has {lines} lines, {FILE_LINES} at most")] if lines > FILE_LINES else []


def too_long_functions(source: Source) -> list[str]:
    functions = (node for node in ast.walk(source.tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    lengths = ((node, (node.end_lineno or node.lineno) - node.lineno + 1) for node in functions)
    return [
        source.at(node.lineno, f"{node.name} has {lines} lines, {FUNCTION_LINES} at most")
        for node, lines in lengths
        if lines > FUNCTION_LINES
    ]


def test_files_are_short() -> None:
    assert [problem for source in sources(*FOLDERS) for problem in too_long_file(source)] == []


def test_functions_are_short() -> None:
    assert [problem for source in sources(*FOLDERS) for problem in too_long_functions(source)] == []


def test_a_long_file_is_seen() -> None:
    assert too_long_file(Source("src/holdfast/jobs/long.py", "x = 1\n" * (FILE_LINES + 1)))
    assert not too_long_file(Source("src/holdfast/jobs/long.py", "x = 1\n" * FILE_LINES))


def test_a_long_function_is_seen_wherever_it_hides() -> None:
    body = "        x = 1\n" * FUNCTION_LINES
    nested = f"class Room:\n    async def work(self):\n{body}"

    assert too_long_functions(Source("src/holdfast/jobs/long.py", nested))
    assert not too_long_functions(Source("src/holdfast/jobs/long.py", nested.removesuffix("        x = 1\n")))
