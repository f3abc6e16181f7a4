"""Counterparts: deterministic by content, right in shape and range, refused on bad input; weights round-trip. Noise
that came from a global state would make every cue unrepeatable, as in the authors' release."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from despoof.errors import ArtefactError, InputError
from despoof.generator.autoencoders import Autoencoder
from despoof.generator.config import BASE, SMALL, TINY
from despoof.generator.diffusion import build_denoiser
from despoof.generator.identity import IdentityEncoder, condition_tokens, condition_width
from despoof.generator.registry import LatentDiffusion, load_generator, save_generator
from despoof.generator.schedule import content_noise
from despoof.runs.checkpoint import save_artefact
from despoof.runs.config import to_dict


@pytest.fixture(scope="module")
def generator() -> LatentDiffusion:
    torch.manual_seed(0)
    return LatentDiffusion(TINY).eval()


@pytest.fixture(scope="module")
def faces() -> torch.Tensor:
    drawn = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    return ((drawn + 1) * 127.5).round() / 127.5 - 1  # as if from 8 bits


def test_counterpart_keeps_shape_and_range(generator: LatentDiffusion, faces: torch.Tensor) -> None:
    made = generator.counterpart(faces)
    assert made.shape == faces.shape
    assert made.abs().max() <= 1


def test_counterpart_depends_on_neither_batch_nor_order_nor_global_seed(
    generator: LatentDiffusion, faces: torch.Tensor
) -> None:
    together = generator.counterpart(faces)
    torch.manual_seed(123)
    alone = torch.cat([generator.counterpart(face[None]) for face in faces])
    backwards = generator.counterpart(faces.flip(0)).flip(0)
    torch.testing.assert_close(alone, together, rtol=0, atol=1e-5)
    torch.testing.assert_close(backwards, together, rtol=0, atol=1e-5)


def test_noise_is_standard_and_changes_with_content_and_salt(faces: torch.Tensor) -> None:
    shape = torch.Size((8, 64, 64))
    noise = content_noise(faces[0], shape, 0)
    assert abs(float(noise.mean())) < 0.03
    assert float(noise.std()) == pytest.approx(1, abs=0.03)
    assert not torch.equal(noise, content_noise(faces[1], shape, 0))
    assert not torch.equal(noise, content_noise(faces[0], shape, 1))


def with_noise(generator: LatentDiffusion, noise: str) -> LatentDiffusion:
    config = replace(generator.config, diffusion=replace(generator.config.diffusion, noise=noise))
    other = LatentDiffusion(config).eval()
    other.load_state_dict(generator.state_dict())
    return other


def test_a_pair_has_one_noise_for_all_faces_and_means_both_signs(
    generator: LatentDiffusion, faces: torch.Tensor
) -> None:
    pair, shape = with_noise(generator, "pair"), torch.Size((4, 8, 8))
    noise = pair.noise(faces, shape)
    assert torch.equal(noise[0], noise[3])
    assert not torch.equal(noise, pair.noise(faces, shape, salt=1))
    assert not torch.equal(*generator.noise(faces[:2], shape))
    latents, identity = pair.autoencoder.encode(faces), pair.identity(faces)
    steps = torch.full((4,), 501)
    both = [generator.denoised(pair.add_noise(latents, each, steps), identity, 501) for each in (noise, -noise)]
    wanted = pair.autoencoder.decode((both[0] + both[1]) / 2).clamp(-1, 1)
    torch.testing.assert_close(pair.counterpart(faces), wanted, rtol=0, atol=1e-5)


def test_of_a_pair_what_is_odd_in_the_noise_cancels(
    generator: LatentDiffusion, faces: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a denoiser that keeps what it is given and adds an even part, two draws make the same counterpart."""
    pair = with_noise(generator, "pair")
    monkeypatch.setattr(pair, "denoised", lambda noised, identity, start: 3 * noised)
    torch.testing.assert_close(pair.counterpart(faces, salt=1), pair.counterpart(faces), rtol=0, atol=1e-4)
    one = with_noise(generator, "content")
    monkeypatch.setattr(one, "denoised", lambda noised, identity, start: 3 * noised)
    assert (one.counterpart(faces, salt=1) - one.counterpart(faces)).abs().mean() > 1e-3


def test_the_choice_of_noise_is_in_the_name_and_those_of_before_it_keep_theirs(generator: LatentDiffusion) -> None:
    assert with_noise(generator, "pair").name != generator.name
    config = to_dict(generator.config)
    assert config["diffusion"].pop("noise") == "content"
    text = json.dumps(config, sort_keys=True).encode()
    digest = hashlib.blake2b(hashlib.blake2b(text, digest_size=6).hexdigest().encode(), digest_size=6)
    for tensor in generator.state_dict().values():
        digest.update(tensor.numpy().tobytes())
    assert generator.name == digest.hexdigest()


