"""What a run found, for people (tables), for programs (JSON) and for the eye (marks of the picture)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .packages import ecosystem_of
from .picture import Mark
from .pipeline import Atlas, Failure

NO_DATA = "no data"
_ROWS_OF_LARGEST, _ROWS_OF_OTHERS = 12, 6
_FAILURES_SHOWN = 20


def marks(atlas: Atlas) -> list[Mark]:
    """Vertices as the picture draws them."""
    return [
        Mark(
            canonical=node["canonical_id"],
            name=node["display_name"],
            ecosystem=ecosystem_of(node["canonical_id"]),
            criticality=node["criticality"],
            pony_factor=node["pony_factor"],
            is_history=_is_history(node),
        )
        for node in atlas.nodes
    ]


def print_report(console: Console, atlas: Atlas, picture: Path | None) -> None:
    """Packages, repositories, failures, and where the picture is."""
    console.print(_packages_table(atlas))
    repositories = [node for node in atlas.nodes if _is_history(node)]
    if repositories:
        console.print(_repositories_table(repositories))
    console.print(
        f"{len(atlas.nodes):,} vertices, {len(atlas.edges):,} dependencies · {atlas.submitted:,} documents, "
        f"{atlas.unchanged:,} of them unchanged · {atlas.changed_scores:,} scores changed",
        style="dim",
        highlight=False,
    )
    if picture is not None:
        console.print(Text("Picture: ").append(str(picture), style="bold"), soft_wrap=True)
    if atlas.failures:
        console.print(_failures_table(atlas.failures))


def as_json(atlas: Atlas, picture: Path | None) -> dict[str, Any]:
    """The same for programs, complete; null means no data."""
    return {
        "packages": [_plain(node) for node in atlas.nodes if not _is_history(node)],
        "repositories": [_plain(node) for node in atlas.nodes if _is_history(node)],
        "projects": [_plain(project) for project in atlas.projects],
        "dependencies": len(atlas.edges),
        "documents": {"submitted": atlas.submitted, "unchanged": atlas.unchanged},
        "changed_scores": atlas.changed_scores,
        "failures": [{"kind": found.kind, "item": found.item, "reason": found.reason} for found in atlas.failures],
        "picture": str(picture) if picture is not None else None,
    }


def _is_history(node: Mapping[str, Any]) -> bool:
    return node["latest_commit_at"] is not None


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    plain = {key: value for key, value in row.items() if key != "id"}
    for key, value in plain.items():
        if isinstance(value, Decimal):
            plain[key] = float(value)
        elif hasattr(value, "isoformat"):
            plain[key] = value.isoformat()
    return plain


def _packages_table(atlas: Atlas) -> Table:
    """The most critical of each ecosystem, the largest ecosystem first."""
    table = Table(
        title="Most critical packages",
        caption="Criticality: how many packages need it, directly or not. Direct: how many name it.",
        title_justify="left", title_style="bold", caption_justify="left", header_style="bold",
    )  # fmt: skip
    for heading in ("Package", "Ecosystem"):
        table.add_column(heading, overflow="fold")
    for heading in ("Criticality", "Direct", "Pony factor", "Adoption"):
        table.add_column(heading, justify="right")
    packages = [node for node in atlas.nodes if not _is_history(node)]
    by_ecosystem = sorted(packages, key=lambda node: ecosystem_of(node["canonical_id"]))
    groups = [
        (name, list(members))
        for name, members in groupby(by_ecosystem, lambda node: ecosystem_of(node["canonical_id"]))
    ]
    for position, (ecosystem, members) in enumerate(sorted(groups, key=lambda group: -len(group[1]))):
        rows = _ROWS_OF_LARGEST if position == 0 else _ROWS_OF_OTHERS
        for node in sorted(members, key=lambda node: (-node["criticality"], node["canonical_id"]))[:rows]:
            table.add_row(
                node["display_name"],
                ecosystem,
                f"{node['criticality']:,}",
                f"{node['direct_dependents']:,}",
                _shown(node["pony_factor"]),
                _shown(node["adoption"]),
            )
        table.add_section()
    return table


def _repositories_table(repositories: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(title="Repositories, last 24 months", title_justify="left", title_style="bold", header_style="bold")
    table.add_column("Repository", overflow="fold")
    for heading in ("Commits", "Contributors", "Pony factor", "Last commit", "Adoption"):
        table.add_column(heading, justify="right")
    for node in sorted(repositories, key=lambda node: (-node["commits"], node["canonical_id"])):
        table.add_row(
            node["display_name"],
            f"{node['commits']:,}",
            f"{node['contributors']:,}",
            _shown(node["pony_factor"]),
            f"{node['latest_commit_at']:%Y-%m-%d}",
            _shown(node["adoption"]),
        )
    return table


def _failures_table(failures: Sequence[Failure]) -> Table:
    title = f"{len(failures):,} item{'' if len(failures) == 1 else 's'} failed; everything else was processed"
    table = Table(title=title, title_justify="left", title_style="bold red", header_style="bold")
    table.add_column("Kind")
    table.add_column("Item", overflow="fold")
    table.add_column("Reason", overflow="fold")
    for failure in failures[:_FAILURES_SHOWN]:
        table.add_row(failure.kind, Text(failure.item), Text(failure.reason))
    if len(failures) > _FAILURES_SHOWN:
        table.add_row("", "", f"and {len(failures) - _FAILURES_SHOWN:,} more; --json lists all")
    return table


def _shown(value: object) -> str:
    return NO_DATA if value is None else str(value)
