"""Sizes and names of files and functions; code grows past reading one small exception at a time."""

import ast
import statistics
from pathlib import Path

import pytest

import despoof

SOURCE = Path(despoof.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))
FORBIDDEN_NAMES = {"utils", "util", "common", "helpers", "helper", "misc", "base", "core", "manager", "tools"}
MAX_LINES = 500
MAX_FILES = 12  # of a folder, its own __init__ not counted: more are not seen at a glance
MANY_FILES = {"cli", "data/datasets"}  # one command, one dataset a file
MIN_MEDIAN = 80  # lines of a file: code shattered into small files costs a tab a thought
MAX_BODY = 40
MAX_POSITIONAL = 5
LONG_BODIES = {"detector/train.py::train": 100}  # the stories that may be longer: "file::function" -> lines
MANY_PARAMETERS = {"evaluation/runner.py::_run"}  # "file::function"; every one of these differs from run to run


def relative(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def functions() -> list[tuple[str, ast.FunctionDef]]:
    found = []
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found.append((f"{relative(path)}::{node.name}", node))
    return found


def body_lines(node: ast.FunctionDef) -> int:
    """Lines from the first statement after the docstring to the last."""
    body = node.body[1:] if ast.get_docstring(node) else node.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_file(path):
    text = path.read_text()
    assert len(text.splitlines()) <= MAX_LINES
    assert not {part.removesuffix(".py") for part in path.relative_to(SOURCE).parts} & FORBIDDEN_NAMES
    if text.strip():
        assert ast.get_docstring(ast.parse(text)), f"{path} says nothing of itself"


def test_folders_are_seen_at_a_glance_and_files_are_worth_opening():
    folders = {path.parent.relative_to(SOURCE).as_posix() for path in FILES}
    counts = {name: len(list((SOURCE / name).glob("[!_]*.py"))) for name in folders}
    assert {name for name, count in counts.items() if count > MAX_FILES} == MANY_FILES
    lengths = [len(path.read_text().splitlines()) for path in FILES if path.name != "__init__.py"]
    assert statistics.median(lengths) >= MIN_MEDIAN


def test_bodies_are_short():
    long = {name: body_lines(node) for name, node in functions() if body_lines(node) > LONG_BODIES.get(name, MAX_BODY)}
    assert not long
    short = [body_lines(node) <= 20 for _, node in functions()]
    assert sum(short) / len(short) >= 0.85


def test_parameters_are_few():
    many = {}
    for name, node in functions():
        given = [a.arg for a in node.args.posonlyargs + node.args.args if a.arg not in ("self", "cls")]
        if len(given) > MAX_POSITIONAL and name not in MANY_PARAMETERS:
            many[name] = given
    assert not many


def test_exceptions_are_still_needed():
    names = {name for name, _ in functions()}
    assert set(LONG_BODIES) | MANY_PARAMETERS <= names


def test_public_functions_and_classes_say_what_they_do():
    silent = []
    for path in FILES:
        for node in ast.parse(path.read_text()).body:
            public = isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
            if public and not ast.get_docstring(node):
                silent.append(f"{relative(path)}::{node.name}")
    assert not silent
