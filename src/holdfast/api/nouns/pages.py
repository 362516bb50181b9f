"""Pages of the project's own: their files, and what they show."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path
from fastapi.responses import FileResponse

from holdfast.access import Openness
from holdfast.api.frame.asking import Asked, Asking
from holdfast.api.frame.routing import NounRouter
from holdfast.app import ProjectPage

router = NounRouter("pages")

_Part = Annotated[str, Path(min_length=1, max_length=200)]


@router.read("/pages/{name}/files/{file}", needs=Openness.SIGNED_IN, response_class=FileResponse)
async def show_file(asking: Asking, name: _Part, file: _Part) -> FileResponse:
    """A file of a page: its module, a sheet of styles, a picture."""
    path, kind = _page(asking, name).file(file)
    return FileResponse(path, media_type=kind, headers={"Cache-Control": "private, no-cache"})


@router.read("/pages/{name}/data/{part}", needs=Openness.SIGNED_IN)
async def show_data(asking: Asking, name: _Part, part: _Part) -> Any:
    """What a page shows, as its project reads it; for three seconds at the most, and without changing anything."""
    reading = _page(asking, name).reading(part)
    return await asking.reading(reading)


def _page(asking: Asked, name: str) -> ProjectPage:
    page = asking.app.pages.get(name)
    asking.who.demand(page.needs)
    return page
