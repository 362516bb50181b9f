"""What both package sources deliver, and how a thing is named across them.

Names follow two rules: a repository hosted on GitHub is ``pkg:github/<owner>/<repo>``, anything else is its purl with
version and qualifiers cut off. The purl syntax (escaping, per-type case rules) comes from packageurl-python: it is the
reference implementation, small and well kept, and purls are not this example's purpose.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from packageurl import PackageURL

_GITHUB_ADDRESS = re.compile(r"(?:^|[/@.])github\.com[/:]+([^/\s:]+)/([^/\s?#]+)", re.IGNORECASE)
# Paths of github.com that look like owners but hold no repositories.
_NOT_OWNERS = frozenset({"sponsors", "orgs", "users", "apps", "features", "marketplace"})


@dataclass(frozen=True, slots=True)
class Dependency:
    """One outgoing edge as its source declares it."""

    name: str
    version_range: str | None
    installed_version: str | None


@dataclass(frozen=True, slots=True)
class InstalledPackage:
    """One installed package, whichever database it was read from."""

    ecosystem: str
    namespace: str | None
    name: str
    version: str
    licence: str | None
    homepage: str | None
    supplier: str | None
    upstream: str | None
    dependencies: tuple[Dependency, ...]

    def purl(self) -> str:
        """Version and upstream included: the name under which an SBOM mentions this package."""
        qualifiers = {"upstream": self.upstream} if self.upstream else None
        return PackageURL(self.ecosystem, self.namespace, self.name, self.version, qualifiers).to_string()

    def canonical_id(self) -> str:
        """The name under which the graph knows this package."""
        return PackageURL(self.ecosystem, self.namespace, self.name).to_string()

    def dependency_purl(self, dependency: Dependency) -> str:
        """A dependency lives in the ecosystem of whoever needs it."""
        return PackageURL(self.ecosystem, self.namespace, dependency.name, dependency.installed_version).to_string()


@dataclass(frozen=True, slots=True)
class Source:
    """One package database: what it holds, and what in it could not be read."""

    name: str
    packages: tuple[InstalledPackage, ...]
    unreadable: tuple[str, ...] = ()


def canonical_id(purl: str) -> str:
    """Cut version, qualifiers and subpath off a purl; ValueError when it is none."""
    parsed = PackageURL.from_string(purl)
    return PackageURL(parsed.type, parsed.namespace, parsed.name).to_string()


def ecosystem_of(canonical: str) -> str:
    """The purl type: what a reader calls the ecosystem."""
    return PackageURL.from_string(canonical).type


def project_id(purl: str, homepage: str | None) -> str:
    """The project a package belongs to: its GitHub repository, else its upstream source package, else itself."""
    github = github_repository(homepage) if homepage else None
    if github is not None:
        return github
    parsed = PackageURL.from_string(purl)
    upstream = parsed.qualifiers.get("upstream", parsed.name)
    return PackageURL(parsed.type, parsed.namespace, upstream).to_string()


def github_repository(address: str) -> str | None:
    """``pkg:github/<owner>/<repo>`` for any address (https, ssh, scp-like) of a GitHub repository."""
    found = _GITHUB_ADDRESS.search(address)
    if found is None or found.group(1).lower() in _NOT_OWNERS:
        return None
    name = found.group(2).removesuffix(".git")
    return PackageURL("github", found.group(1), name).to_string() if name else None


def history_id(path: Path, origin: str | None) -> str:
    """Name a local repository by its GitHub origin when it has one, else by directory name and address."""
    github = github_repository(origin) if origin else None
    if github is not None:
        return github
    address = without_credentials(origin) if origin else path.resolve().as_uri()
    return PackageURL("generic", None, path.resolve().name or "root", None, {"vcs_url": address}).to_string()


def without_credentials(address: str) -> str:
    """Drop ``user:password@`` from a URL: origins of CI checkouts carry tokens that must not become names."""
    return re.sub(r"(?<=://)[^/@\s]+@", "", address)
