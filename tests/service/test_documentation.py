"""docs/service.md names every way, refusal and limit of the code with its default; a table that drifted misleads."""

import ast
import dataclasses
import re
from pathlib import Path

import despoof
from despoof.service.config import ServiceConfig

ROOT = Path(__file__).parents[2]
SOURCE = Path(despoof.__file__).parent / "service"
TEXT = (ROOT / "docs/service.md").read_text(encoding="utf-8")


def refusal_names() -> set[str]:
    """Second arguments of every RefusedError in the code, and the names the routes give to 404 and 405."""
    found = {"not_found", "wrong_method", "not_an_image", "too_many_pixels"}
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "RefusedError" and len(node.args) > 1:
                found |= {node.args[1].value} if isinstance(node.args[1], ast.Constant) else set()
    return found


def test_every_refusal_is_in_the_table() -> None:
    table = TEXT[TEXT.index("| status |") : TEXT.index("In a batch,")]
    assert set(re.findall(r"`(\w+)`", table)) - {"error", "per_caller"} == refusal_names()


def test_every_limit_is_in_the_table_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", TEXT, re.MULTILINE))
    units = {"MiB": 2**20}
    for field in dataclasses.fields(ServiceConfig):
        number, _, unit = rows[field.name].strip().replace(",", "").partition(" ")
        said = {"true": True}.get(number) or float(number) * units.get(unit, 1)
        assert said == field.default, field.name


def test_every_address_is_in_the_table() -> None:
    from despoof.service.app import build_app

    app = build_app(lambda: None)
    written = set(re.findall(r"^\| `((?:GET|POST) /\S+)` \|", TEXT, re.MULTILINE)) - {"GET /openapi.json"}
    paths = app.openapi()["paths"]
    assert written == {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}


def test_the_container_has_the_extras_that_the_service_uses() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert set(re.search(r'"/src\[([\w,]+)\]"', dockerfile)[1].split(",")) == {"serve", "video", "heif"}


def test_the_container_runs_without_root_and_holds_only_the_package() -> None:
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    last_stage = lines[max(i for i, line in enumerate(lines) if line.startswith("FROM")) :]
    user = next(line.split()[1] for line in last_stage if line.startswith("USER"))
    assert user.split(":")[0] not in ("root", "0")
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert "*" in ignored
    copied = [word for line in lines if line.startswith("COPY") and "--from" not in line for word in line.split()[1:-1]]
    assert copied
    assert {f"!{name}" for name in copied} <= set(ignored)
