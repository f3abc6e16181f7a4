"""Sections of a report -> one HTML page and Markdown, by the Jinja2 templates beside this file."""

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from despoof.errors import InputError
from despoof.evaluation.tables import markdown
from despoof.runs.folder import atomic_path, write_text

if TYPE_CHECKING:
    from jinja2 import Template

FIGURE = re.compile(r"([-+]?[0-9.]+(?: ± [0-9.]+)?)(?: (\([^)]*\)))?")  # mean and deviation, interval
PICTURES = "pictures"  # folder beside the Markdown


@dataclass(frozen=True)
class Picture:
    """A PNG, its title, and what it shows in words that stand for it where it cannot be seen.

    `name` is that of its file beside the Markdown, without suffix; a picture without one lies in the page alone.
    """

    png: bytes = field(repr=False)
    title: str
    words: str
    name: str = ""


@dataclass(frozen=True)
class Table:
    """Rows of text, the first being the head; `words` say what it shows. The first `heads` columns name a row."""

    rows: tuple[tuple[str, ...], ...]
    words: str
    heads: int = 1

    def __post_init__(self) -> None:
        if len({len(row) for row in self.rows}) != 1:
            lengths = sorted({len(row) for row in self.rows})
            raise InputError(f"table {self.words!r} has rows of {lengths} cells; expected a head and one length.")


@dataclass(frozen=True)
class Section:
    """A part of a report: heading, paragraphs, list, tables and pictures, in this order."""

    title: str
    paragraphs: tuple[str, ...] = ()
    points: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    pictures: tuple[Picture, ...] = ()


def write_report(folder: str | Path, title: str, sections: Sequence[Section], *, sorting: bool = False) -> Path:
    """Write report.html, report.md and the named pictures; return the path of the page.

    With `sorting` the page has a script of its own, and no other, by which its tables are sorted by a column.
    """
    folder = Path(folder)
    for picture in (picture for section in sections for picture in section.pictures if picture.name):
        with atomic_path(folder / PICTURES / f"{picture.name}.png") as temporary:
            temporary.write_bytes(picture.png)
    write_text(folder / "report.md", page_markdown(title, sections))
    write_text(folder / "report.html", page_html(title, sections, sorting=sorting))
    return folder / "report.html"


def page_html(title: str, sections: Sequence[Section], *, sorting: bool = False) -> str:
    """Return the report as one self-contained HTML page, every text in it escaped."""
    script = (Path(__file__).parent / "sort.js").read_text(encoding="utf-8") if sorting else ""
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()  # this very text runs, nothing else
    return _template("page.html.j2").render(title=title, sections=sections, script=script, allowed=allowed)


def page_markdown(title: str, sections: Sequence[Section]) -> str:
    """Return the report as Markdown; named pictures are linked, the others lie in the page."""
    return _template("page.md.j2").render(title=title, sections=sections)


@cache
def _template(name: str) -> "Template":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("despoof", "report"),
        autoescape=name.endswith(".html.j2"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "figure": FIGURE.fullmatch,
        "base64": lambda png: base64.b64encode(png).decode(),
        "plain": _plain,
        "table": _markdown,
    }
    return environment.get_template(name)


def _markdown(table: Table) -> str:
    head, *rows = ([_plain(text) for text in row] for row in table.rows)
    return markdown(head, rows).rstrip("\n")


def _plain(text: str) -> str:
    """Keep names from being read as Markdown or HTML; bars are escaped where a table is made."""
    text = " ".join(text.split()).replace("\\", "\\\\")
    for sign, written in (("&", "&amp;"), ("<", "&lt;"), ("*", "\\*"), ("[", "\\["), ("`", "\\`")):
        text = text.replace(sign, written)
    return text
