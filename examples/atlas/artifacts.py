"""Submitted documents on disk, named by what they say, written so that a reader never sees half of one."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from .spdx import semantic_hash


class ArtifactUnavailable(Exception):
    """The stored document is gone, or its path leads outside the store."""


def store_artifact(directory: Path, raw: bytes) -> tuple[str, str]:
    """Keep the bytes; returns (semantic hash, path relative to the directory)."""
    content_hash = semantic_hash(raw)
    relative = f"sboms/{content_hash[:2]}/{content_hash}.spdx.json"
    target = directory / relative
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=".incoming-")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(raw)
            Path(temporary).replace(target)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    return content_hash, relative


def read_artifact(directory: Path, relative: str) -> bytes:
    """The bytes stored under a path from the database, which is not trusted to stay inside the store."""
    root = directory.resolve()
    path = (root / relative).resolve()
    if not path.is_relative_to(root):
        raise ArtifactUnavailable(f"artifact path leads outside the store: {relative!r}")
    try:
        return path.read_bytes()
    except OSError as problem:
        raise ArtifactUnavailable(f"missing artifact {relative}: {problem.strerror}") from problem
