"""The published generator: its sizes, tokens and calls, and folders of its layout read strictly; one silent difference
(a padded side, a skipped name, an activation) would give faces that are not the paper's."""

import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from despoof.errors import ArtefactError
from despoof.generator.autoencoders import POSTERIOR_SALT, build_autoencoder
from despoof.generator.config import GENERATOR_RECIPES, PAPER, GeneratorRecipe
from despoof.generator.diffusion import build_denoiser
from despoof.generator.identity import IResNet, build_identity, condition_tokens
from despoof.generator.registry import LatentDiffusion, build_generator, load_generator, save_generator
from despoof.generator.schedule import build_schedule, content_noise, cut_steps, sample
from despoof.generator.training import train_generator
from despoof.generator.weights import load_published

MINIATURE = replace(
    PAPER,
    face_size=64,
    autoencoder=replace(
        PAPER.autoencoder, stable=replace(PAPER.autoencoder.stable, channels=(4, 4, 8, 8), layers=1, groups=4)
    ),
    identity=replace(PAPER.identity, widths=(4, 4, 8, 16), blocks=(1, 2, 1, 1), embedding=8, pad_to=24),
    network=replace(PAPER.network, channels=(8, 16), layers=1, groups=4, heads=2),
)

UNET = "checkpoint-150000/unet_ema"


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def write_folder(folder: Path, *, pickled: bool = False, below: str = "checkpoint-150000") -> LatentDiffusion:
    """Write random weights in the authors' layout, by diffusers' own writer; return what they belong to."""
    torch.manual_seed(0)
    generator = build_generator(MINIATURE).eval()
    for _, buffer in generator.identity.named_buffers():
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 1.5)  # statistics as if trained
    generator.denoiser.save_pretrained(folder / below / "unet_ema", safe_serialization=not pickled)
    generator.autoencoder.kl.save_pretrained(folder / "vae", safe_serialization=not pickled)
    generator.schedule.save_pretrained(folder / "scheduler")
    torch.save(generator.identity.state_dict(), folder / "backbone.pth")
    return generator


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_folder(tmp_path)
    return tmp_path


