"""What the tests of the page share: the folder of the default weights, and why it may not be had here."""

import json
from pathlib import Path

import pytest

from despoof.errors import ConfigError
from despoof.pair import WEIGHTS
from despoof.web.export import export_web
from despoof.web.runtime import runtime_files


@pytest.fixture(scope="session")
def models() -> Path:
    """Return the ONNX files of the default weights."""
    return WEIGHTS


@pytest.fixture(scope="session")
def site(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that is served; skips where ONNX Runtime Web cannot be had."""
    try:
        runtime_files()
    except ConfigError as error:
        pytest.skip(f"ONNX Runtime Web: {error}")
    return export_web(models, tmp_path_factory.mktemp("web") / "site")


@pytest.fixture(scope="session")
def about(site: Path) -> dict:
    return json.loads((site / "despoof.json").read_text())
