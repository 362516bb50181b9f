"""SPDX 2.3 documents: written for installed packages, read from anyone, compared by meaning.

Reading goes through spdx-tools (the SPDX project's own library, released in step with the specification): it checks
references, identifiers, licence expressions and purls, which a JSON schema cannot. Its cost, quadratic in the size of
a document, is a known limitation; documents here have tens of packages.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from spdx_tools.spdx.model.document import Document
from spdx_tools.spdx.model.relationship import RelationshipType
from spdx_tools.spdx.parser.error import SPDXParsingError
from spdx_tools.spdx.parser.jsonlikedict.json_like_dict_parser import JsonLikeDictParser
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from .packages import InstalledPackage, canonical_id

_DOCUMENT = "SPDXRef-DOCUMENT"
_NAMESPACE = uuid.UUID("6f1b3c0a-52f5-5d0c-9a53-6d2f2f0a7c11")
_MAX_PROBLEMS_SHOWN = 5
# The parser's index of licences is built by whoever asks first, and a second thread would find it half done.
_ONE_AT_A_TIME = threading.Lock()
LONGEST_NAME = 512

Edge = tuple[str, str, str | None]
"""Who needs, what is needed, in which range: canonical names."""


class SbomRejected(Exception):
    """The bytes are no valid SPDX 2.3 document of one repository; the message says what is wrong with them."""


@dataclass(frozen=True, slots=True)
class SbomPackage:
    """What the graph keeps of one package of a document."""

    canonical: str
    purl: str
    name: str
    version: str | None
    licence: str | None
    homepage: str | None


@dataclass(frozen=True, slots=True)
class Sbom:
    """A validated document as the graph sees it: who it speaks of, what else it names, which edges it declares."""

    repository: SbomPackage
    packages: tuple[SbomPackage, ...]
    edges: tuple[Edge, ...]


def document_for(package: InstalledPackage, made_at: datetime) -> dict[str, Any]:
    """Describe one installed package and what it needs directly; the union of all documents is the whole graph."""
    root = _spdx_id(package.canonical_id())
    entries = [_package_entry(root, package.name, package.version, package.purl())]
    entries[0] |= {
        "licenseDeclared": package.licence or "NOASSERTION",
        "homepage": package.homepage if package.homepage and "://" in package.homepage else "NOASSERTION",
        "supplier": f"Organization: {package.supplier}" if package.supplier else "NOASSERTION",
    }
    relationships = [_relationship(_DOCUMENT, "DESCRIBES", root)]
    for dependency in package.dependencies:
        purl = package.dependency_purl(dependency)
        target = _spdx_id(canonical_id(purl))
        entries.append(_package_entry(target, dependency.name, dependency.installed_version, purl))
        relationships.append(_relationship(root, "DEPENDS_ON", target, dependency.version_range))
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": _DOCUMENT,
        "name": package.canonical_id(),
        "documentNamespace": f"urn:uuid:{uuid.uuid5(_NAMESPACE, package.purl() + made_at.isoformat())}",
        "creationInfo": {
            "created": made_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "creators": ["Tool: holdfast-atlas"],
        },
        "packages": entries,
        "relationships": relationships,
    }


def _package_entry(spdx_id: str, name: str, version: str | None, purl: str) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "SPDXID": spdx_id,
        "name": name,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "licenseConcluded": "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "externalRefs": [
            {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl},
        ],
    }
    return entry | ({"versionInfo": version} if version else {})


def _relationship(element: str, kind: str, related: str, comment: str | None = None) -> dict[str, str]:
    written = {"spdxElementId": element, "relationshipType": kind, "relatedSpdxElement": related}
    return written | ({"comment": comment} if comment else {})


def _spdx_id(canonical: str) -> str:
    """Identifiers may hold letters, digits, dots and hyphens; anything else becomes its code, so none collide."""
    return "SPDXRef-" + re.sub(r"[^A-Za-z0-9.]", lambda found: f"-{ord(found.group()):x}-", canonical[4:])


def unwrap(document: object) -> object:
    """GitHub's export puts the document into an envelope ``{"sbom": …}``."""
    return document["sbom"] if isinstance(document, dict) and set(document) == {"sbom"} else document


def semantic_hash(raw: bytes) -> str:
    """Equal for documents that say the same: name, packages and relationships, whatever their order or time.

    What is not a document at all is hashed as it is.
    """
    try:
        document = unwrap(json.loads(raw))
        canonical = _canonical(document) if isinstance(document, dict) and "spdxVersion" in document else None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        canonical = None
    return hashlib.sha256(raw if canonical is None else canonical).hexdigest()


