"""Importing does nothing, nothing unpickles, every registry entry can be called."""

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import despoof

SOURCE = Path(despoof.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))
# Every dict literal from name to function; a test below fails when one is missing here.
REGISTRIES = {
    "despoof.detector.cue_encoder:CUE_ENCODERS",
    "despoof.cue:CUE_FORMS",
    "despoof.detector.backbones:BACKBONES",
    "despoof.engine.runtime:RUNTIMES",
    "despoof.evaluation.baselines:NUMBERS",
}


def in_a_fresh_process(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    env = {"PYTHONPATH": str(SOURCE.parent), "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(folder)}
    return subprocess.run([sys.executable, "-c", code], cwd=folder, env=env, capture_output=True, text=True, check=True)


def test_importing_the_package_does_nothing(tmp_path):
    before = {path: path.stat().st_mtime_ns for path in SOURCE.rglob("*") if path.suffix != ".pyc"}
    heavy = "{'torch', 'numpy', 'cv2', 'diffusers', 'onnxruntime', 'matplotlib'}"
    done = in_a_fresh_process(f"import despoof, sys; assert not {heavy} & set(sys.modules); dir(despoof)", tmp_path)
    assert done.stdout + done.stderr == ""
    assert list(tmp_path.iterdir()) == []
    assert {path: path.stat().st_mtime_ns for path in SOURCE.rglob("*") if path.suffix != ".pyc"} == before


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError):
        _ = despoof.no_such_name


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_no_bare_call_at_module_level(path):
    for node in ast.parse(path.read_text()).body:
        call = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
        registers = path.parent.name == "cli"  # commands are added to the app there
        assert not call or registers or path.name == "__main__.py", f"{path}:{node.lineno} runs at import"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_nothing_unpickles(path):
    text, name = path.read_text(), path.relative_to(SOURCE).as_posix()
    tree = ast.parse(text)
    modules = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    modules |= {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module}
    assert not {m.split(".")[0] for m in modules} & {"yaml", "pickle", "dill", "joblib", "omegaconf", "hydra"}
    assert "globals()[" not in text
    assert not re.search(r"allow_pickle\s*=\s*True", text)
    loads = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and ast.unparse(n.func) == "torch.load"]
    if name != "runs/checkpoint.py" and name != "detector/backbone.py" and not name.startswith("generator/"):
        assert not loads, f"{name} calls torch.load; use runs/checkpoint.py"
    for call in loads:
        assert "weights_only=True" in ast.unparse(call), f"{name}:{call.lineno} could run code from a file"


def dicts_of_functions() -> set[str]:
    """Module-level dict literals in capitals whose values are all plain names of functions of that file."""
    found = set()
    for path in FILES:
        body = ast.parse(path.read_text()).body
        own = {node.name for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
        for node in body:
            value = getattr(node, "value", None)
            if not isinstance(node, ast.Assign | ast.AnnAssign) or not isinstance(value, ast.Dict) or not value.values:
                continue
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if all(isinstance(v, ast.Name) and v.id in own for v in value.values):
                module = ".".join(["despoof", *path.relative_to(SOURCE).with_suffix("").parts])
                found.add(f"{module}:{ast.unparse(target)}")
    return found


def test_every_registry_is_listed_here():
    assert dicts_of_functions() <= REGISTRIES


@pytest.mark.parametrize("where", sorted(REGISTRIES))
def test_every_registry_entry_can_be_called(where):
    module, name = where.split(":")
    registry = getattr(importlib.import_module(module), name)
    assert registry
    for key, value in registry.items():
        assert isinstance(key, str)
        assert callable(value), f"{where}[{key!r}]"
