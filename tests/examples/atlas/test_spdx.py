"""SPDX documents: PA-06, the shapes that PA-10 and PA-09 speak of, and what is refused."""

from __future__ import annotations

import copy
import json
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from spdx_tools.spdx.parser.jsonlikedict.json_like_dict_parser import JsonLikeDictParser

from examples.atlas.debian_packages import installed_debian_packages
from examples.atlas.packages import Dependency, InstalledPackage
from examples.atlas.python_packages import installed_python_packages
from examples.atlas.spdx import SbomRejected, document_for, read_sbom, semantic_hash

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
APP = "pkg:pypi/app"


def package(*needs: str, name: str = "app", version: str = "1.0") -> InstalledPackage:
    dependencies = tuple(Dependency(needed, ">=1", "1.5") for needed in needs)
    return InstalledPackage("pypi", None, name, version, "MIT", "https://example.org", "Ann", None, dependencies)


def document(*needs: str, **about: str) -> dict[str, Any]:
    return document_for(package(*needs, **about), NOW)


def raw(document: object) -> bytes:
    return json.dumps(document).encode()


def depends_on(element: str, related: str) -> dict[str, str]:
    return {"spdxElementId": element, "relationshipType": "DEPENDS_ON", "relatedSpdxElement": related}


def test_a_document_says_what_was_put_in() -> None:
    sbom = read_sbom(raw(document("left", "right")), APP)

    assert (sbom.repository.canonical, sbom.repository.version, sbom.repository.licence) == (APP, "1.0", "MIT")
    assert [found.canonical for found in sbom.packages] == ["pkg:pypi/left", "pkg:pypi/right"]
    assert sbom.edges == ((APP, "pkg:pypi/left", ">=1"), (APP, "pkg:pypi/right", ">=1"))


def test_every_package_of_this_environment_makes_a_valid_document() -> None:
    for found in installed_python_packages().packages:
        sbom = read_sbom(raw(document_for(found, NOW)), found.canonical_id())
        assert len(sbom.edges) == len(found.dependencies)


def test_one_document_is_parsed_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library's index of licences is built at first use; a second thread would find it half done."""
    inside, beside = threading.Semaphore(1), threading.Event()
    parse = JsonLikeDictParser.parse

    def watched(self: JsonLikeDictParser, loaded: dict[str, Any]) -> Any:
        if not inside.acquire(blocking=False):
            beside.set()
            return parse(self, loaded)
        beside.wait(0.5)  # long enough for the other thread to come in, if it may
        inside.release()
        return parse(self, loaded)

    monkeypatch.setattr(JsonLikeDictParser, "parse", watched)
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda _: read_sbom(raw(document("left")), APP), range(2)))
    assert not beside.is_set()


def test_names_with_signs_stay_apart() -> None:
    needs = ("libstdc++6", "libstdc--6", "a_b", "a-b", "a.b")
    described = InstalledPackage("deb", "debian", "app", "1:2-3~rc+1", None, None, None, "source", tuple(
        Dependency(needed, None, "1") for needed in needs
    ))  # fmt: skip

    sbom = read_sbom(raw(document_for(described, NOW)), described.canonical_id())
    assert len({needed for _, needed, _ in sbom.edges}) == len(needs)


def test_the_hash_knows_neither_time_nor_order_nor_envelope() -> None:
    plain = document("left", "right", "far")
    other = copy.deepcopy(plain)
    other["documentNamespace"] = "urn:uuid:00000000-0000-4000-8000-000000000000"
    other["creationInfo"]["created"] = "2001-01-01T00:00:00Z"
    random.Random(4).shuffle(other["packages"])
    random.Random(5).shuffle(other["relationships"])

    assert semantic_hash(raw(other)) == semantic_hash(raw(plain))
    assert semantic_hash(raw({"sbom": other})) == semantic_hash(raw(plain))