def test_base_is_of_forty_million_and_learns_from_a_step() -> None:
    denoiser = build_denoiser(BASE)
    assert 40e6 < sum(each.numel() for each in denoiser.parameters()) < 45e6
    made = denoiser(torch.randn(1, 8, 16, 16), 501, encoder_hidden_states=torch.randn(1, 49, 256)).sample
    assert made.shape == (1, 8, 16, 16)
    made.square().mean().backward()
    assert all(torch.isfinite(each.grad).all() for each in denoiser.parameters())
    last = IdentityEncoder(BASE.identity).map[-1].body[0]
    assert condition_width(BASE.identity, BASE.condition) == last.num_features


def test_later_start_moves_further_from_the_autoencoder(generator: LatentDiffusion, faces: torch.Tensor) -> None:
    latents = generator.autoencoder.encode(faces)
    near, far = (generator.noised(latents, faces, step) - latents for step in (101, 901))
    assert far.square().mean() > near.square().mean()


@pytest.mark.parametrize(
    "bad",
    [
        torch.zeros(3, 64, 64),
        torch.zeros(1, 3, 63, 64),
        torch.full((1, 3, 64, 64), torch.nan),
        torch.full((1, 3, 64, 64), 255.0),
    ],
)
def test_bad_faces_are_refused(generator: LatentDiffusion, bad: torch.Tensor) -> None:
    with pytest.raises(InputError, match=r"face"):
        generator.counterpart(bad)


@pytest.mark.parametrize("bits", [32, 16, 8])
def test_weights_round_trip(generator: LatentDiffusion, faces: torch.Tensor, tmp_path: Path, bits: int) -> None:
    path = tmp_path / "generator.safetensors"
    save_generator(path, generator, bits=bits)
    loaded = load_generator(path)
    assert loaded.config == generator.config
    assert (loaded.name == generator.name) is (bits == 32)
    torch.testing.assert_close(
        loaded.counterpart(faces), generator.counterpart(faces), rtol=0, atol=0.05 if bits < 32 else 0
    )


def test_foreign_and_misshapen_weights_are_refused(generator: LatentDiffusion, tmp_path: Path) -> None:
    save_artefact(tmp_path / "a.safetensors", "detector", {}, {"x": torch.zeros(1)})
    with pytest.raises(ArtefactError, match="kind"):
        load_generator(tmp_path / "a.safetensors")
    config = {"face_size": 64}
    save_artefact(tmp_path / "b.safetensors", "generator", config, generator.state_dict())
    with pytest.raises(ArtefactError, match="do not fit"):
        load_generator(tmp_path / "b.safetensors")


@pytest.mark.parametrize(("condition", "tokens"), [("map", 49), ("embedding", 1), ("none", 1)])
def test_every_condition_builds_and_runs(condition: str, tokens: int, faces: torch.Tensor) -> None:
    generator = LatentDiffusion(replace(TINY, condition=condition)).eval()
    assert condition_tokens(generator.identity(faces), condition).shape[1] == tokens
    assert generator.counterpart(faces[:1]).shape == (1, 3, 64, 64)


def test_identity_embedding_is_unit_and_tokens_are_normalised(faces: torch.Tensor) -> None:
    found = IdentityEncoder(TINY.identity).eval()(faces)
    torch.testing.assert_close(found.embedding.norm(dim=1), torch.ones(4))
    torch.testing.assert_close(found.tokens.mean(-1), torch.zeros(4, 49), rtol=0, atol=1e-5)


def test_small_has_the_sizes_that_docs_state() -> None:
    def millions(module: torch.nn.Module) -> float:
        return round(sum(p.numel() for p in module.parameters()) / 1e6, 1)

    assert millions(Autoencoder(SMALL.autoencoder)) == 2.0
    assert millions(IdentityEncoder(SMALL.identity)) == 1.2
    assert millions(build_denoiser(SMALL)) == 5.6


def test_standardised_latents_have_no_mean_and_unit_deviation(faces: torch.Tensor) -> None:
    model = Autoencoder(TINY.autoencoder)
    model.standardise(model.encoder(faces).detach())
    latents = model.encode(faces)
    torch.testing.assert_close(latents.mean((0, 2, 3)), torch.zeros(4), rtol=0, atol=1e-4)
    torch.testing.assert_close(latents.std((0, 2, 3)), torch.ones(4), rtol=0, atol=1e-3)
