"""Imports point upstream only, over the syntax tree; one import to the right and stages cannot be replaced alone."""

import ast
import re
from pathlib import Path

import pytest

import despoof

SOURCE = Path(despoof.__file__).parent
# From left to right; stages of one rank do not know each other.
RANKS = (
    {"errors"},
    {"runs", "metrics", "points"},
    {"data"},
    {"faces"},
    {"generator", "cue"},
    {"detector"},
    {"pair", "departure"},
    {"engine", "profile", "explanation", "page"},
    {"verdict"},
    {"pipeline"},
    {"clip"},
    {"calibration"},
    {"adaptation"},
    {"evaluation", "service", "web", "batch"},
    {"report"},
    {"published", "qualification"},
    {"studies"},
    {"leaderboard"},
    {"cli"},
)
RANK = {unit: rank for rank, units in enumerate(RANKS) for unit in units}
MUST_NOT_KNOW = {  # stages to the left that a stage does without, so that each can be trained and replaced alone
    "detector": {"generator"},  # it is given a cue and does not know who made the counterpart
    "evaluation": {"generator"},  # counterparts are read from disk; only studies make some
    "report": {"generator", "detector"},
    "published": {"generator", "detector", "pipeline"},
}
FILES = sorted(SOURCE.rglob("*.py"))


def unit(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported(tree: ast.AST, path: Path) -> set[str]:
    """Units of this package that a file imports anywhere, inside functions too."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level:
            package = ["despoof", *path.relative_to(SOURCE).parts[: -node.level]]
            names |= {".".join([*package, node.module or "", alias.name]).replace("..", ".") for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    parts = [name.split(".") for name in names]
    return {part[1] for part in parts if part[0] == "despoof" and len(part) > 1} & set(RANK)


def wrong(importer: str, used: set[str]) -> set[str]:
    allowed = {name for name in RANK if RANK[name] < RANK[importer]} | {importer}
    return used - (allowed - MUST_NOT_KNOW.get(importer, set()))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_point_upstream(path):
    name = unit(path)
    if name in ("__init__", "__main__"):
        return  # the package's front door and its command are right of everything
    assert name in RANK, f"{path} belongs to no stage of the order; add it to RANKS or move it"
    used = imported(ast.parse(path.read_text()), path)
    assert not wrong(name, used), f"{path} imports {wrong(name, used)}, which stands right of {name}"


def test_the_check_itself_finds_a_wrong_import():
    lines = ("from despoof.generator.diffusion import x", "from despoof import pipeline", "import despoof.cue")
    text = "def f():\n    " + "\n    ".join(lines)
    used = imported(ast.parse(text), SOURCE / "detector/x.py")
    assert used == {"generator", "pipeline", "cue"}
    assert wrong("detector", used) == {"generator", "pipeline"}
    assert wrong("cue", {"generator"}) == {"generator"}
    assert imported(ast.parse("from ..generator import x"), SOURCE / "detector/x.py") == {"generator"}


def test_the_way_of_data_lists_the_stages_in_this_order():
    """A page that says another order than the code has would send a contributor the wrong way."""
    page = Path(__file__).parents[2] / "docs/the-way.md"
    rows = re.findall(r"^\| `([\w/.]+)` \|", page.read_text(encoding="utf-8"), re.M)
    listed = [name.removesuffix(".py").rstrip("/") for name in rows]
    assert set(listed) == set(RANK)
    assert [RANK[name] for name in listed] == sorted(RANK[name] for name in listed)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_one_stage_never_takes_the_private_names_of_another(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("despoof"):
            private = [alias.name for alias in node.names if alias.name.startswith("_") and alias.name != "__version__"]
            assert not private, f"{path} imports {private} from {node.module}"
