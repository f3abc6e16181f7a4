"""An exported folder with numpy, onnxruntime and Pillow alone: python judge.py FOLDER ALIGNED_FACE [NEAR FAR]

The face is aligned as despoof.json says (eyes, nose, mouth on `template`), near and far are cut around its box, so many
boxes wide as `scales` says. Noise is another draw than the package's, so where it matters liveness differs slightly.
"""

import hashlib
import json
import os
import sys
from pathlib import Path

import numpy as np
from PIL import Image

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before the import, from which on it would call its maker
import onnxruntime  # noqa: E402

folder, *pictures = map(Path, sys.argv[1:])
about = json.loads((folder / "despoof.json").read_text())


def run(name: str, output: str, given: dict[str, np.ndarray]) -> np.ndarray:
    session = onnxruntime.InferenceSession(folder / name, providers=["CPUExecutionProvider"])
    return session.run([output], given)[0]


def pixels(picture: Path, side: int) -> np.ndarray:
    return np.asarray(Image.open(picture).convert("RGB").resize((side, side), Image.Resampling.BOX))


given = {"face": pixels(pictures[0], about["face_size"])[None]}
if about["surroundings"]:
    given["surroundings"] = np.stack([pixels(each, about["surroundings"][1]) for each in pictures[1:3]])[None]
if about["detector"]["insertion"] != "none":  # it judges by the cue too
    seed = int.from_bytes(hashlib.blake2b(given["face"].tobytes(), digest_size=8).digest(), "little")
    noise = np.random.default_rng(seed).standard_normal((1, *about["noise"]), np.float32)
    given["cue"] = run("explain.onnx", "cue", {"face": given["face"], "noise": noise})

liveness = float(run("judge.onnx", "liveness", given)[0])
limits = about["thresholds"]
decision = "ATTACK" if liveness >= 0 else "NO_DECISION"  # what NaN falls to
if liveness >= limits["attack_below"]:
    decision = "LIVE" if liveness >= limits["live_from"] else "UNCERTAIN"
print(f"{liveness:.4f} {decision}")
