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
    if name != "runs/checkpoint.py" and name != "generator/weights.py":  # files of others
        assert not loads, f"{name} calls torch.load; use runs/checkpoint.py"
    for call in loads:
        assert "weights_only=True" in ast.unparse(call), f"{name}:{call.lineno} could run code from a file"


def registries() -> list[tuple[str, str]]:
    """Module and name of every module-level dict in capitals whose values are all names of functions or classes."""
    found = []
    for path in FILES:
        tree = ast.parse(path.read_text())
        known = {alias.asname or alias.name for n in tree.body if isinstance(n, ast.ImportFrom) for alias in n.names}
        known |= {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
        for node in tree.body:
            value = getattr(node, "value", None)
            if not isinstance(node, ast.Assign | ast.AnnAssign) or not isinstance(value, ast.Dict) or not value.values:
                continue
            target = ast.unparse(node.targets[0] if isinstance(node, ast.Assign) else node.target)
            callables = {name for name in known if not name.isupper()}
            if target.isupper() and all(isinstance(v, ast.Name) and v.id in callables for v in value.values):
                parts = path.relative_to(SOURCE).with_suffix("").parts
                module = ".".join(["despoof", *(part for part in parts if part != "__init__")])
                found.append((module, target))
    return found


def test_the_search_finds_the_registries_that_documents_name():
    names = {name for _, name in registries()}
    assert names >= {"GENERATORS", "TECHNIQUES", "CUE_FORMS", "CUE_ENCODERS", "RUNTIMES"}


@pytest.mark.parametrize(("module", "name"), registries())
def test_every_registry_entry_can_be_called(module, name):
    registry = getattr(importlib.import_module(module), name)
    for key, value in registry.items():
        assert isinstance(key, str)
        assert callable(value), f"{module}.{name}[{key!r}]"
