"""Builds the dashboard into wheel and sdist. Run by hatchling; a person runs `python tools/dashboard.py build`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# A build frontend loads this file alone, in an environment of its own.
sys.path.insert(0, str(Path(__file__).resolve().parent))

from tools import dashboard


class DashboardHook(BuildHookInterface[Any]):
    """Builds the pages when their sources are newer. For both targets: an sdist that has them wants no Node."""

    def dependencies(self) -> list[str]:
        """Node, only when there is something to build: 60 MB that most installations never need."""
        return [dashboard.NODE] if self._is_due() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002  (hatchling's signature)
        """Before hatchling collects the files."""
        if self._is_due():
            self.app.display_info("building the dashboard")
            dashboard.build(Path(self.root))

    def _is_due(self) -> bool:
        return dashboard.is_due(Path(self.root), os.environ)
