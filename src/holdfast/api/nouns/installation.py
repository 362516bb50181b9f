"""What is installed here: versions, the database, the environment."""

from __future__ import annotations

from datetime import datetime
from importlib import metadata

from pydantic import BaseModel, Field

from holdfast.access import Openness
from holdfast.api.frame.asking import Asking
from holdfast.api.frame.frame import Frame
from holdfast.api.frame.routing import NounRouter
from holdfast.clock import now
from holdfast.db import load_statements

router = NounRouter("installation")

_SQL = load_statements("holdfast.api", "api.sql")
_POLL_MIN_SECONDS, _POLL_MAX_SECONDS = 1, 30


class EnvironmentOut(BaseModel):
    """Where this is, so that nobody mistakes production for anything else."""

    name: str | None
    color: str | None


class PostgresOut(BaseModel):
    """The server behind it."""

    version: str
    primary: bool


class PageOut(BaseModel):
    """A page of the project's own."""

    path: str
    title: str
    module: str


class StreamOut(BaseModel):
    """How often to ask where the live stream does not get through."""

    min_seconds: int
    max_seconds: int


class InfoOut(BaseModel):
    """What is installed here."""

    version: str
    schema_version: int
    environment: EnvironmentOut
    postgres: PostgresOut
    read_only: bool
    auth: bool = Field(description="whether callers must be known")
    server_time: datetime
    pages: list[PageOut]
    stream: StreamOut


@router.read("/info", needs=Openness.SIGNED_IN)
async def show_info(asking: Asking) -> InfoOut:
    """Versions, the environment, and how this server is set up."""
    frame: Frame = asking.request.app.state.frame
    settings = frame.settings
    row = await asking.database.fetchrow(_SQL["installation"])
    return InfoOut(
        version=metadata.version("holdfast"),
        schema_version=row["schema_version"],
        environment=EnvironmentOut(name=settings.environment_name, color=settings.environment_color),
        postgres=PostgresOut(version=row["version"], primary=row["is_primary"]),
        read_only=frame.read_only,
        auth=frame.guarded,
        server_time=now(),
        pages=[PageOut(path=page.path, title=page.title, module=page.address) for page in frame.app.pages],
        stream=StreamOut(min_seconds=_POLL_MIN_SECONDS, max_seconds=_POLL_MAX_SECONDS),
    )
