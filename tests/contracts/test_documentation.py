"""The documents are true to the program: the command line takes every `despoof` line in them, the site builds without a
warning, Python in it compiles; a line that drifted costs its reader an hour."""

import contextlib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from cyclopts.exceptions import MissingArgumentError

from despoof.cli.app import build_app

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "recipes").glob("*.sh")])
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
UNFINISHED = re.compile(r"\.\.\.|…|\|| and so on")  # a line that says itself that it is not whole


def shell_lines(page: Path) -> list[str]:
    """Return the command lines of a page: of its shell blocks, and of what is indented or in backquotes."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    blocks = [block for kind, block in FENCE.findall(text) if kind in ("sh", "bash", "console", "")]
    if page.suffix == ".sh":
        blocks = [re.sub(r"^.*\$\(|\)$", "", text, flags=re.MULTILINE)]
    found = [line.strip().removeprefix(".venv/bin/") for block in blocks for line in block.splitlines()]
    found += re.findall(r"^ {4}(despoof [^\n]+)", text, re.MULTILINE)
    found += re.findall(r"`(despoof [a-z][^`\n]*)`", FENCE.sub("", text))
    return [line for line in found if line.startswith("despoof ") and not UNFINISHED.search(line)]


LINES = [(page, line) for page in PAGES for line in shell_lines(page)]


def test_there_are_lines_to_check() -> None:
    assert len(LINES) > 30


@pytest.mark.parametrize("line", [pytest.param(line, id=f"{page.name}: {line[:70]}") for page, line in LINES])
def test_the_command_line_takes_what_the_documents_say(line: str) -> None:
    tokens = shlex.split(line, comments=True)[1:]
    with contextlib.suppress(MissingArgumentError):  # a mention, such as `despoof train generator --kind flow`
        command, _, _ = build_app().parse_args(tokens, print_error=False, exit_on_error=False)
        assert command.__module__.startswith("despoof."), f"{line!r} names no command"


def test_a_wrong_line_would_be_noticed() -> None:
    with pytest.raises(Exception, match="nonsense"):
        build_app().parse_args(["check", "a.jpg", "--nonsense", "1"], print_error=False, exit_on_error=False)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_in_the_documents_compiles(page: Path) -> None:
    for kind, block in FENCE.findall(page.read_text(encoding="utf-8")):
        if kind == "python":
            compile(block, str(page), "exec")


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="the extra `docs` is not installed")
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    home = (tmp_path / "site/index.html").read_text(encoding="utf-8")
    assert "First verdict" in home
    assert "despoof.pipeline.load" in (tmp_path / "site/api.html").read_text(encoding="utf-8")
    assert not re.findall(r'<(?:script|link)[^>]+(?:src|href)="https?:', home)  # nothing is fetched from elsewhere
