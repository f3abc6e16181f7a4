"""The documentation site builds strictly, holds every page and fetches nothing; a dead link or a renamed function would
be found by readers only."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("zensical", reason="needs the extra `docs`")
pytest.importorskip("mkdocstrings", reason="needs the extra `docs`")
ROOT = Path(__file__).resolve().parents[2]


def build(folder: Path) -> subprocess.CompletedProcess[str]:
    """Build a copy, so that nothing is written beside the sources."""
    shutil.copytree(ROOT / "docs", folder / "docs", dirs_exist_ok=True)
    shutil.copy(ROOT / "mkdocs.yml", folder)
    if not (folder / "src").exists():
        (folder / "src").symlink_to(ROOT / "src", target_is_directory=True)
    return subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict"],
        cwd=folder, capture_output=True, text=True, timeout=120, check=False, env=os.environ | {"NO_COLOR": "1"},
    )  # fmt: skip


def test_the_site_builds_and_is_whole(tmp_path: Path) -> None:
    done = build(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = {path.relative_to(ROOT / "docs").with_suffix("").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    built = {
        path.relative_to(tmp_path / "site").with_suffix("").as_posix() for path in tmp_path.rglob("site/**/*.html")
    }
    assert pages <= {page.replace("/index", "/README") for page in built}
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert not [page for page in pages if f"{page}.md" not in navigation]
    api = (tmp_path / "site/api.html").read_text(encoding="utf-8")
    assert "Return a guard from a preset" in api  # docstrings are in it
    fetched = re.compile(r"<(?:script|link|img|iframe)[^>]+(?:src|href)=\"?(?:https?:)?//", re.I)
    assert not [path.name for path in tmp_path.rglob("site/**/*.html") if fetched.search(path.read_text("utf-8"))]


@pytest.mark.parametrize("broken", ["[gone](no-such-page.md)", "::: despoof.pipeline.no_such_name"])
def test_a_dead_link_or_name_fails_the_build(tmp_path: Path, broken: str) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "extra.md").write_text(f"# Extra\n\n{broken}\n")
    assert build(tmp_path).returncode != 0
