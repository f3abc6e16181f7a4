"""The page is parsed as a browser would: one script, address, or picture without words breaks its promise."""

import base64
import re
from html.parser import HTMLParser

import pytest

from despoof.data.sample import Label
from despoof.errors import InputError
from despoof.evaluation.scores import ScoreFile, ScoreRow
from despoof.report.content import report_sections
from despoof.report.page import Picture, Section, Table, page_html, page_markdown, write_report

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
VOID = {"meta", "img", "br", "hr"}
EVIL = '<script src="https://x.org/a.js">alert(1)</script> " onload=x & {title}'


class Page(HTMLParser):
    """Elements with their attributes, and whether every one is closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.open: list[str] = []
        self.said: dict[str, list[str]] = {}
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.said.setdefault(self.open[-1], []).append(data)

    def all(self, tag: str) -> list[dict]:
        return [attrs for name, attrs in self.elements if name == tag]


def sections() -> list[Section]:
    table = Table((("model", "rate"), ("a", "1.50 ± 0.20 (1.0–2.0)"), (EVIL, "–")), "rates of both")
    picture = Picture(PNG, "ROC", "area .9", "roc-1")
    return [
        Section("First", ("a paragraph", EVIL), ("a point",), (table,), (picture,)),
        Section("Second & last", pictures=(Picture(PNG, "case", "face, counterpart and cue"),)),
    ]


def assert_accessible_and_alone(text: str) -> Page:
    """Check what every page must hold; also used on the whole report."""
    page = Page(text)
    assert not page.open
    assert page.all("html")[0]["lang"] == "en"
    assert len(page.all("h1")) == len(page.all("main")) == len(page.all("title")) == 1
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in zip(levels, levels[1:], strict=False))
    assert all(picture["alt"].strip() for picture in page.all("img"))
    assert len(page.all("figcaption")) == len(page.all("img"))
    assert len(page.all("caption")) == len(page.all("table"))
    assert {head["scope"] for head in page.all("th")} <= {"row", "col"}
    places = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(set(places)) == len(places)
    assert {link["href"].removeprefix("#") for link in page.all("a")} <= set(places)
    assert {attrs["aria-labelledby"] for _, attrs in page.elements if "aria-labelledby" in attrs} <= set(places)
    # Nothing runs and nothing is fetched.
    assert not {tag for tag, _ in page.elements} & {"script", "link", "iframe", "object", "embed", "base", "form"}
    assert not [name for _, attrs in page.elements for name in attrs if name.startswith("on")]
    sources = [
        value for _, attrs in page.elements for name, value in attrs.items() if name in ("src", "srcset", "data")
    ]
    assert all(value.startswith("data:image/png;base64,") for value in sources)
    (style,) = page.said["style"]
    assert not re.search(r"url\(|@import|https?:", style)
    assert "prefers-color-scheme: dark" in style
    (policy,) = [meta["content"] for meta in page.all("meta") if "http-equiv" in meta]
    assert policy.startswith("default-src 'none'")
    return page


def test_page_is_accessible_and_needs_nothing_from_elsewhere():
    page = assert_accessible_and_alone(page_html("A title", sections()))
    assert page.said["h2"] == ["First", "Second & last"]
    assert [link["href"] for link in page.all("a")] == ["#report", "#part-0", "#part-1"]
    assert page.said["small"] == ["(1.0–2.0)"]


def test_whole_report_of_score_files_is_such_a_page():
    pytest.importorskip("matplotlib", reason="curves need the extra `report`")
    rows = [
        ScoreRow(f"{label}-{i}", f"s{i}", "a", label, species, shift + 0.05 * i)
        for label, species, shift in ((Label.LIVE, "none", 0.4), (Label.ATTACK, "<print>", 0.1))
        for i in range(8)
    ]
    facts = {"protocol": "p", "cell": "to-a", "seed": 0, "split": "test"}
    facts |= {"thresholds": {"source_eer": {"value": 0.5, "origin": "sources"}}}
    files = [ScoreFile(tuple(rows), facts | {"model": name}) for name in ("m<1>", "n&2")]
    page = assert_accessible_and_alone(page_html("t", report_sections(files, rounds=5, sheet=lambda path: PNG)))
    assert "m<1>" in page.said["th"]
    assert len(page.all("img")) == 2 + 2 + 2 + 8  # ROC and DET, a histogram and a reliability each, cases of one


def test_names_are_text_and_never_markup():
    page = Page(page_html(EVIL, sections()))
    assert page.said["title"] == page.said["h1"] == [EVIL]
    assert EVIL in page.said["p"]
    assert EVIL in page.said["th"]


def test_pictures_lie_in_the_page_byte_for_byte():
    first = Page(page_html("t", sections())).all("img")[0]["src"]
    assert base64.b64decode(first.partition(",")[2]) == PNG


def test_text_and_links_keep_their_contrast_in_light_and_dark():
    """WCAG AA asks for 4.5 : 1; computed from the colours in the style."""
    style = Page(page_html("t", [])).said["style"][0]
    light, dark = (dict(re.findall(r"--(\w+): (#\w{6})", part)) for part in re.split("@media", style)[:2])
    for colours in (light, dark):
        for back in ("back", "head"):
            assert contrast(colours["text"], colours[back]) >= 4.5
        assert contrast(colours["link"], colours["back"]) >= 4.5
        assert contrast(colours["line"], colours["back"]) >= 3  # borders


def contrast(one: str, other: str) -> float:
    """WCAG 2.2: (L1 + 0.05) / (L2 + 0.05) of relative luminances."""
    lights = sorted(luminance(colour) for colour in (one, other))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_contrast_of_black_on_white_is_twenty_one():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


def test_markdown_says_the_same_and_escapes_what_would_be_read_as_markup():
    text = re.sub(" +", " ", page_markdown("A title", sections()))  # columns are padded
    lines = text.splitlines()
    assert lines[0] == "# A title"
    assert "| a | 1.50 ± 0.20 (1.0–2.0) |" in lines
    assert "<script" not in text
    assert "![area .9](pictures/roc-1.png)" in lines
    assert "pictures/case" not in text  # a picture without a name is no file
    rows = page_markdown("t", [Section("s", tables=(Table((("a|b", "*c*"), ("d", "e")), "w"),))])
    assert "| a\\|b | \\*c\\* |" in re.sub(" +", " ", rows).splitlines()


def test_written_report_has_page_markdown_and_named_pictures(tmp_path):
    assert write_report(tmp_path / "out", "A title", sections()) == tmp_path / "out" / "report.html"
    found = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*"))
    assert found == ["pictures/roc-1.png", "report.html", "report.md"]
    assert (tmp_path / "out" / "pictures" / "roc-1.png").read_bytes() == PNG


def test_rows_of_unequal_length_are_refused():
    with pytest.raises(InputError, match="rates"):
        Table((("a", "b"), ("c",)), "rates")
