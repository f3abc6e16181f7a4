"""Seeds depend on what they are keyed by and on nothing else; a repeated one would repeat noise across items."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

import despoof
from despoof.runs.seed import content_noise, content_seed, item_rng


def test_content_seeds_differ_by_content_and_salt_and_fit_in_63_bits():
    seeds = {content_seed(str(i).encode(), salt) for i in range(500) for salt in range(4)}
    assert len(seeds) == 2000
    assert max(seeds) < 2**63
    assert np.mean([seed >> 62 & 1 for seed in seeds]) > 0.4  # the top bit is used


def test_seeds_are_the_same_in_another_process():
    code = "from despoof.runs.seed import *; print(content_seed(b'a', 1), item_rng(0, 'x').integers(2**40))"
    env = {"PYTHONPATH": str(Path(despoof.__file__).parents[1]), "PYTHONHASHSEED": "77"}
    said = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stdout
    assert said.split() == [str(content_seed(b"a", 1)), str(item_rng(0, "x").integers(2**40))]


def test_items_draw_independently():
    first, second = item_rng(0, "a").normal(size=20_000), item_rng(0, "b").normal(size=20_000)
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.03


def test_noise_is_what_torch_draws_from_the_same_seed():
    for number, shape in enumerate([(8, 16, 16), (4, 8, 8), (1, 4, 4)]):
        pixels = np.random.default_rng(number).integers(0, 256, (3, 8, 8)).astype(np.uint8)
        wanted = torch.randn(shape, generator=torch.Generator().manual_seed(content_seed(pixels.tobytes(), 5)))
        found = content_noise(pixels, shape, 5)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, wanted.numpy(), atol=1e-6)
        assert not np.array_equal(found, content_noise(pixels, shape, 6))
