"""Code in README and docs works: Python blocks run page by page, the command line takes every `despoof` line, manifests
are read, targets, extras and scripts exist; a guide that drifted costs each reader an hour."""

import re
import shlex
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from cyclopts import CycloptsError, MissingArgumentError
from PIL import Image

from despoof.cli.app import build_app
from despoof.data.manifest import from_csv
from despoof.pair import WEIGHTS

ROOT = Path(__file__).resolve().parents[2]
HISTORY = {"docs/log.md", "CHANGELOG.md"}  # say what was run at the time
PAGES = sorted(
    path
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    if path.relative_to(ROOT).as_posix() not in HISTORY
)
# A comment `<!-- not run: REASON -->` right before a block keeps it from being run.
FENCE = re.compile(
    r"(?:^<!-- not run: (?P<reason>.{10,}) -->\n)?^```(?P<language>\w*)[^\n]*\n(?P<code>.*?)^```$", re.M | re.S
)
COMMAND = re.compile(r"\b(?:-m )?despoof (?=\w|--)([^\n]*)")
PLACEHOLDER = re.compile(r"^(…|\.\.\.)$")


class Block(NamedTuple):
    """A fenced block of a page."""

    line: int
    language: str
    code: str
    reason: str | None


def blocks(path: Path) -> list[Block]:
    text = path.read_text(encoding="utf-8")
    return [Block(text[: m.start("code")].count("\n") + 1, m["language"], m["code"], m["reason"])
            for m in FENCE.finditer(text)]  # fmt: skip


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def lines(code: str) -> Iterator[str]:
    """Shell lines, joined where they go on."""
    yield from code.replace("\\\n", " ").splitlines()


def arguments(line: str) -> list[str] | None:
    """What stands after `despoof` in a shell line, or None; brackets of options and a closing $(…) are taken off."""
    code = re.sub(r"(^|\s)#.*", "", line)
    found = COMMAND.search(code)
    if found is None or re.search(r"(docker|pip|grep)\b", code[: found.start()]):
        return None
    rest = re.split(r" [|&;]+ ?", found[1])[0]
    inside = "$(" in code[: found.start()]
    tokens = shlex.split(re.sub(r"[][]", "", rest.rstrip(") ") if inside else rest))
    return [token for token in tokens if not PLACEHOLDER.match(token)]


def refused(tokens: list[str], *, complete: bool = True) -> str | None:
    """Why the command line would not take these tokens; of an incomplete mention, missing arguments are no fault."""
    try:
        build_app().parse_args(tokens, exit_on_error=False, print_error=False)
    except MissingArgumentError as error:
        return str(error) if complete else None
    except CycloptsError as error:
        return f"{type(error).__name__}: {error}"
    return None


def faults(text: str) -> list[str]:
    found = [(line, arguments(line)) for line in lines(text)]
    return [f"{line.strip()}: {why}" for line, tokens in found if tokens is not None and (why := refused(tokens))]


WITH_PYTHON = [path for path in PAGES if any(block.language == "python" for block in blocks(path))]


@pytest.mark.parametrize("path", WITH_PYTHON, ids=name)
def test_python_blocks_run_in_their_order(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder with a selfie and a generator, as the pages suppose."""
    from skimage.data import astronaut

    Image.fromarray(astronaut()).save(tmp_path / "selfie.jpg")
    shutil.copy(WEIGHTS / "generator-default.safetensors", tmp_path / "generator.safetensors")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    known: dict[str, object] = {"__name__": "page"}
    for block in blocks(path):
        if block.language == "python" and block.reason is None:
            exec(compile("\n" * block.line + block.code, name(path), "exec"), known)


def test_some_pages_have_python() -> None:
    run = [block for path in PAGES for block in blocks(path) if block.language == "python" and block.reason is None]
    assert len(WITH_PYTHON) >= 4
    assert len(run) >= 4


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_shell_blocks_hold_commands_that_are_taken(path: Path) -> None:
    assert not [fault for block in blocks(path) if block.language in ("", "sh") for fault in faults(block.code)]


def test_manifests_are_read(tmp_path: Path) -> None:
    manifests = [block.code for path in PAGES for block in blocks(path) if block.language == "csv"]
    for manifest in manifests:
        (tmp_path / "labels.csv").write_text(manifest, encoding="utf-8")
        assert len(from_csv(tmp_path / "labels.csv")) == len(manifest.splitlines()) - 1
    assert manifests


def test_recipes_hold_commands_that_are_taken() -> None:
    for path in (ROOT / "recipes").glob("*.sh"):
        assert not faults(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_commands_and_options_named_in_the_text_exist(path: Path) -> None:
    text = FENCE.sub("", path.read_text(encoding="utf-8"))
    mentions = [code for code in re.findall(r"`([^`\n]+)`", text) if code.startswith("despoof ")]
    found = [(code, arguments(code.replace("|", " "))) for code in mentions if "|" not in code]
    assert not [f"{code}: {why}" for code, tokens in found if tokens and (why := refused(tokens, complete=False))]


def test_the_check_itself_finds_what_is_wrong() -> None:
    good = "COUNTERPARTS=$(despoof reconstruct store g.safetensors)  # a comment\ndespoof check a.jpg \\\n --out why\n"
    assert arguments(next(lines(good))) == ["reconstruct", "store", "g.safetensors"]
    assert faults(good) == []
    for wrong in ("despoof chekc a.jpg", "despoof check a.jpg --ouut why", "despoof prepare labels.csv",
                  "despoof train detector a b c --steps many", "despoof train nothing a b"):  # fmt: skip
        assert len(faults(wrong)) == 1, wrong


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_targets_extras_and_scripts_exist(path: Path) -> None:
    code = "\n".join(block.code for block in blocks(path)) + "\n".join(
        re.findall(r"`([^`\n]+)`", path.read_text(encoding="utf-8"))
    )
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    extras = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
    assert set(re.findall(r"^make (\w+)", code, re.M)) <= targets
    assert {part for found in re.findall(r"despoof\[([\w,]+)\]", code) for part in found.split(",")} <= extras
    scripts = re.findall(r"\b((?:benchmarks|recipes|examples)/[\w/]+\.(?:py|sh|toml))", code)
    assert not [script for script in scripts if not (ROOT / script).is_file()]
