"""Adding one of each touches at most two source files: a copy of the package gets one more of everything by such edits
and uses them; with a test and a line in the docs that makes the four files which CONTRIBUTING.md promises."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import despoof

SOURCE = Path(despoof.__file__).parent
CONTRIBUTING = Path(__file__).parents[2] / "CONTRIBUTING.md"

# thing -> source file -> (line after which the new lines stand, None for a new file; the lines)
EDITS: dict[str, dict[str, list[tuple[str | None, str]]]] = {
    "dataset": {
        "data/datasets/toy.py": [
            (
                None,
                '"""A toy."""\n'
                "from despoof.data.datasets.declaration import Dataset, unchecked\n"
                "from despoof.data.sample import Label\n"
                'DATASET = Dataset(name="toy", title="Toy", licence="none", ask="nobody", citation="none",\n'
                '    layout="KIND/SUBJECT", patterns=(r"(?P<kind>real|mask)/(?P<subject>\\d\\d)",),\n'
                '    kinds={"real": "none", "mask": "mask-3d"}, counts={(None, Label.LIVE): 1},\n'
                '    facts=(unchecked("all", "made up"),))\n',
            )
        ],
        "data/datasets/__init__.py": [("DATASETS = {", '    "toy": "toy",\n')],
    },
    "technique": {
        "detector/techniques/halved.py": [
            (
                None,
                '"""Half."""\n'
                "from dataclasses import dataclass\n"
                "from despoof.detector.techniques.erm import cross_entropy\n"
                "from despoof.detector.techniques.technique import Technique, Term\n"
                "@dataclass(frozen=True)\n"
                "class HalvedOptions:\n"
                '    """Its weight."""\n'
                "    weight: float = 0.5\n"
                "class Halved(Technique):\n"
                '    """Half of cross-entropy."""\n'
                "    Options = HalvedOptions\n"
                "    def forward(self, output, live, domain, step):\n"
                '        return {"half": Term(cross_entropy(output.logit, live), self.setting.options.weight)}\n',
            )
        ],
        "detector/techniques/__init__.py": [
            (
                "from despoof.detector.techniques.erm import",
                "from despoof.detector.techniques.halved import Halved\n",
            ),
            ("TECHNIQUES: ", '    "halved": Halved,\n'),
        ],
    },
    "backbone": {
        "detector/backbones/small_one.py": [
            (
                None,
                '"""Three convolutions."""\n'
                "from torch import nn\n"
                "from despoof.detector.backbones.backbone import Backbone, Stage\n"
                "def small_one():\n"
                '    """Return it."""\n'
                "    layers = [nn.Conv2d(3, 4, 8, 8), nn.Conv2d(4, 5, 2, 2), nn.Conv2d(5, 6, 2, 2)]\n"
                "    return Backbone(layers, (Stage(1, 8, 4), Stage(2, 16, 5), Stage(3, 32, 6)), 6)\n",
            )
        ],
        "detector/backbones/__init__.py": [
            (
                "from despoof.detector.backbones.resnet import",
                "from despoof.detector.backbones.small_one import small_one\n",
            ),
            ("BACKBONES: ", '    "small_one": small_one,\n'),
        ],
    },
    "kind of generator": {
        "generator/mirror.py": [
            (
                None,
                '"""The face, mirrored."""\n'
                "import torch\n"
                "from despoof.generator.generator import Generator\n"
                "class Mirror(Generator):\n"
                '    """No real counterpart."""\n'
                "    def __init__(self, config):\n"
                "        super().__init__(config)\n"
                "        self.weight = torch.nn.Parameter(torch.ones(1))\n"
                "    def make(self, face, start, salt, lap):\n"
                "        return face.flip(-1) * self.weight\n"
                "    def start_of(self, start_step):\n"
                "        return 0\n",
            )
        ],
        "generator/registry.py": [
            (
                "from despoof.generator.generator import",
                "from despoof.generator.mirror import Mirror\n",
            ),
            ("GENERATORS: ", '    "mirror": Mirror,\n'),
        ],
    },
    "cue form": {
        "cue.py": [("CUE_FORMS: ", '    "squared": lambda face, counterpart: (face - counterpart).square(),\n')],
    },
    "command": {
        "cli/hello.py": [
            (
                None,
                '"""`despoof hello`."""\ndef hello(name: str) -> None:\n    """Greet."""\n    print("hello", name)\n',
            )
        ],
        "cli/app.py": [("COMMANDS: ", '    "hello": "hello:hello",\n')],
    },
}
USE = """
import sys
from dataclasses import replace
from pathlib import Path
import numpy as np
import torch
import despoof.cli
from despoof.data.datasets import load_dataset
from despoof.detector.batches import Gathered
from despoof.detector.config import PRESETS, TechniqueConfig
from despoof.detector.network import load_detector
from despoof.detector.recipe import train_recipe
from despoof.generator.config import TINY
from despoof.generator.registry import build_generator, load_generator, save_generator

