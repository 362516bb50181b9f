#!/usr/bin/env python3
"""Chromium for the tests of the dashboard: find it, or install Debian's where this user may.

    python3 tools/browser.py    (make browser) install it unless it is there; says what to do where that is not allowed

Needs nothing but Python and its standard library.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable

# Any of them runs the tests; Debian's own is the one under test in CI.
PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# The fonts make screenshots readable on a machine that has none.
PACKAGES = ("chromium", "fonts-liberation")
ADVICE = f"On Debian or Ubuntu: sudo apt-get install {' '.join(PACKAGES)}"


def find_browser(which: Callable[[str], str | None] = shutil.which) -> str | None:
    """The path of a Chromium, if PATH has one."""
    return next(filter(None, map(which, PROGRAMS)), None)


def install() -> int:
    """Debian's Chromium by apt; the exit status."""
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    for arguments in (["update"], ["install", "-y", "--no-install-recommends", *PACKAGES]):
        done = subprocess.run(["apt-get", *arguments], env=environment, stdin=subprocess.DEVNULL, check=False)
        if done.returncode:
            return done.returncode
    return 0


def main() -> int:
    """Entry of the script."""
    if found := find_browser():
        print(f"Chromium is here: {found}")
        return 0
    if os.geteuid() == 0 and shutil.which("apt-get"):
        return install()
    print(f"No Chromium here, and this user may not install one.\n{ADVICE}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