def _canonical(document: Mapping[str, Any]) -> bytes:
    kinds = ("spdxElementId", "relatedSpdxElement", "relationshipType")
    said = {
        "name": document["name"],
        "packages": sorted(document.get("packages", []), key=lambda package: str(package["SPDXID"])),
        "relationships": sorted(
            document.get("relationships", []), key=lambda link: tuple(str(link[kind]) for kind in kinds)
        ),
    }
    return json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def read_sbom(raw: bytes, repository: str) -> Sbom:
    """Validate the document that ``repository`` handed in and take from it what the graph needs.

    Whoever submits is the root, whatever name the document gives to its own subject.
    """
    loaded = _loaded(raw)
    if not isinstance(loaded, dict) or loaded.get("spdxVersion") != "SPDX-2.3":
        version = loaded.get("spdxVersion") if isinstance(loaded, dict) else None
        raise SbomRejected(f"not an SPDX 2.3 document (spdxVersion is {version!r})")
    document = _validated(loaded)
    packages = _packages(document)
    roots, listed = _described(document, packages, repository)
    names = {spdx_id: package.canonical for spdx_id, package in packages.items()} | dict.fromkeys(roots, repository)
    subject = next((packages[root] for root in sorted(roots) if root in packages), None)
    others = {package for spdx_id, package in packages.items() if names[spdx_id] != repository}
    return Sbom(
        repository=replace(subject, canonical=repository) if subject else _unnamed(repository),
        packages=tuple(sorted(others, key=lambda package: (package.canonical, package.purl))),
        edges=_edges(document, names, repository, listed),
    )


def _loaded(raw: bytes) -> object:
    try:
        loaded = unwrap(json.loads(raw))
        storable = json.dumps(loaded, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as problem:
        raise SbomRejected(f"not JSON: {problem}") from problem
    if b"\\u0000" in storable:
        raise SbomRejected("holds the character U+0000, which no name has and PostgreSQL cannot store")
    return loaded


def _validated(loaded: dict[str, Any]) -> Document:
    with _ONE_AT_A_TIME:
        document = _parsed(loaded)
        messages = [found.validation_message for found in validate_full_spdx_document(document, "SPDX-2.3")]
    if messages:
        raise SbomRejected(_summary(messages))
    return document


def _parsed(loaded: dict[str, Any]) -> Document:
    try:
        return JsonLikeDictParser().parse(loaded)  # type: ignore[no-untyped-call]
    except SPDXParsingError as problem:
        messages = problem.get_messages()  # type: ignore[no-untyped-call]
        raise SbomRejected(_summary(messages)) from problem
    except Exception as problem:  # the parser trusts the shape of nested values and trips over wrong ones
        raise SbomRejected(f"not parseable as SPDX 2.3: {type(problem).__name__}: {problem}") from problem


def _summary(messages: list[str]) -> str:
    shown = "; ".join(" ".join(message.split()) for message in messages[:_MAX_PROBLEMS_SHOWN])
    more = len(messages) - _MAX_PROBLEMS_SHOWN
    return f"{shown}; and {more} more" if more > 0 else shown


def _packages(document: Document) -> dict[str, SbomPackage]:
    """By SPDX identifier, those that carry a usable purl: without one a package cannot be named across documents."""
    packages = {}
    for package in document.packages:
        for reference in package.external_references:
            if reference.reference_type != "purl":
                continue
            try:
                canonical = canonical_id(reference.locator)
            except ValueError as problem:
                raise SbomRejected(f"{package.spdx_id}: {problem}") from problem
            if len(canonical) > LONGEST_NAME:
                raise SbomRejected(f"{package.spdx_id}: its purl is longer than {LONGEST_NAME} characters")
            packages[package.spdx_id] = SbomPackage(
                canonical=canonical,
                purl=reference.locator,
                name=package.name,
                version=package.version,
                licence=_asserted(package.license_declared),
                homepage=_asserted(package.homepage),
            )
            break
    return packages


def _asserted(value: object) -> str | None:
    text = "" if value is None else str(value)
    return None if text in ("", "NOASSERTION", "NONE") else text


def _unnamed(repository: str) -> SbomPackage:
    return SbomPackage(repository, repository, repository.rpartition("/")[2], None, None, None)


def _described(
    document: Document, packages: Mapping[str, SbomPackage], repository: str
) -> tuple[frozenset[str], frozenset[str]]:
    """Which elements are the repository itself, and which are merely listed as described beside it.

    One described element is the repository. Of several, those that bear its name are; the others are a plain list.
    """
    described = set()
    for link in document.relationships:
        ends = (link.spdx_element_id, str(link.related_spdx_element_id))
        if link.relationship_type == RelationshipType.DESCRIBES and ends[0] == _DOCUMENT:
            described.add(ends[1])
        elif link.relationship_type == RelationshipType.DESCRIBED_BY and ends[1] == _DOCUMENT:
            described.add(ends[0])
    if len(described) == 1:
        return frozenset(described), frozenset()
    roots = {spdx_id for spdx_id in described & packages.keys() if packages[spdx_id].canonical == repository}
    return frozenset(roots), frozenset(described - roots)


def _edges(document: Document, names: Mapping[str, str], repository: str, listed: frozenset[str]) -> tuple[Edge, ...]:
    """DEPENDS_ON as declared (DEPENDENCY_OF is its mirror); a document that relates nothing is a flat list."""
    edges: dict[tuple[str, str], str | None] = {(repository, names[spdx_id]): None for spdx_id in listed & names.keys()}
    related = False
    for link in document.relationships:
        ends = [link.spdx_element_id, str(link.related_spdx_element_id)]
        if link.relationship_type == RelationshipType.DEPENDENCY_OF:
            ends.reverse()
        elif link.relationship_type != RelationshipType.DEPENDS_ON:
            continue
        related = True
        if ends[0] in names and ends[1] in names:
            edges[names[ends[0]], names[ends[1]]] = link.comment
    if not related:
        edges = {(repository, name): None for name in names.values()}
    return tuple((needs, needed, wanted) for (needs, needed), wanted in sorted(edges.items()) if needs != needed)