def faces(number: int = 2) -> torch.Tensor:
    drawn = torch.rand(number, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    return (drawn * 255).round() / 127.5 - 1


def test_parts_have_the_published_numbers_of_parameters() -> None:
    with torch.device("meta"):
        assert count(build_denoiser(PAPER)) == 859_520_964
        assert count(build_autoencoder(PAPER.autoencoder)) == 83_653_863
        assert count(build_identity(PAPER.identity)) == 24_025_600


def test_denoiser_has_stable_diffusions_attention() -> None:
    with torch.device("meta"):
        network = build_denoiser(PAPER)
    down = [bool(getattr(block, "attentions", None)) for block in network.down_blocks]
    assert down == [True, True, True, False]
    attention = network.down_blocks[0].attentions[0].transformer_blocks[0].attn2
    assert (attention.heads, attention.to_k.in_features) == (8, 768)


def test_no_part_holds_what_a_state_dict_would_not_bring() -> None:
    """Parts are made without memory and then filled; a buffer outside the state dict would stay garbage."""
    with torch.device("meta"):
        generator = build_generator(MINIATURE)
    assert {name for name, _ in generator.named_buffers()} <= set(generator.state_dict())


def test_fifty_steps_from_801_are_forty_one_calls_of_each_scheduler() -> None:
    for scheduler in ("pndm", "ddim"):
        schedule = build_schedule(replace(PAPER.diffusion, scheduler=scheduler))
        assert cut_steps(schedule, 801) == list(range(801, 0, -20))
    pndm = build_schedule(PAPER.diffusion)
    assert cut_steps(pndm, 981)[:4] == [981, 961, 961, 941]  # uncut, the warm-up call is there


def test_pndm_remembers_nothing_between_faces_and_stays_near_the_gaussian() -> None:
    schedule, spread, told = build_schedule(PAPER.diffusion), 0.5, []
    alphas = schedule.alphas_cumprod
    x = torch.linspace(-3, 3, 64).reshape(1, 1, 8, 8)

    def ideal(noisy: torch.Tensor, step: int) -> torch.Tensor:
        told.append(step)
        a = alphas[step]
        return (1 - a).sqrt() / (a * spread**2 + 1 - a) * noisy

    a = alphas[801]
    exact = x * spread / (a * spread**2 + 1 - a).sqrt()
    first, second = sample(schedule, x, 801, ideal), sample(schedule, x, 801, ideal)
    assert torch.equal(first, second)
    assert told == 2 * list(range(801, 0, -20))
    torch.testing.assert_close(first, exact, rtol=0.03, atol=1e-3)


def test_tokens_are_the_map_filled_with_zeros() -> None:
    torch.manual_seed(0)
    encoder = IResNet(replace(MINIATURE.identity, pad_to=24)).eval()
    small = F.interpolate(faces(), (112, 112), mode="bilinear", align_corners=False)
    spatial = encoder.map(small)
    found = encoder(faces())
    assert spatial.shape == (2, 16, 7, 7)
    assert found.tokens.shape == (2, 49, 24)
    # token 9 is row 1, column 2 of the map
    torch.testing.assert_close(found.tokens[:, 9, :16], spatial[:, :, 1, 2])
    assert not found.tokens[..., 16:].any()
    assert torch.equal(condition_tokens(found, "map"), found.tokens)
    torch.testing.assert_close(found.embedding.norm(dim=1), torch.ones(2))


def test_published_tokens_are_49_of_768() -> None:
    with torch.device("meta"):
        found = IResNet(PAPER.identity).eval()(torch.zeros(1, 3, 256, 256))
    assert found.tokens.shape == (1, 49, 768)
    assert found.embedding.shape == (1, 512)


def test_iresnet_has_the_names_of_insightface() -> None:
    with torch.device("meta"):
        names = set(IResNet(PAPER.identity).state_dict())
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    block = {f"{part}.{name}" for part in ("bn1", "bn2", "bn3") for name in norm}
    block |= {"conv1.weight", "conv2.weight", "prelu.weight"}
    first = block | {"downsample.0.weight"} | {f"downsample.1.{name}" for name in norm}
    expected = {"conv1.weight", "prelu.weight", "fc.weight", "fc.bias"}
    expected |= {f"{part}.{name}" for part in ("bn1", "bn2", "features") for name in norm}
    for layer in (1, 2, 3, 4):
        expected |= {f"layer{layer}.0.{name}" for name in first} | {f"layer{layer}.1.{name}" for name in block}
    assert names == expected


@pytest.mark.parametrize("pickled", [False, True])
@pytest.mark.parametrize("below", ["checkpoint-150000", "."])
def test_a_folder_of_the_layout_is_read_as_written(tmp_path: Path, pickled: bool, below: str) -> None:
    written = write_folder(tmp_path, pickled=pickled, below=below)
    read = load_published(tmp_path, face_size=64)
    assert read.config == MINIATURE
    assert read.name == written.name
    assert not any(module.training for module in read.modules())


def test_counterpart_is_the_published_way_step_by_step(folder: Path) -> None:
    from diffusers import AutoencoderKL, PNDMScheduler, UNet2DConditionModel

    face = faces()
    vae = AutoencoderKL.from_pretrained(folder / "vae")
    unet = UNet2DConditionModel.from_pretrained(folder / "checkpoint-150000" / "unet_ema")
    scheduler = PNDMScheduler.from_pretrained(folder / "scheduler")
    read = load_published(folder, face_size=64)
    with torch.no_grad():
        posterior = vae.encode(face).latent_dist
        drawn = torch.stack([content_noise(one, torch.Size((4, 8, 8)), POSTERIOR_SALT) for one in face])
        noise = torch.stack([content_noise(one, torch.Size((4, 8, 8)), 0) for one in face])
        latents = (posterior.mean + posterior.std * drawn) * 0.18215
        scheduler.set_timesteps(50)
        x = scheduler.add_noise(latents, noise, torch.tensor([801, 801]))
        tokens = read.identity(face).tokens
        for step in scheduler.timesteps[scheduler.timesteps <= 801]:
            x = scheduler.step(unet(x, step, encoder_hidden_states=tokens).sample, step, x).prev_sample
        expected = vae.decode(x / 0.18215).sample.clamp(-1, 1)
    torch.testing.assert_close(read.counterpart(face), expected, rtol=1e-4, atol=1e-4)


def test_the_mode_can_be_chosen_and_the_sample_is_repeatable(folder: Path) -> None:
    read = load_published(folder, face_size=64)
    sampled = read.autoencoder.encode(faces())
    assert torch.equal(sampled, read.autoencoder.encode(faces()))
    chosen = load_published(folder, face_size=64, posterior="mode")
    assert chosen.name != read.name
    mode = chosen.autoencoder.encode(faces())
    assert not torch.equal(sampled, mode)
    torch.testing.assert_close(mode, read.autoencoder.kl.encode(faces()).latent_dist.mean * 0.18215)


def test_old_names_of_attention_are_understood(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    path = folder / "vae/diffusion_pytorch_model.safetensors"
    tensors, renamed = load_file(path), {}
    today = {"to_q": "query", "to_k": "key", "to_v": "value"}
    for name, tensor in tensors.items():
        for new, old in today.items():
            name = name.replace(f"attentions.0.{new}.", f"attentions.0.{old}.")
        renamed[name.replace("to_out.0", "proj_attn")] = tensor
    assert renamed.keys() != tensors.keys()
    before = load_published(folder, face_size=64).name
    save_file(renamed, path)
    assert load_published(folder, face_size=64).name == before


def test_its_parts_train_on_from_its_denoiser(folder: Path, tmp_path: Path) -> None:
    drawn = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), np.uint8)
    training = replace(GENERATOR_RECIPES["paper"].training, steps=2, save_every=2, batch=4, accumulation=2)
    files = {"autoencoder": folder / "vae", "identity": folder / "backbone.pth", "start_from": folder / UNET}
    path = train_generator(GeneratorRecipe(MINIATURE, training), drawn, tmp_path / "run", **files)
    trained, start = load_generator(path), load_published(folder, face_size=64)
    assert trained.config == start.config
    pairs = zip(trained.state_dict().items(), start.state_dict().values(), strict=True)
    moved = {name for (name, after), before in pairs if not torch.equal(after, before)}
    assert moved  # a rate of 1e-5 hardly moves it, and the other parts not at all
    assert all(name.startswith("denoiser.") for name in moved)
    gap = [(a - b).abs().max() for a, b in zip(trained.parameters(), start.parameters(), strict=True)]
    assert max(gap) < 1e-4


