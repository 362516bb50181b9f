"""Reading installed packages: Python distributions and the Debian status file."""

from __future__ import annotations

from importlib.metadata import Distribution, PathDistribution
from pathlib import Path

import pytest

from examples.atlas.debian_packages import installed_debian_packages
from examples.atlas.packages import (
    canonical_id,
    ecosystem_of,
    github_repository,
    history_id,
    project_id,
    without_credentials,
)
from examples.atlas.python_packages import installed_python_packages

STATUS = """\
Package: app
Status: install ok installed
Maintainer: "App People" <app@example.org>
Architecture: amd64
Source: app-source (1.0)
Version: 1.0-2
Pre-Depends: libc (>= 2.36)
Depends: missing | mail-transport (>= 3) | other, helper:any (<< 9), libc, app,
 wrapped
Homepage: https://example.org/app
Description: something
 with a second line: Depends: nonsense
 .
 and a third

Package: libc
Status: install ok installed
Version: 2.36

Package: libc
Status: install ok installed
Architecture: i386
Version: 2.36

Package: postbox
Status: install ok installed
Version: 5
Provides: mail-transport (= 3), letters

Package: helper
Status: hold ok installed
Version: 8

Package: wrapped
Status: install ok installed
Version: 1
Depends: nowhere | elsewhere

Package: removed
Status: deinstall ok config-files
Version: 1
Depends: libc

Status: install ok installed
Version: 7
"""


@pytest.fixture
def status_file(tmp_path: Path) -> Path:
    path = tmp_path / "status"
    path.write_text(STATUS, encoding="utf-8")
    return path


def test_debian_packages_are_those_installed_now(status_file: Path) -> None:
    source = installed_debian_packages(status_file, "debian")
    assert source is not None

    assert [package.name for package in source.packages] == ["app", "helper", "libc", "postbox", "wrapped"]
    assert len(source.unreadable) == 1


def test_debian_fields_are_read(status_file: Path) -> None:
    source = installed_debian_packages(status_file, "debian")
    assert source is not None
    app = source.packages[0]

    assert (app.version, app.supplier, app.upstream) == ("1.0-2", "App People", "app-source")
    assert app.homepage == "https://example.org/app"
    assert app.canonical_id() == "pkg:deb/debian/app"
    assert app.purl() == "pkg:deb/debian/app@1.0-2?upstream=app-source"


def test_debian_dependencies_are_what_is_installed_for_them(status_file: Path) -> None:
    source = installed_debian_packages(status_file, "debian")
    assert source is not None
    app, wrapped = source.packages[0], source.packages[-1]

    chosen = {(found.name, found.version_range, found.installed_version) for found in app.dependencies}
    assert chosen == {
        ("libc", ">= 2.36", "2.36"),
        ("postbox", None, "5"),  # the first alternative that is there, by way of what it provides
        ("helper", "<< 9", "8"),
        ("wrapped", None, "1"),
    }
    assert [(found.name, found.installed_version) for found in wrapped.dependencies] == [("nowhere", None)]


def test_no_debian_database_is_no_source(tmp_path: Path) -> None:
    assert installed_debian_packages(tmp_path / "status") is None


