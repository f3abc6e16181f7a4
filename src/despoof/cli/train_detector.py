"""`despoof train detector`: resumes where it stopped."""

from pathlib import Path
from typing import Literal

Insertion = Literal["attention", "last", "concat", "dual", "cue", "none"]
DetectorPreset = Literal["small", "field", "probe", "texture", "tiny", "paper"]
Start = Literal["imagenet", "random"]
Technique = Literal["erm", "ssdg", "dann", "vrex", "sare", "safas"]


def detector(
    store: Path, counterparts: Path, run: Path, *, insertion: Insertion = "attention",
    preset: DetectorPreset = "texture", backbone: str | None = None, start: Start | None = None,
    start_from: Path | None = None, technique: Technique | None = None, style_mixing: float | None = None,
    members: int = 1, real_members: int = 0, steps: int | None = None, seed: int = 0, threads: int = 2,
    workers: int = 0,
) -> None:  # fmt: skip
    """Train the detector on every domain of a store, selected on subject-disjoint validation.

    Args:
        store: folder made by `despoof prepare`, live and attack, with domains.
        counterparts: folder made by `despoof reconstruct`.
        run: folder for log, state and detector.safetensors with its operating points.
        insertion: where the cue enters.
        preset: shape and training; texture is what ships, small and field are its predecessors, probe is fitted
            without steps, paper is the published one.
        backbone: mobilenet_v2, efficientnet_lite0, efficientnet_lite2, resnet18, vit_b16, clip_b16, dinov2_s14; the
            preset's if left out.
        start: from pretrained weights or random ones.
        start_from: pretrained weights where no wheel carries them: a transformer's folder in Hugging Face's layout,
            or torchvision's resnet18 file.
        technique: of domain generalisation; the preset's if left out.
        style_mixing: chance of MixStyle, 0 to 1; the preset's if left out.
        members: runs that start alike and whose weights are averaged.
        real_members: further such runs, which learn from real captures alone.
        steps: optimisation steps; the preset's if left out.
        seed: of weights, batches and of the validation split.
        threads: of the processor.
        workers: processes that make batches ahead, for an accelerator.
    """
    import torch

    from despoof.evaluation.models import DetectorRecipe, train_shipped
    from despoof.faces.store import Store

    torch.set_num_threads(threads)
    recipe = DetectorRecipe(
        preset, insertion, counterparts, steps, technique=technique, style_mixing=style_mixing, backbone=backbone,
        start=start, start_from=start_from, members=members, real_members=real_members, workers=workers,
    )  # fmt: skip
    print(train_shipped(Store(store), recipe, seed, run))
