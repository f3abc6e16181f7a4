"""`despoof info`: what is installed and what the weights are."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from despoof.detector.network import Detector


def info(*, weights: str = "default") -> None:
    """Print versions, the weights' hashes, operating points, configs and licence.

    Args:
        weights: a preset's name, or a folder with generator.safetensors and detector.safetensors.
    """
    import json
    import platform
    from importlib.metadata import version

    from despoof.pair import WEIGHTS
    from despoof.pipeline import load
    from despoof.runs.config import to_dict

    for name in ("despoof", "torch", "diffusers", "onnxruntime", "numpy"):
        print(f"{name:12} {version(name)}")
    print(f"{'python':12} {platform.python_version()}")
    guard = load(weights)
    print(f"{'weights':12} {json.dumps(guard.weights)}")
    for line in _points(guard.detector):
        print(line)
    print(json.dumps({"detector": to_dict(guard.detector.config), "facts": guard.detector.facts}, indent=1))
    if guard.generator is not None:
        print(json.dumps({"generator": to_dict(guard.generator.config)}, indent=1))
    for card in sorted(Path(WEIGHTS).glob("*.md")):
        print(f"\n{card.read_text(encoding='utf-8')}")


def _points(detector: "Detector") -> Iterator[str]:
    """Yield the operating points as text, with what to expect of them."""
    from despoof.evaluation.tables import markdown
    from despoof.points import expected_rows, points_of

    points = points_of(detector)
    cameras = sorted({each.expected["cameras"] for each in points.values() if "cameras" in each.expected})
    yield f"\noperating points (--point)\n{markdown(*expected_rows(points))}"
    if cameras:
        yield (
            f"Expected on a camera never seen, in percent: means over {cameras[-1]} cameras, each judged by members "
            "that never saw it, with 95 % intervals over cameras and people. A face that is not judged is in no rate.\n"
        )
    else:
        yield "What to expect on a camera never seen was not measured for these weights.\n"
