"""Source (a): the Python distributions installed in the environment that runs this."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from email.utils import parseaddr
from functools import cache
from importlib.metadata import Distribution, PackageMetadata, distributions

from license_expression import ExpressionError, Licensing, get_spdx_licensing  # type: ignore[import-untyped]
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from .packages import Dependency, InstalledPackage, Source

# In the order in which they say where a project lives; labels are free text, so they are compared lower-cased.
_HOME_LABELS = ("source", "source code", "repository", "code", "github", "homepage", "home")


def installed_python_packages(found: Iterable[Distribution] | None = None) -> Source:
    """Read every distribution once; of two with one name the first on the path counts, as it does for imports."""
    by_name: dict[str, Distribution] = {}
    unreadable: list[str] = []
    for distribution in distributions() if found is None else found:
        name = _name_of(distribution)
        if name is None:
            unreadable.append(f"{getattr(distribution, '_path', distribution)}: no readable metadata")
        else:
            by_name.setdefault(canonicalize_name(name), distribution)
    versions = {name: distribution.version for name, distribution in by_name.items()}
    packages = []
    for name, distribution in sorted(by_name.items()):
        try:
            packages.append(_package(name, distribution, versions))
        except InvalidRequirement as problem:
            unreadable.append(f"pkg:pypi/{name}: unreadable requirement: {problem}")
    return Source("Python environment", tuple(packages), tuple(unreadable))


def _name_of(distribution: Distribution) -> str | None:
    """An interrupted uninstall leaves directories without METADATA; they have neither name nor version."""
    metadata: PackageMetadata | None = distribution.metadata
    name = _field(metadata, "Name") if metadata is not None else None
    return name if name and distribution.version else None


def _package(name: str, distribution: Distribution, versions: Mapping[str, str]) -> InstalledPackage:
    metadata = distribution.metadata
    return InstalledPackage(
        ecosystem="pypi",
        namespace=None,
        name=name,
        version=distribution.version,
        licence=_licence(metadata),
        homepage=_homepage(metadata),
        supplier=_supplier(metadata),
        upstream=None,
        dependencies=_dependencies(name, distribution.requires or (), versions),
    )


def _dependencies(name: str, requires: Iterable[str], versions: Mapping[str, str]) -> tuple[Dependency, ...]:
    """Requirements that hold here and now: markers evaluated, extras not asked for."""
    ranges: dict[str, set[str]] = {}
    for line in requires:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            ranges.setdefault(canonicalize_name(requirement.name), set()).add(str(requirement.specifier))
    ranges.pop(name, None)
    return tuple(
        Dependency(needed, ",".join(sorted(filter(None, specifiers))) or None, versions.get(needed))
        for needed, specifiers in sorted(ranges.items())
    )


def _licence(metadata: PackageMetadata) -> str | None:
    """Only what is a licence expression: the old free-text field may hold a whole licence, or nothing of use."""
    for field in ("License-Expression", "License"):
        text = _field(metadata, field)
        if not text or len(text) > 200:
            continue
        try:
            _licensing().parse(text, validate=True, strict=True)
            return text
        except ExpressionError:
            continue
    return None


@cache
def _licensing() -> Licensing:
    """Loading the licence list takes a second, so once."""
    return get_spdx_licensing()


def _homepage(metadata: PackageMetadata) -> str | None:
    labelled: dict[str, str] = {}
    for entry in metadata.get_all("Project-URL") or ():
        label, _, address = entry.partition(",")
        labelled[label.strip().lower()] = address.strip()
    for label in _HOME_LABELS:
        if labelled.get(label):
            return labelled[label]
    home = _field(metadata, "Home-page")
    return None if home == "UNKNOWN" else home


def _field(metadata: PackageMetadata, name: str) -> str | None:
    values: list[str] = metadata.get_all(name) or []
    return values[0] if values else None


def _supplier(metadata: PackageMetadata) -> str | None:
    for people, address in (("Author", "Author-email"), ("Maintainer", "Maintainer-email")):
        name = _field(metadata, people) or parseaddr(_field(metadata, address) or "")[0]
        if name:
            return " ".join(name.split())
    return None
