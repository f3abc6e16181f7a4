"""`despoof info`: what is installed and what the weights are."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any


def info(*, weights: str = "default", engine: str = "auto") -> None:
    """Print versions, the weights' hashes, operating points, configs and licence.

    Args:
        weights: a preset's name, a folder of weights or of an export, or owner/name of the hub.
        engine: as for `despoof check`.
    """
    import json
    import platform
    from importlib.metadata import PackageNotFoundError, version

    from despoof.pair import WEIGHTS
    from despoof.pipeline import load

    for name in ("despoof", "onnxruntime", "numpy", "openvino", "torch", "diffusers"):
        try:
            print(f"{name:12} {version(name)}")
        except PackageNotFoundError:
            print(f"{name:12} not installed")
    print(f"{'python':12} {platform.python_version()}")
    opened = load(weights, engine=engine).engine
    print(f"{'weights':12} {json.dumps(opened.weights)}")
    print(f"{'engine':12} {opened.name}, {opened.precision}")
    for line in _points(opened.facts):
        print(line)
    print(json.dumps(opened.configs() | {"facts": opened.facts}, indent=1))
    for card in sorted(Path(WEIGHTS).glob("*.md")):
        print(f"\n{card.read_text(encoding='utf-8')}")


def _points(facts: dict[str, Any]) -> Iterator[str]:
    """Yield the operating points as text, with what to expect of them."""
    from despoof.evaluation.tables import markdown
    from despoof.points import expected_rows, points_of

    points = points_of(facts)
    cameras = sorted({each.expected["cameras"] for each in points.values() if "cameras" in each.expected})
    yield f"\noperating points (--point)\n{markdown(*expected_rows(points))}"
    if cameras:
        yield (
            f"Expected on a camera never seen, in percent: means over {cameras[-1]} cameras, each judged by members "
            "that never saw it, with 95 % intervals over cameras and people. A face that is not judged is in no rate.\n"
        )
    else:
        yield "What to expect on a camera never seen was not measured for these weights.\n"