def distribution(folder: Path, name: str, version: str, *lines: str) -> Distribution:
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    text = "\n".join(["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *lines, ""])
    (info / "METADATA").write_text(text, encoding="utf-8")
    return PathDistribution(info)


def test_python_requirements_are_those_that_hold_here(tmp_path: Path) -> None:
    found = [
        distribution(
            tmp_path,
            "My_App",
            "2",
            "Requires-Dist: Needed.One (>=1,<3)",
            "Requires-Dist: absent",
            'Requires-Dist: optional; extra == "more"',
            'Requires-Dist: elsewhere; sys_platform == "nonesuch"',
            'Requires-Dist: here; python_version >= "3"',
            'Requires-Dist: my-app[more]; python_version >= "3"',
        ),
        distribution(tmp_path, "needed-one", "1.5"),
    ]

    source = installed_python_packages(found)
    app = source.packages[0]
    assert app.canonical_id() == "pkg:pypi/my-app"
    assert [(needed.name, needed.version_range, needed.installed_version) for needed in app.dependencies] == [
        ("absent", None, None),
        ("here", None, None),
        ("needed-one", "<3,>=1", "1.5"),
    ]


@pytest.mark.parametrize(
    ("lines", "licence", "homepage", "supplier"),
    [
        (["License-Expression: MIT OR Apache-2.0", "Home-page: UNKNOWN"], "MIT OR Apache-2.0", None, None),
        (["License: BSD licence, see file", "Author-email: Ann <ann@example.org>"], None, None, "Ann"),
        (
            ["Project-URL: Homepage, https://x.org", "Project-URL: Source, https://github.com/x/y", "Author: Bob"],
            None,
            "https://github.com/x/y",
            "Bob",
        ),
    ],
)
def test_python_metadata_is_read(
    tmp_path: Path, lines: list[str], licence: str | None, homepage: str | None, supplier: str | None
) -> None:
    package = installed_python_packages([distribution(tmp_path, "app", "1", *lines)]).packages[0]

    assert (package.licence, package.homepage, package.supplier) == (licence, homepage, supplier)


def test_a_broken_distribution_is_named_and_the_rest_read(tmp_path: Path) -> None:
    empty = tmp_path / "gone-1.dist-info"
    empty.mkdir()
    found = [
        PathDistribution(empty),
        distribution(tmp_path, "odd", "1", "Requires-Dist: ???"),
        distribution(tmp_path, "fine", "1"),
    ]

    source = installed_python_packages(found)
    assert [package.name for package in source.packages] == ["fine"]
    assert len(source.unreadable) == 2


def test_the_first_distribution_of_a_name_counts(tmp_path: Path) -> None:
    found = [distribution(tmp_path / "a", "same", "2"), distribution(tmp_path / "b", "Same", "1")]

    assert [package.version for package in installed_python_packages(found).packages] == ["2"]


@pytest.mark.parametrize(
    ("purl", "expected"),
    [
        ("pkg:pypi/Foo_Bar@1.0", "pkg:pypi/foo-bar"),
        ("pkg:npm/%40scope/name@1.0?x=y#sub", "pkg:npm/%40scope/name"),
        ("pkg:deb/debian/libstdc%2B%2B6@12", "pkg:deb/debian/libstdc%2B%2B6"),
        ("pkg:github/Owner/Repo@main", "pkg:github/owner/repo"),
    ],
)
def test_canonical_names(purl: str, expected: str) -> None:
    assert canonical_id(purl) == expected
    assert canonical_id(expected) == expected
    assert ecosystem_of(expected) == purl[4:].split("/", maxsplit=1)[0]


@pytest.mark.parametrize(
    "address",
    [
        "https://github.com/Owner/Repo",
        "https://github.com/owner/repo.git",
        "https://www.github.com/owner/repo/tree/main?x#y",
        "git@github.com:owner/repo.git",
        "ssh://git@github.com/owner/repo",
        "https://user:secret@github.com/owner/repo",
    ],
)
def test_addresses_of_one_github_repository_are_one_name(address: str) -> None:
    assert github_repository(address) == "pkg:github/owner/repo"


@pytest.mark.parametrize(
    "address",
    ["https://notgithub.com/a/b", "https://github.com/owner", "https://github.com/sponsors/owner", "https://x.org", ""],
)
def test_other_addresses_are_none(address: str) -> None:
    assert github_repository(address) is None


def test_a_history_without_origin_is_named_by_its_place(tmp_path: Path) -> None:
    one, two = tmp_path / "a" / "same", tmp_path / "b" / "same"

    assert history_id(one, None) != history_id(two, None)
    assert history_id(one, "git@github.com:owner/repo.git") == "pkg:github/owner/repo"


def test_credentials_never_become_part_of_a_name(tmp_path: Path) -> None:
    assert without_credentials("https://user:secret@host.example/x.git") == "https://host.example/x.git"
    assert "secret" not in history_id(tmp_path, "https://user:secret@host.example/x.git")


def test_projects_group_packages() -> None:
    assert project_id("pkg:deb/debian/libc6@2.36?upstream=glibc", None) == "pkg:deb/debian/glibc"
    assert project_id("pkg:deb/debian/tar@1", None) == "pkg:deb/debian/tar"
    assert project_id("pkg:pypi/click@8", "https://github.com/pallets/click/") == "pkg:github/pallets/click"
