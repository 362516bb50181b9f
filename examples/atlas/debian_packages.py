"""Source (b): the Debian package database, read from its status file.

The file is parsed here rather than by python-debian because only ten fields of it matter and the format (RFC 822-like
stanzas) is stable; the interesting part, choosing among alternatives and virtual packages, no library does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from .packages import Dependency, InstalledPackage, Source

STATUS_FILE = Path("/var/lib/dpkg/status")
_RELATION = re.compile(
    r"^\s*([a-z0-9][a-z0-9+.-]+)(?::[a-z0-9-]+)?\s*(?:\(\s*([<>=]+)\s*([^)\s]+)\s*\))?", re.IGNORECASE
)
_SOURCE = re.compile(r"^(\S+)(?:\s+\(.*\))?$")


def installed_debian_packages(status_file: Path = STATUS_FILE, distribution: str | None = None) -> Source | None:
    """Every package that is installed now, or None where there is no such database."""
    try:
        text = status_file.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    installed: dict[str, Mapping[str, str]] = {}
    unreadable: list[str] = []
    for stanza in _stanzas(text):
        if not stanza.get("Status", "").endswith(" installed"):
            continue  # removed with configuration kept, or half-installed: nothing of it can be depended on
        if "Package" not in stanza or "Version" not in stanza:
            unreadable.append(f"{status_file}: a stanza without Package or Version: {' '.join(stanza.values())[:60]!r}")
            continue
        installed.setdefault(stanza["Package"], stanza)  # the same package of two architectures is one node
    providers = _providers(installed)
    vendor = distribution or _distribution()
    packages = tuple(_package(stanza, installed, providers, vendor) for _, stanza in sorted(installed.items()))
    return Source("Debian packages", packages, tuple(unreadable))


def _stanzas(text: str) -> Iterator[Mapping[str, str]]:
    for block in re.split(r"\n\s*\n", text):
        fields: dict[str, str] = {}
        current = ""
        for line in block.splitlines():
            if line[:1] in (" ", "\t"):
                if current:
                    fields[current] += "\n" + line.strip()
                continue
            current, separator, value = line.partition(":")
            if separator:
                fields[current] = value.strip()
            else:
                current = ""
        if fields:
            yield fields


def _providers(installed: Mapping[str, Mapping[str, str]]) -> Mapping[str, str]:
    """Virtual package -> the real one that stands for it; the first by name when several do."""
    providers: dict[str, str] = {}
    for name, stanza in sorted(installed.items()):
        for virtual, _ in _relations(stanza.get("Provides", "")):
            providers.setdefault(virtual, name)
    return providers


def _relations(field: str) -> Iterator[tuple[str, str | None]]:
    for part in field.replace("\n", " ").split(","):
        found = _RELATION.match(part)
        if found:
            yield found.group(1), f"{found.group(2)} {found.group(3)}" if found.group(2) else None


def _package(
    stanza: Mapping[str, str], installed: Mapping[str, Mapping[str, str]], providers: Mapping[str, str], vendor: str
) -> InstalledPackage:
    name = stanza["Package"]
    source = _SOURCE.match(stanza.get("Source", ""))
    return InstalledPackage(
        ecosystem="deb",
        namespace=vendor,
        name=name,
        version=stanza["Version"],
        licence=None,  # the database has none: licences live in free text under /usr/share/doc
        homepage=stanza.get("Homepage"),
        supplier=stanza.get("Maintainer", "").split("<")[0].strip().strip('"') or None,
        upstream=source.group(1) if source and source.group(1) != name else None,
        dependencies=_dependencies(name, stanza, installed, providers),
    )


def _dependencies(
    name: str, stanza: Mapping[str, str], installed: Mapping[str, Mapping[str, str]], providers: Mapping[str, str]
) -> tuple[Dependency, ...]:
    chosen: dict[str, str | None] = {}
    for field in ("Pre-Depends", "Depends"):
        for clause in stanza.get(field, "").replace("\n", " ").split(","):
            picked = _first_installed([*_alternatives(clause)], installed, providers)
            if picked and picked[0] != name:
                chosen[picked[0]] = chosen.get(picked[0]) or picked[1]
    return tuple(
        Dependency(needed, wanted, installed[needed]["Version"] if needed in installed else None)
        for needed, wanted in sorted(chosen.items())
    )


def _alternatives(clause: str) -> Iterable[tuple[str, str | None]]:
    for alternative in clause.split("|"):
        yield from _relations(alternative)


def _first_installed(
    alternatives: list[tuple[str, str | None]], installed: Mapping[str, object], providers: Mapping[str, str]
) -> tuple[str, str | None] | None:
    """The alternative that holds on this machine; the first one named when none does (a broken installation)."""
    for name, wanted in alternatives:
        if name in installed:
            return name, wanted
        if name in providers:
            return providers[name], None  # the range speaks of the virtual package's version, not of the provider's
    return alternatives[0] if alternatives else None


def _distribution() -> str:
    try:
        release = Path("/etc/os-release").read_text(encoding="utf-8")
    except OSError:
        return "debian"
    found = re.search(r'^ID="?([a-z0-9._-]+)"?$', release, re.MULTILINE)
    return found.group(1) if found else "debian"
