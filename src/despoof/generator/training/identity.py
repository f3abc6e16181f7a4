"""Distil the identity encoder from an ArcFace teacher (ONNX, 112 px ArcFace crops) on real faces."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from despoof.data.image import read_image
from despoof.faces.align import ARCFACE_TEMPLATE, align, as_tensor
from despoof.generator.config import IdentityConfig, IdentityRecipe
from despoof.generator.identity import IDENTITY_SIDE, IdentityEncoder, read_onnx
from despoof.generator.training.autoencoder import mirrored
from despoof.generator.training.latents import StoredFaces, data_hash, mapped_pixels
from despoof.generator.training.trainer import Trainer
from despoof.runs.checkpoint import file_hash, load_artefact, save_artefact
from despoof.runs.config import to_dict
from despoof.runs.folder import alone_in_folder
from despoof.runs.identity import Identity, provenance
from despoof.runs.loop import step_rng
from despoof.runs.processes import global_batch
from despoof.runs.progress import track

CROP = {"template": ARCFACE_TEMPLATE.tolist(), "size": IDENTITY_SIDE}


def teacher_embeddings(faces: StoredFaces, teacher: str | Path, cache: str | Path) -> np.ndarray:
    """Return unit embeddings (N, E) of the faces' source images on the ArcFace template.

    They are kept in `cache` with what they are of: teacher, rows and crop. Others' are made again. `teacher` is an
    ONNX file: RGB, ImageNet mean and deviation, 112 x 112.
    """
    own = Identity("teacher embeddings", CROP, data_hash(faces), {"teacher": file_hash(teacher)})
    if Path(cache).is_file():
        kept = load_artefact(cache, "embeddings")
        if kept.facts["identity"] == own.as_dict():
            return kept.tensors["embeddings"].numpy()
    encode, found = teacher_encoder(teacher), []
    for row in track(faces.rows, "teacher embeddings", len(faces)):
        crop = align(
            read_image(row.sample.file), np.array(row.landmarks), template=ARCFACE_TEMPLATE, size=IDENTITY_SIDE
        )
        found.append(encode(crop[None])[0])
    embeddings = np.stack(found)
    save_artefact(cache, "embeddings", {}, {"embeddings": torch.from_numpy(embeddings)}, facts=provenance(own))
    return embeddings


def teacher_encoder(path: str | Path) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function: crops (N, 112, 112, 3) uint8 RGB -> unit embeddings (N, E) by the ONNX teacher."""
    _, encoder = read_onnx(path, IdentityConfig(pixels="imagenet"))
    return lambda crops: encoder(as_tensor(crops, IDENTITY_SIDE)).embedding.numpy()


@alone_in_folder
def train_identity(recipe: IdentityRecipe, faces: StoredFaces, folder: str | Path, *, teacher: str | Path) -> Path:
    """Train on faces and the teacher's embeddings of their source images; return the weights file's path.

    Loss: 1 - cosine to the teacher's embedding, and the squared error of the batch's cosine matrix, which
    keeps who resembles whom (relational distillation); of a batch in parts, that of each part.
    """
    training = recipe.training
    run = Identity("train identity", to_dict(recipe), data_hash(faces), {"teacher": file_hash(teacher)})
    torch.manual_seed(training.seed)
    network = IdentityEncoder(recipe.generator.identity).to(memory_format=torch.channels_last)
    trainer = Trainer(network, training, folder, run)
    with trainer.processes.main_process_first():
        targets = teacher_embeddings(faces, teacher, Path(folder) / "teacher.safetensors")
        pixels = mapped_pixels(faces, Path(folder) / "pixels", run.label)

    def step(number: int) -> dict[str, float]:
        rng = step_rng(training.seed, number)
        picks = torch.randint(len(pixels), (training.batch,), generator=rng).numpy()
        drawn = _varied(as_tensor(pixels[picks], faces.size), rng)
        wanted = torch.from_numpy(targets[picks])

        def loss(encoder: nn.Module, part: torch.Tensor) -> dict[str, torch.Tensor]:
            with trainer.autocast():
                got = encoder(drawn[part].to(trainer.device, memory_format=torch.channels_last)).embedding
            got, target = (global_batch(trainer.processes, each) for each in (got.float(), wanted[part].to(got.device)))
            cosine = (got * target).sum(1).mean()
            relation = (got @ got.T - target @ target.T).square().mean()
            return {"loss": 1 - cosine + relation, "cosine": cosine}

        return trainer.step(loss)

    path = Path(folder) / "identity.safetensors"
    if trainer.run(step, title="train identity"):
        save_artefact(path, "identity", to_dict(recipe.generator), network.state_dict(), facts=provenance(run))
    return path


def _varied(face: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """Mirror half, and vary gain, contrast, tint and sharpness; none of which changes who it is."""
    count = len(face)
    draw = torch.rand(count, 4, 1, 1, 1, generator=rng)
    face = mirrored(face, rng)
    tint = 1 + 0.2 * (torch.rand(count, 3, 1, 1, generator=rng) - 0.5)
    mean = face.mean((1, 2, 3), keepdim=True)
    face = (face - mean) * (0.6 + 0.8 * draw[:, 0]) + mean + 0.4 * (draw[:, 1] - 0.5)
    soft = nn.functional.avg_pool2d(face, 3, 1, 1, count_include_pad=False)
    weight = draw[:, 2] * (draw[:, 3] < 0.3)
    return ((1 - weight) * face + weight * soft + 1) * tint - 1