def test_the_hash_differs_by_version_repository_and_edge() -> None:
    documents = [
        document("left"),
        document("left", version="1.1"),
        document("left", name="other"),
        document("right"),
        document(),
    ]

    assert len({semantic_hash(raw(found)) for found in documents}) == len(documents)


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe", b"[]", b"{}", b'{"spdxVersion": 3}', b'{"spdxVersion": "x", "name": 1, "packages": 7}'],
)
def test_what_is_no_document_is_hashed_as_it_is(content: bytes) -> None:
    assert semantic_hash(content) == semantic_hash(content)
    assert semantic_hash(content) != semantic_hash(content + b" ")


def test_the_envelope_is_accepted() -> None:
    plain = document("left")

    assert read_sbom(raw({"sbom": plain}), APP) == read_sbom(raw(plain), APP)


def test_no_relationships_make_flat_edges() -> None:
    flat = document("left", "right")
    flat["relationships"] = [flat["relationships"][0]]

    edges = read_sbom(raw(flat), APP).edges
    assert edges == ((APP, "pkg:pypi/left", None), (APP, "pkg:pypi/right", None))


def test_whoever_submits_is_the_root() -> None:
    sbom = read_sbom(raw(document("left")), "pkg:github/example/app")

    assert sbom.repository.canonical == "pkg:github/example/app"
    assert sbom.edges == (("pkg:github/example/app", "pkg:pypi/left", ">=1"),)


def test_several_described_packages_are_a_list_below_the_repository() -> None:
    listed = document("left", "right")
    listed["relationships"] = [
        {"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": entry["SPDXID"]}
        for entry in listed["packages"]
    ]

    assert len(read_sbom(raw(listed), "pkg:github/example/app").edges) == 3
    assert len(read_sbom(raw(listed), APP).edges) == 2


def test_nested_edges_and_their_mirror_are_read() -> None:
    nested = document("left", "right")
    ids = {entry["name"]: entry["SPDXID"] for entry in nested["packages"]}
    nested["relationships"].append(depends_on(ids["left"], ids["right"]))
    mirrored = copy.deepcopy(nested)
    mirrored["relationships"][-1] = depends_on(ids["right"], ids["left"]) | {"relationshipType": "DEPENDENCY_OF"}

    assert ("pkg:pypi/left", "pkg:pypi/right", None) in read_sbom(raw(nested), APP).edges
    assert read_sbom(raw(mirrored), APP) == read_sbom(raw(nested), APP)


def without(key: str) -> dict[str, Any]:
    cut = document("left")
    del cut[key]
    return cut


def changed(**values: object) -> dict[str, Any]:
    return document("left") | values


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"no json", "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (raw(changed(name="odd \x00")), "U\\+0000"),
        (raw(changed(name="odd \ud800")), "not JSON"),
        (b"[1]", "not an SPDX 2.3 document"),
        (raw(changed(spdxVersion="SPDX-2.2")), "not an SPDX 2.3 document"),
        (raw(without("creationInfo")), "CreationInfo"),
        (raw(without("documentNamespace")), "namespace"),
        (raw(changed(packages="none")), "not parseable"),
        (raw(changed(packages=[7])), "not parseable"),
        (raw(changed(relationships=[depends_on("SPDXRef-nobody", "SPDXRef-nowhere")])), "SPDXRef-nobody"),
        (raw(changed(relationships=[])), "DESCRIBES"),
    ],
)
def test_a_bad_document_is_refused_with_the_reason(content: bytes, reason: str) -> None:
    with pytest.raises(SbomRejected, match=reason):
        read_sbom(content, APP)


def test_a_bad_purl_is_refused() -> None:
    bad = document("left")
    bad["packages"][1]["externalRefs"][0]["referenceLocator"] = "left@1.5"

    with pytest.raises(SbomRejected):
        read_sbom(raw(bad), APP)


def test_an_endless_purl_is_refused() -> None:
    bad = document("left")
    bad["packages"][1]["externalRefs"][0]["referenceLocator"] = f"pkg:pypi/{'x' * 600}"

    with pytest.raises(SbomRejected, match="longer than 512"):
        read_sbom(raw(bad), APP)


def test_debian_documents_are_valid_where_there_is_such_a_database() -> None:
    source = installed_debian_packages()
    for found in source.packages[:60] if source else ():
        read_sbom(raw(document_for(found, NOW)), found.canonical_id())
