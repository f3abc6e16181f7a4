"""An exported folder with numpy, onnxruntime and Pillow alone: python judge.py FOLDER ALIGNED_FACE

The face must be aligned as despoof.json says (eyes, nose, mouth on `template`). Noise is drawn from the pixels, by
numpy here and by torch in the package, so liveness differs slightly from `despoof check`.
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

folder, picture = Path(sys.argv[1]), sys.argv[2]
about = json.loads((folder / "despoof.json").read_text())
session = onnxruntime.InferenceSession(folder / about["model"], providers=["CPUExecutionProvider"])

side = about["face_size"]
image = Image.open(picture).convert("RGB").resize((side, side), Image.Resampling.BOX)
given = {"face": np.asarray(image)[None]}
if about["noise"]:
    seed = int.from_bytes(hashlib.blake2b(given["face"].tobytes(), digest_size=8).digest(), "little")
    given["noise"] = np.random.default_rng(seed).standard_normal((1, *about["noise"]), np.float32)

liveness = float(session.run(["liveness"], given)[0][0])
limits = about["thresholds"]
decision = "NO_DECISION"  # what NaN falls to
if liveness >= limits["live_from"]:
    decision = "LIVE"
elif liveness >= limits["attack_below"]:
    decision = "UNCERTAIN"
elif liveness >= 0:
    decision = "ATTACK"
print(f"{liveness:.4f} {decision}")
