"""`despoof info`: what is installed and what the weights are."""

from pathlib import Path


def info(*, weights: str = "default") -> None:
    """Print versions, the weights' hashes, configs, operating points and licence."""
    import json
    import platform
    from importlib.metadata import version

    from despoof.pipeline import WEIGHTS, load
    from despoof.runs.config import to_dict

    for name in ("despoof", "torch", "diffusers", "onnxruntime", "numpy"):
        print(f"{name:12} {version(name)}")
    print(f"{'python':12} {platform.python_version()}")
    guard = load(weights)
    print(f"{'weights':12} {json.dumps(guard.weights)}")
    print(json.dumps({"detector": to_dict(guard.detector.config), "facts": guard.detector.facts}, indent=1))
    if guard.generator is not None:
        print(json.dumps({"generator": to_dict(guard.generator.config)}, indent=1))
    for card in sorted(Path(WEIGHTS).glob("*.md")):
        print(f"\n{card.read_text(encoding='utf-8')}")
