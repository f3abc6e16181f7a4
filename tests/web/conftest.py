"""What the tests of the page share: the folder of the default weights, and why it may not be had here."""

from pathlib import Path

import pytest

from despoof.engine.by_onnx import folder_of
from despoof.errors import ConfigError
from despoof.web.export import export_web
from despoof.web.runtime import runtime_files


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that is served; skips where ONNX Runtime Web cannot be had."""
    try:
        runtime_files()
    except ConfigError as error:
        pytest.skip(f"ONNX Runtime Web: {error}")
    return export_web(folder_of("default"), tmp_path_factory.mktemp("web") / "site")
