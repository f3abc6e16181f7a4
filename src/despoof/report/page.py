"""Sections of a report -> one HTML page and Markdown: text, tables and pictures, and nothing from elsewhere.

The page needs nothing beside itself: no script, no font, no address; pictures lie inside it as data, and its
own policy forbids the rest. Every text is escaped. It can be read without colour, by keyboard, and aloud.
"""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from despoof.errors import InputError
from despoof.runs.folder import atomic_path, write_text

FIGURE = re.compile(r"[-+]?[0-9.]+( ± [0-9.]+)?( \([^)]*\))?")  # mean, deviation, interval
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


def write_report(folder: str | Path, title: str, sections: Sequence[Section]) -> Path:
    """Write report.html, report.md and the named pictures; return the path of the page."""
    folder = Path(folder)
    for section in sections:
        for picture in section.pictures:
            if picture.name:
                with atomic_path(folder / PICTURES / f"{picture.name}.png") as temporary:
                    temporary.write_bytes(picture.png)
    write_text(folder / "report.md", page_markdown(title, sections))
    write_text(folder / "report.html", page_html(title, sections))
    return folder / "report.html"


def page_markdown(title: str, sections: Sequence[Section]) -> str:
    """Return the report as Markdown; named pictures are linked, the others lie in the page."""
    parts = [f"# {_plain(title)}"]
    for section in sections:
        parts += [f"## {_plain(section.title)}", *map(_plain, section.paragraphs)]
        parts += ["\n".join(f"- {_plain(point)}" for point in section.points)] if section.points else []
        for table in section.tables:
            parts += [f"*{_plain(table.words)}*", table_markdown(table.rows)]
        parts += [_picture_markdown(picture) for picture in section.pictures]
    return "\n\n".join(parts) + "\n"


def table_markdown(rows: Sequence[Sequence[str]]) -> str:
    """Return rows, the first being the head, as a Markdown table."""
    head, *body = ["| " + " | ".join(map(_plain, row)) + " |" for row in rows]
    return "\n".join([head, "|" + "---|" * len(rows[0]), *body])


def page_html(title: str, sections: Sequence[Section]) -> str:
    """Return the report as one self-contained HTML page."""
    places = [f"part-{i}" for i in range(len(sections))]
    links = "".join(
        f'<li><a href="#{place}">{escape(section.title)}</a></li>'
        for place, section in zip(places, sections, strict=True)
    )
    body = "".join(_section_html(place, section) for place, section in zip(places, sections, strict=True))
    return PAGE.format(title=escape(title), style=STYLE, links=links, body=body)


def _plain(text: str) -> str:
    """Keep names from being read as Markdown or HTML."""
    text = " ".join(text.split()).replace("\\", "\\\\")
    for sign, written in (("&", "&amp;"), ("<", "&lt;"), ("|", "\\|"), ("*", "\\*"), ("[", "\\["), ("`", "\\`")):
        text = text.replace(sign, written)
    return text


def _picture_markdown(picture: Picture) -> str:
    if not picture.name:
        return f"*In the HTML page: {_plain(picture.title)}. {_plain(picture.words)}*"
    words = _plain(picture.words).replace("]", "\\]")
    return f"![{words}]({PICTURES}/{picture.name}.png)\n\n*{_plain(picture.title)}*"


def _section_html(place: str, section: Section) -> str:
    parts = [f'<section aria-labelledby="{place}">\n<h2 id="{place}">{escape(section.title)}</h2>']
    parts += [f"<p>{escape(text)}</p>" for text in section.paragraphs]
    if section.points:
        parts.append("<ul>" + "".join(f"<li>{escape(point)}</li>" for point in section.points) + "</ul>")
    parts += [_table_html(table) for table in section.tables]
    if section.pictures:
        parts.append('<div class="pictures">' + "".join(map(_picture_html, section.pictures)) + "</div>")
    return "\n".join(parts) + "\n</section>\n"


def _table_html(table: Table) -> str:
    head, *body = table.rows
    names = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    rows = "\n".join(
        "<tr>" + "".join(_cell(text, i < table.heads) for i, text in enumerate(row)) + "</tr>" for row in body
    )
    words = escape(table.words)
    return (  # a table wider than the page scrolls alone, also by keyboard
        f'<div class="wide" role="region" tabindex="0" aria-label="{words}"><table><caption>{words}</caption>\n'
        f"<thead><tr>{names}</tr></thead>\n<tbody>{rows}</tbody></table></div>"
    )


def _cell(text: str, is_head: bool) -> str:
    if is_head:
        return f'<th scope="row">{escape(text)}</th>'
    kind = ' class="figure"' if FIGURE.fullmatch(text) else ""  # which is not broken into lines
    figure, bracket, rest = text.partition(" (")
    if kind and bracket:  # an interval stands under its figure
        return f"<td{kind}>{escape(figure)} <small>{escape(bracket.strip() + rest)}</small></td>"
    return f"<td{kind}>{escape(text)}</td>"


def _picture_html(picture: Picture) -> str:
    data = base64.b64encode(picture.png).decode()
    return (
        f'<figure><img alt="{escape(picture.words)}" src="data:image/png;base64,{data}">'
        f"<figcaption>{escape(picture.title)}</figcaption></figure>\n"
    )


STYLE = """
:root { color-scheme: light dark; --text: #1a1a1a; --back: #ffffff; --line: #767676; --head: #eeeeee; --link: #0b57a4 }
@media (prefers-color-scheme: dark) {
  :root { --text: #ececec; --back: #161616; --line: #8f8f8f; --head: #2b2b2b; --link: #9cc8ff }
}
body { color: var(--text); background: var(--back); font: 1rem/1.55 system-ui, sans-serif; margin: 0 }
header, nav, main { max-width: 76rem; margin: 0 auto; padding: 0 1.25rem }
p, ul { max-width: 46rem }
h1 { font-size: 1.8rem; margin: 2rem 0 .5rem } h2 { font-size: 1.3rem; margin: 2.5rem 0 .5rem }
a { color: var(--link) }
nav ul { columns: 16rem; padding-left: 1.2rem }
.skip { position: absolute; left: -99rem } .skip:focus { position: static }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px }
.wide { overflow-x: auto; margin: 1rem 0 }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem }
caption { text-align: left; font-weight: 600; padding: .3rem 0 }
th, td { border: 1px solid var(--line); padding: .3rem .55rem; text-align: left; vertical-align: top }
thead th { background: var(--head) } tbody th { font-weight: 600; white-space: nowrap }
.figure { white-space: nowrap } td small { display: block }
.pictures { display: flex; flex-wrap: wrap; gap: 1.25rem }
figure { margin: 0; max-width: 30rem } figure img { max-width: 100%; height: auto; background: #ffffff }
figcaption { font-size: .92rem }
@media print { nav { display: none } figure, tr { break-inside: avoid } .wide { overflow: visible } }
"""
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<header><a class="skip" href="#report">To the report</a><h1>{title}</h1></header>
<nav aria-label="Parts of this report"><ul>{links}</ul></nav>
<main id="report">
{body}</main>
</body>
</html>
"""
