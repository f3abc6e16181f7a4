"""Distil the identity encoder from an ArcFace teacher (ONNX, 112 px ArcFace crops) on real faces."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from despoof.data.image import read_image
from despoof.errors import ArtefactError
from despoof.faces.align import ARCFACE_TEMPLATE, align
from despoof.faces.store import StoredSample
from despoof.generator.config import GeneratorConfig
from despoof.generator.identity import IMAGENET_MEAN, IMAGENET_STD, IdentityEncoder, open_onnx
from despoof.generator.training.autoencoder import as_batch, mirrored
from despoof.runs.checkpoint import save_artefact
from despoof.runs.config import to_dict
from despoof.runs.folder import atomic_path
from despoof.runs.identity import Identity as RunIdentity
from despoof.runs.loop import LoopConfig, run_loop, step_rng, warm_cosine
from despoof.runs.progress import track


@dataclass(frozen=True)
class IdentityTraining:
    """Optimisation of the identity encoder."""

    loop: LoopConfig = LoopConfig(steps=4000)
    batch: int = 64
    rate: float = 2e-3
    seed: int = 0


def teacher_embeddings(rows: list[StoredSample], teacher: str | Path, cache: str | Path) -> np.ndarray:
    """Return unit embeddings (N, E) of the rows' source images on the ArcFace template; kept in `cache`.

    `teacher` is an ONNX file: RGB, ImageNet mean and deviation, 112 x 112.
    """
    cache = Path(cache)
    if cache.is_file():
        kept = np.load(cache, allow_pickle=False)
        if len(kept) == len(rows):
            return kept
    encode = teacher_encoder(teacher)
    found = []
    for row in track(rows, "teacher embeddings", len(rows)):
        crop = align(read_image(row.sample.file), np.array(row.landmarks), template=ARCFACE_TEMPLATE, size=112)
        found.append(encode(crop[None])[0])
    with atomic_path(cache) as temporary, temporary.open("wb") as file:
        np.save(file, np.stack(found))
    return np.stack(found)


def teacher_encoder(path: str | Path):  # type: ignore[no-untyped-def]
    """Return a function: crops (N, 112, 112, 3) uint8 RGB -> unit embeddings (N, E) by the ONNX teacher."""
    if not Path(path).is_file():
        raise ArtefactError(f"identity teacher {path} is missing; expected an ArcFace ONNX file. Give its path.")
    session = open_onnx(Path(path).read_bytes(), path)
    name = session.get_inputs()[0].name
    mean, deviation = np.float32(IMAGENET_MEAN), np.float32(IMAGENET_STD)

    def encode(crops: np.ndarray) -> np.ndarray:
        x = (crops.astype(np.float32) / 255 - mean) / deviation
        out = np.concatenate([session.run(None, {name: one[None].transpose(0, 3, 1, 2)})[0] for one in x])
        return out / np.linalg.norm(out, axis=1, keepdims=True)

    return encode


def train_identity(
    config: GeneratorConfig,
    training: IdentityTraining,
    faces: np.ndarray,
    targets: np.ndarray,
    folder: str | Path,
) -> Path:
    """Train on faces (N, S, S, 3) uint8 and the teacher's unit embeddings (N, E); return the artefact's path.

    Loss: 1 - cosine to the teacher's embedding, and the squared error of the batch's cosine matrix, which
    keeps who resembles whom (relational distillation).
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(training.seed)
    model = IdentityEncoder(config.identity).to(device, memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(model.parameters(), lr=training.rate, weight_decay=5e-2)
    schedule = warm_cosine(optimiser, 100, training.loop.steps)

    def step(number: int) -> dict[str, float]:
        generator = step_rng(training.seed, number)
        picks = torch.randint(len(faces), (training.batch,), generator=generator).numpy()
        face = _varied(as_batch(faces[picks]), generator).to(device, memory_format=torch.channels_last)
        target = torch.from_numpy(targets[picks]).to(device)
        with torch.autocast(device.type, torch.bfloat16):
            got = model(face).embedding
        got = got.float()
        cosine = (got * target).sum(1).mean()
        relation = (got @ got.T - target @ target.T).square().mean()
        loss = 1 - cosine + relation
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        return {"loss": loss.item(), "cosine": cosine.item()}

    parts = {"model": model, "optimiser": optimiser, "schedule": schedule}
    run_loop(
        folder,
        parts,
        step,
        training.loop,
        title="train identity",
        identity=RunIdentity("train identity", {"training": to_dict(training)}),
    )
    path = Path(folder) / "identity.safetensors"
    save_artefact(path, "identity", to_dict(config), model.state_dict())
    return path


def _varied(face: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Mirror half, and vary gain, contrast, tint and sharpness; none of which changes who it is."""
    count = len(face)
    draw = torch.rand(count, 5, 1, 1, 1, generator=generator)
    face = mirrored(face, generator)
    tint = 1 + 0.2 * (torch.rand(count, 3, 1, 1, generator=generator) - 0.5)
    mean = face.mean((1, 2, 3), keepdim=True)
    face = (face - mean) * (0.6 + 0.8 * draw[:, 0]) + mean + 0.4 * (draw[:, 1] - 0.5)
    soft = torch.nn.functional.avg_pool2d(face, 3, 1, 1, count_include_pad=False)
    weight = draw[:, 2] * (draw[:, 3] < 0.3)
    return ((1 - weight) * face + weight * soft + 1) * tint - 1
