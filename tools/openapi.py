"""Write ``web/openapi.json`` anew: what the API answers, out of which the types of the dashboard are made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from holdfast import Holdfast
from holdfast.api import create_api

TARGET = Path(__file__).resolve().parent.parent / "web" / "openapi.json"


def described() -> str:
    """The file as it should be: what is the same for every route, and the version of the package, are left out."""
    document = create_api(Holdfast(), auth=True).openapi()
    document["info"] = {"title": document["info"]["title"], "version": "v1"}
    document["components"] = {"schemas": document["components"]["schemas"]}
    document["paths"] = {
        path: {method: _short(operation) for method, operation in operations.items()}
        for path, operations in document["paths"].items()
    }
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _short(operation: dict[str, Any]) -> dict[str, Any]:
    answers = {status: answer for status, answer in operation["responses"].items() if status.startswith("2")}
    kept: dict[str, Any] = {name: operation[name] for name in ("parameters", "requestBody") if name in operation}
    return {"operationId": operation["operationId"], "responses": answers, **kept}


def main() -> None:
    """Write it, and say whether something has changed."""
    wanted = described()
    changed = not TARGET.exists() or wanted != TARGET.read_text(encoding="utf-8")
    TARGET.write_text(wanted, encoding="utf-8")
    print(f"{TARGET.name}: {'written anew' if changed else 'as it was'}")


if __name__ == "__main__":
    main()
