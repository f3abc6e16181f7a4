"""A folder for the browser: the page, the models of an export, ONNX Runtime Web, and despoof.json of every number.

The page knows no limit, size or threshold of its own, so that it judges as Python does and not as it once did.
"""

import hashlib
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import despoof
from despoof.data.image import MAX_BYTES, MAX_PIXELS, MIN_SIDE
from despoof.detector.config import DetectorConfig
from despoof.engine.by_onnx import DESCRIPTION, EXPLAIN, FACES, JUDGE, read_description
from despoof.errors import ArtefactError, ConfigError
from despoof.explanation import colours
from despoof.faces import detect, quality, scene
from despoof.faces.align import FACE_SIZE, TEMPLATE
from despoof.faces.surroundings import SCALES, SURROUNDINGS_SIZE
from despoof.page import FILES
from despoof.runs.config import from_dict
from despoof.runs.folder import write_json
from despoof.web.runtime import LICENCES, SCRIPT, VERSION, WASM, runtime_files

FORMAT = "despoof-web/1"
PAGE = Path(__file__).parent / "page"


def export_web(models: str | Path, out: str | Path, *, runtime_from: Path | None = None) -> Path:
    """Write `out`, to be served by any server of files, from the folder `models` that `despoof export` wrote.

    ConfigError for a detector that takes a cue: its liveness stands on noise that a browser draws otherwise.
    ArtefactError where `out` exists or a file is not what it should be; then nothing is left behind.
    """
    models, out = Path(models), Path(out)
    if out.exists():
        raise ArtefactError(f"{out} exists. Name a folder that does not, or delete this one.")
    description = read_description(models)
    if from_dict(DetectorConfig, description["detector"], DESCRIPTION).uses_cue:
        raise ConfigError("this detector takes a cue; the page judges by face and surroundings. Use `despoof serve`.")
    runtime = runtime_files(runtime_from)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as name:
        made = Path(name) / "made"
        made.mkdir()
        page = {path.name: path.read_bytes() for path in [*FILES.values(), *PAGE.iterdir()]}
        _write(made, page)
        hashed = {f"models/{name}": (models / name).read_bytes() for name in (JUDGE, FACES)}
        if explains := EXPLAIN in description["files"]:
            hashed[f"models/{EXPLAIN}"] = (models / EXPLAIN).read_bytes()
        hashed |= {f"runtime/{name}": runtime[name] for name in (SCRIPT, WASM)}
        _write(made, hashed | {f"runtime/{name}": runtime[name] for name in LICENCES})
        files = {
            name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in hashed.items()
        }
        write_json(made / DESCRIPTION, about(description, explains=explains) | {"files": files, "page": sorted(page)})
        made.rename(out)
    return out


def _write(folder: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)


def about(description: dict[str, Any], *, explains: bool) -> dict[str, Any]:
    """Return what the page must know to judge as Python does, `files` aside, for the description of an export."""
    return {
        "format": FORMAT,
        "package": despoof.__version__,
        "weights": description["weights"],
        "licence": description["licence"],
        "runtime": {"version": VERSION, "script": f"runtime/{SCRIPT}", "wasm": f"runtime/{WASM}"},
        "picture": {"most_pixels": MAX_PIXELS, "most_bytes": MAX_BYTES, "least_side": MIN_SIDE},
        "scene": scene_numbers(),
        "finder": finder_numbers(),
        "align": {"template": TEMPLATE.tolist(), "size": FACE_SIZE},
        "surroundings": {"scales": SCALES, "size": SURROUNDINGS_SIZE},
        "gate": gate_numbers(),
        "judge": {
            "file": f"models/{JUDGE}",
            "face_size": description["face_size"],
            "surroundings": description["surroundings"],
            "thresholds": {name: description["thresholds"][name] for name in ("attack_below", "live_from")},
        },
        "explain": {"file": f"models/{EXPLAIN}", "noise": description["noise"], "colours": colours().tolist()}
        if explains
        else None,
    }


def scene_numbers() -> dict[str, float]:
    """Return the numbers of `despoof.faces.scene`."""
    return {
        "least_side": MIN_SIDE,
        "flat": scene.FLAT,
        "flat_share": scene.FLAT_SHARE,
        "fringe": scene.FRINGE,
        "fringe_levels": scene.FRINGE_LEVELS,
        "fringe_share": scene.FRINGE_SHARE,
        "sampled": scene.SAMPLED,
        "upright": scene.UPRIGHT,
        "at_once_roll": scene.AT_ONCE_ROLL,
        "at_once_score": scene.AT_ONCE_SCORE,
        "at_once_eyes": scene.AT_ONCE_EYES,
        "alone_from": scene.ALONE_FROM,
        "sure": scene.SURE,
        "like_size": scene.LIKE_SIZE,
    }


def finder_numbers() -> dict[str, Any]:
    """Return the numbers of the search for faces and of its graph."""
    return {
        "file": f"models/{FACES}",
        "search_sides": detect.SEARCH_SIDES,
        "fine_side": detect.FINE_SIDE,
        "close_side": detect.CLOSE_SIDE,
        "close_below": detect.CLOSE_BELOW,
        "close_widths": detect.CLOSE_WIDTHS,
        "least_side": detect.LEAST_SIDE,
        "least_score": detect.MIN_SCORE,
        "most_overlap": detect.OVERLAP,
        "mean": detect.MEAN,
        "variances": [0.1, 0.2],
        "anchors": detect.ANCHORS,
    }


def gate_numbers() -> dict[str, Any]:
    """Return limits, checks and sentences of `despoof.faces.quality`."""
    checks = [
        {"name": name, "measured": measured, "limit": limit, "at_least": name in quality.AT_LEAST, "sentence": sentence}
        for name, measured, limit, sentence in quality.CHECKS
    ]
    return {
        "limits": asdict(quality.QualityLimits()),
        "checks": checks,
        "head": {
            "nose_depth": quality.NOSE_DEPTH,
            "nose_share": quality.NOSE_SHARE,
            "mouth_drop": quality.MOUTH_DROP,
        },
        "clipped": [2, 253],
        "no_face": asdict(quality.gate(None, [], None)[0]),
        "several": {"name": "several_faces", "sentence": "faces are in the picture. Take it with one person alone."},
    }
