"""`/`: the page for people, which asks nothing but this service."""

from pathlib import Path

from fastapi import APIRouter, HTTPException
from fastapi.responses import FileResponse

from despoof.page import FILES

PAGE = Path(__file__).parents[1] / "page"
OWN = {name: PAGE / name for name in ("page.css", "page.js")}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
router = APIRouter(include_in_schema=False)


@router.get("/")
async def page() -> FileResponse:
    """Return the page, under a policy that lets scripts and styles of this service alone run, and none in the page."""
    return FileResponse(PAGE / "index.html", headers={"Content-Security-Policy": POLICY})


@router.get("/page/{name}")
async def part(name: str) -> FileResponse:
    """Return a script or style of the page."""
    path = (FILES | OWN).get(name)
    if path is None:
        raise HTTPException(404)
    return FileResponse(path)
