"""A supervisor process: python supervise.py '{"url": ..., "child": [...], "limits": {...}, ...}'."""

from __future__ import annotations

import json
import sys

from holdfast.leases import Limits
from holdfast.telemetry import configure_logging
from holdfast.worker import Supervisor, SupervisorOptions

if __name__ == "__main__":
    configure_logging("info", "text")
    given = json.loads(sys.argv[1])
    options = SupervisorOptions(**{**given, "limits": Limits(**given["limits"])})
    sys.exit(Supervisor(options).run())
