"""Wheel and sdist carry the dashboard, built. They are opened: a build that forgot it looks like any other."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from tools import dashboard

ROOT = Path(__file__).resolve().parents[2]
STATIC = "holdfast/api/static/"
BUNDLE_BYTES = 300_000
# A build from nothing fetches and compiles; one that is up to date takes a second.
pytestmark = pytest.mark.timeout(300)


def build(root: Path, target: str, into: Path) -> Path:
    """The distribution that hatchling makes in this environment: the hook runs as in any other."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(into)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (made,) = into.glob("*.whl" if target == "wheel" else "*.tar.gz")
    return made


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The dashboard in the wheel: path below static/ and content."""
    with zipfile.ZipFile(build(ROOT, "wheel", tmp_path_factory.mktemp("wheel"))) as wheel:
        names = [name for name in wheel.namelist() if name.startswith(STATIC)]
        return {name.removeprefix(STATIC): wheel.read(name) for name in names}


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An unpacked sdist."""
    folder = tmp_path_factory.mktemp("sdist")
    subprocess.run(["tar", "-xzf", build(ROOT, "sdist", folder), "-C", folder], check=True)
    (made,) = (path for path in folder.iterdir() if path.is_dir())
    return made


def loaded_by(index: str) -> list[str]:
    """What the page asks for by itself."""
    return re.findall(r'\b(?:src|href)="([^"]+)"', index)


def missing_assets(names: Iterable[str], index: str) -> list[str]:
    """What index.html loads and the package does not have. Addresses are relative: a path prefix must work."""
    return sorted({address.removeprefix("./") for address in loaded_by(index)} - set(names))


def inline_code(index: str) -> list[str]:
    """Scripts, styles and handlers inside the page, which its Content-Security-Policy forbids."""
    return re.findall(r"<script(?![^>]*\bsrc=)[^>]*>|<style[^>]*>|\bon\w+=|\bstyle=", index, re.IGNORECASE)


def compressed_bytes(pages: dict[str, bytes]) -> int:
    """All code and style of the dashboard, as a browser downloads it; pages that are loaded later count as well."""
    return sum(len(gzip.compress(content)) for name, content in pages.items() if name.endswith((".js", ".css")))


def test_the_wheel_has_a_page_and_all_that_it_loads(pages: dict[str, bytes]) -> None:
    index = pages["index.html"].decode()

    assert any(name.endswith(".js") for name in loaded_by(index))
    assert missing_assets(pages, index) == []


def test_a_missing_asset_is_seen() -> None:
    index = '<script type="module" src="./assets/app-1.js"></script><link href="/assets/app.css">'

    assert missing_assets({"index.html", "assets/app-1.js", "assets/app.css"}, index) == ["/assets/app.css"]


def test_assets_are_named_after_what_they_hold(pages: dict[str, bytes]) -> None:
    unhashed = [name for name in pages if name.startswith("assets/") and not re.search(r"-[\w-]{8}\.\w+$", name)]

    assert [name for name in pages if name.startswith("assets/")]
    assert unhashed == []


def test_the_page_holds_no_code_of_its_own(pages: dict[str, bytes]) -> None:
    assert inline_code(pages["index.html"].decode()) == []
    assert inline_code('<script src="a.js"></script><script>1</script><p style="a" onclick="b">') == [
        "<script>",
        "style=",
        "onclick=",
    ]


def test_nothing_is_loaded_from_elsewhere(pages: dict[str, bytes]) -> None:
    assert [address for address in loaded_by(pages["index.html"].decode()) if "//" in address] == []


def test_the_bundle_is_small(pages: dict[str, bytes]) -> None:
    assert compressed_bytes(pages) <= BUNDLE_BYTES


def test_the_sdist_carries_it_built_and_wants_no_node(unpacked: Path, tmp_path: Path, pages: dict[str, bytes]) -> None:
    assert not dashboard.is_due(unpacked, {})

    with zipfile.ZipFile(build(unpacked, "wheel", tmp_path)) as wheel:
        again = {name.removeprefix(STATIC) for name in wheel.namelist() if name.startswith(STATIC)}
    assert again == set(pages)


def test_whoever_changes_a_page_of_an_sdist_has_it_built(unpacked: Path) -> None:
    (unpacked / "web" / "package.json").write_text("{}", encoding="utf-8")

    assert dashboard.is_due(unpacked, {})


def placed_packages(lock: str) -> list[str]:
    """Packages whose entry names the place that they came from: a lock file must serve every registry."""
    return [name for name, package in json.loads(lock)["packages"].items() if "resolved" in package]


def test_the_lock_file_names_no_place() -> None:
    lock = (ROOT / "web" / "package-lock.json").read_text(encoding="utf-8")

    assert placed_packages(lock) == []
    assert placed_packages('{"packages": {"": {}, "node_modules/a": {"resolved": "https://x/a.tgz"}}}') == [
        "node_modules/a"
    ]