def test_paper_recipe_is_what_is_known_of_it() -> None:
    paper = GENERATOR_RECIPES["paper"].training
    assert (paper.steps, paper.condition_dropout, PAPER.diffusion.prediction) == (150_000, 0, "epsilon")
    assert paper.batch % paper.accumulation == 0


def test_it_becomes_one_file_of_ours(folder: Path, tmp_path: Path) -> None:
    read = load_published(folder, face_size=64)
    save_generator(tmp_path / "generator.safetensors", read)
    again = load_generator(tmp_path / "generator.safetensors")
    assert again.config == read.config
    assert torch.equal(again.counterpart(faces(1)), read.counterpart(faces(1)))


def remove(name: str):
    def harm(folder: Path) -> None:
        path = folder / name
        path.rename(folder / "elsewhere.x") if path.is_file() else path.rename(folder.parent / f"{folder.name}-gone")

    return harm


def rewrite(name: str, data: bytes):
    return lambda folder: (folder / name).write_bytes(data)


def edit(name: str, **changes: object):
    def harm(folder: Path) -> None:
        path = folder / name
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return harm


def drop_tensor(folder: Path) -> None:
    tensors = torch.load(folder / "backbone.pth", weights_only=True)
    tensors.pop("bn2.running_var")
    torch.save(tensors, folder / "backbone.pth")


def drop_bias(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    path = folder / "vae/diffusion_pytorch_model.safetensors"
    save_file({name: tensor for name, tensor in load_file(path).items() if name != "decoder.conv_out.bias"}, path)


class Intruder:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple:
        return exec, ("raise SystemExit('code ran')",)


def pickled_code(name: str):
    def harm(folder: Path) -> None:
        (folder / name / "diffusion_pytorch_model.safetensors").unlink()
        torch.save({"conv_in.bias": Intruder()}, folder / name / "diffusion_pytorch_model.bin")

    return harm


HARMS = {
    "no unet": (remove(UNET), "unet_ema is missing"),
    "no autoencoder": (remove("vae"), "vae is missing"),
    "no backbone": (remove("backbone.pth"), "backbone.pth is missing"),
    "no config": (remove("vae/config.json"), r"config.json is missing"),
    "no weights": (remove(f"{UNET}/diffusion_pytorch_model.safetensors"), "unet_ema cannot be read"),
    "cut weights": (rewrite("vae/diffusion_pytorch_model.safetensors", b"x" * 50), "vae cannot be read"),
    "code in a pickle": (rewrite("backbone.pth", pickle.dumps(print, protocol=2)), "cannot be read as tensors"),
    "foreign class": (edit("vae/config.json", _class_name="VQModel"), "expected 'AutoencoderKL'"),
    "other activation": (edit(f"{UNET}/config.json", act_fn="relu"), "act_fn = 'relu'; expected 'silu'"),
    "other width": (edit(f"{UNET}/config.json", cross_attention_dim=32), "unet_ema cannot be read"),
    "other latents": (edit("vae/config.json", latent_channels=8), "vae cannot be read"),
    "code in a pickled U-Net": (pickled_code(UNET), "unet_ema cannot be read"),
    "half an autoencoder": (drop_bias, "vae lacks, or has too much of, decoder.conv_out.bias"),
    "other schedule": (edit("scheduler/scheduler_config.json", beta_end=0.02), "beta_end = 0.02; expected 0.012"),
    "half a backbone": (drop_tensor, "bn2.running_var"),
}


@pytest.mark.parametrize("harm", HARMS.values(), ids=HARMS)
def test_a_missing_or_foreign_file_is_named(folder: Path, harm) -> None:
    change, message = harm
    change(folder)
    with pytest.raises(ArtefactError, match=message):
        load_published(folder, face_size=64)


def test_noise_of_both_schedulers_is_one() -> None:
    clean, noise, steps = torch.randn(2, 4, 4, 4), torch.randn(2, 4, 4, 4), torch.tensor([10, 801])
    pndm, ddim = (build_schedule(replace(PAPER.diffusion, scheduler=name)) for name in ("pndm", "ddim"))
    assert torch.equal(pndm.add_noise(clean, noise, steps), ddim.add_noise(clean, noise, steps))
