"""Write ``src/holdfast/db/schema.sql`` anew from the migrations, on an embedded server of its own."""

from __future__ import annotations

from pathlib import Path

from holdfast.db.schema import full_schema

TARGET = Path(__file__).parent.parent / "src" / "holdfast" / "db" / "schema.sql"


def main() -> None:
    """Make the schema first, so that a migration that fails leaves the file as it was."""
    schema = full_schema()
    changed = schema != TARGET.read_text(encoding="utf-8")
    TARGET.write_text(schema, encoding="utf-8")
    print(f"{TARGET.name}: {'written anew' if changed else 'as it was'}")


if __name__ == "__main__":
    main()
