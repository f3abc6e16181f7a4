"""`/`: the page for people, one file that asks nothing but this service."""

import base64
import hashlib
import re
from functools import cache
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

PAGE = Path(__file__).parents[1] / "page.html"
POLICY = (
    "default-src 'none'; script-src {script}; style-src {style}; img-src data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
router = APIRouter(include_in_schema=False)


@router.get("/")
async def page() -> HTMLResponse:
    """Return the page, under a policy that names its script and its style by hash, so that no other runs."""
    text = _text()
    return HTMLResponse(text, headers={"Content-Security-Policy": POLICY.format_map(_hashes(text))})


@cache
def _text() -> str:
    return PAGE.read_text(encoding="utf-8")


@cache
def _hashes(text: str) -> dict[str, str]:
    inside = re.findall(r"<(script|style)>(.*?)</\1>", text, re.DOTALL)
    return {
        tag: f"'sha256-{base64.b64encode(hashlib.sha256(block.encode()).digest()).decode()}'" for tag, block in inside
    }