torch.set_num_threads(1)
out = Path(sys.argv[1])
assert load_dataset("toy").sample("mask/03").attack_type == "mask-3d"

save_generator(out / "generator.safetensors", build_generator(replace(TINY, kind="mirror")))
generator = load_generator(out / "generator.safetensors")
face = torch.rand(1, 3, 64, 64) * 2 - 1
assert torch.equal(generator.counterpart(face), face.flip(-1))

recipe = PRESETS["tiny"]
network = replace(recipe.network, backbone="small_one", cue_form="squared", attention_strides=(8, 16))
training = replace(recipe.training, technique=TechniqueConfig("halved", {"weight": 0.25}))
recipe = replace(recipe, network=network, training=training)
rng = np.random.default_rng(0)
def gathered(name):
    faces = rng.integers(0, 256, (2, 16, 64, 64, 3), np.uint8)
    live, domain = np.arange(16) % 2 == 0, np.arange(16) // 8
    return Gathered(faces[0], faces[1], live, domain, [f"{name}{i}" for i in range(16)], *rest(live))
def rest(live):
    known = {"species": np.where(live, "none", "print"), "simulated": np.zeros(16, bool), "surroundings": None}
    return [known[field] for field in Gathered._fields[5:]]
train_recipe(recipe, gathered("a"), gathered("b"), out)
detector = load_detector(out / "detector.safetensors")
assert detector.config.cue_form == "squared"
assert '"half"' in next(out.rglob("log.jsonl")).read_text()
sys.argv = ["despoof", "hello", "world"]
despoof.cli.main()
"""


def edited(text: str, after: str, lines: str) -> str:
    """Put lines behind the one line that begins with `after`."""
    found = [i for i, line in enumerate(text.splitlines()) if line.startswith(after)]
    assert len(found) == 1, f"{after!r} begins {len(found)} lines"
    held = text.splitlines(keepends=True)
    return "".join([*held[: found[0] + 1], lines, *held[found[0] + 1 :]])


def test_one_more_of_everything_works(tmp_path: Path) -> None:
    package = tmp_path / "copy/despoof"
    shutil.copytree(SOURCE, package, ignore=shutil.ignore_patterns("__pycache__", "*.safetensors"))
    for files in EDITS.values():
        for name, changes in files.items():
            path = package / name
            for after, lines in changes:
                assert path.exists() == (after is not None), name
                path.write_text(lines if after is None else edited(path.read_text("utf-8"), after, lines), "utf-8")
    done = subprocess.run(
        [sys.executable, "-c", USE, str(tmp_path)], capture_output=True, text=True, timeout=300, check=False,
        env=os.environ | {"PYTHONPATH": str(package.parent)}, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.endswith("hello world\n")


def recipes() -> dict[str, list[str]]:
    """What CONTRIBUTING.md tells to touch: thing -> files."""
    text = CONTRIBUTING.read_text(encoding="utf-8").partition("## Adding")[2]
    found = re.findall(r"^- \*\*an? ([^*]+)\*\*: (.*)$", text, re.M)
    return {thing: re.findall(r"`([\w/.]+\.(?:py|md|toml))`", told) for thing, told in found}


def test_every_thing_is_told_and_takes_four_files_at_most() -> None:
    assert set(recipes()) >= set(EDITS)
    assert all(1 < len(files) <= 4 for files in recipes().values())


@pytest.mark.parametrize("thing", EDITS)
def test_the_page_names_the_files_that_the_copy_needed(thing: str) -> None:
    told = {re.sub(r"X\.(\w+)$", r"*.\1", name) for name in recipes()[thing]}
    for name in EDITS[thing]:
        new = any(after is None for after, _ in EDITS[thing][name])
        assert (f"{Path(name).parent}/*.py" if new else name) in told, name
    root = CONTRIBUTING.parent
    homes = [SOURCE, root]
    for name in told - {each for each in told if "*" in each}:
        assert any((home / name).is_file() for home in homes), name
