"""What a detector is and how it is trained, and the presets."""

from dataclasses import dataclass, field, replace
from typing import Literal

from despoof.errors import ConfigError


@dataclass(frozen=True)
class DetectorConfig:
    """The network. `insertion` says where the cue enters.

    attention: cross-attention after every stage named; last: after the last of them; concat: three more channels of
    the first convolution; dual: fused late (where statistics are judged, the backbone reads the cue as well); cue: the
    backbone sees the cue in place of the face; none: nowhere.
    """

    backbone: str = "mobilenet_v2"  # a key of backbone.BACKBONES
    face_size: int = 128  # pixels; a multiple of 32
    insertion: Literal["attention", "none", "dual", "last", "concat", "cue"] = "attention"
    cue_form: Literal["standardised", "signed", "absolute"] = "standardised"
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

    def __post_init__(self) -> None:
        if self.face_size < 32 or self.face_size % 32:
            raise ConfigError(f"face_size is {self.face_size}; expected a multiple of 32.")
        if not self.cue_widths or self.attended % self.heads:
            raise ConfigError(
                f"cue_widths is {self.cue_widths} and attention_width {self.attention_width} with {self.heads} heads; "
                "expected a width, the last one if none is named, that the heads divide. Change one of them."
            )

    @property
    def attended(self) -> int:
        """Width of queries, keys and values."""
        return self.attention_width or (self.cue_widths[-1] if self.cue_widths else 0)

    @property
    def encodes_cue(self) -> bool:
        """Whether the cue becomes tokens."""
        return self.insertion in ("attention", "last") or (self.insertion == "dual" and not self.statistics)

    @property
    def attends(self) -> bool:
        """Whether the backbone looks at the cue's tokens."""
        return self.insertion in ("attention", "last")

    @property
    def uses_cue(self) -> bool:
        """Whether this detector takes a cue at all."""
        return self.insertion != "none"


@dataclass(frozen=True)
class Augmentation:
    """Ranges of random change, the same for live and attack; every change hits face and counterpart alike.

    Colour is changed moderately: paler and brighter copies are true of every capture domain seen so far, but
    how much is a property of the camera. Changing it hard (0.4, and saturation by 0.8) made the plain detector
    blind to it, at AUC .64 on a held-out domain where sixty plain statistics reach .81 (docs/log.md).
    """

    flip: float = 0.5  # chance
    scale: float = 0.08  # largest change of size, each way
    shift: float = 0.04  # largest shift, of the side
    turn: float = 5.0  # largest rotation, degrees
    brightness: float = 0.25  # largest absolute log gain
    contrast: float = 0.25  # largest absolute log factor about mid grey
    gamma: float = 0.25  # largest absolute log exponent
    white_balance: float = 0.1  # largest absolute log gain of red and of blue against green
    saturation: float = 0.35  # factor within 1 plus or minus this
    grey: float = 0.05  # chance that all colour is taken away
    degrade: float = 0.3  # chance of each of the four below
    blur: float = 1.2  # largest Gaussian deviation, pixels
    shrink: float = 0.5  # smallest size to which the face is averaged before it is enlarged again
    noise: float = 5.0  # largest deviation, grey levels of 255
    jpeg: int = 40  # lowest quality


@dataclass(frozen=True)
class DetectorTraining:
    """How a detector is trained. Loss weights, margin and reversal schedule are those of AG-FAS."""

    steps: int = 250
    live_per_domain: int = 8  # in each batch, from every source domain
    attack_per_domain: int = 8
    start: Literal["imagenet", "random"] = "imagenet"
    optimiser: Literal["adamw", "sgd", "logistic"] = "adamw"  # logistic: a linear probe, without steps (probe.py)
    learning_rate: float = 3e-4  # of a backbone that starts pretrained
    new_learning_rate: float = 1e-3  # of everything that starts random
    warmup: int = 30  # steps, linear; then cosine to 0
    weight_decay: float = 0.02  # on weight matrices and kernels, not on biases and norms
    gradient_limit: float = 5.0  # largest norm of the whole gradient
    triplet: float = 1.0  # weight of the asymmetric triplet loss
    adversarial: float = 0.5  # weight of the single-side adversarial loss
    margin: float = 0.1
    augmentation: Augmentation = field(default_factory=Augmentation)
    frozen_stages: int = 2  # pretrained stages, from the first, kept as they are: at 2 a CPU step costs 0.7 times
    average: float = 0.97  # decay of the running mean of the weights, which is what is kept
    precision: Literal["float32", "bfloat16"] = "float32"  # on a CPU with AMX bfloat16 was no faster
    selection: Literal["validation", "last"] = "last"  # best AUC on source validation, or the last step
    evaluate_every: int = 125
    checkpoint_every: int = 125
    seed: int = 0
    start_seed: int | None = None  # of the first weights, where runs shall differ in their batches alone
    technique: str = "ssdg"  # a key of techniques.registry.TECHNIQUES
    style_mixing: float = 0.0  # chance of MixStyle after each of the first two stages; 0: none
    risk_variance: float = 1.0  # weight of the variance of the domains' risks (vrex, sare)
    contrast: float = 0.1  # weight of the contrastive loss (safas)
    penalty: float = 0.03  # half of it times the squared weights is added to a linear probe's mean loss
    simulated_share: float = 1.0  # of a simulated domain in a batch, or a probe's loss; a real one has 1

    def __post_init__(self) -> None:
        positive = {
            "steps": self.steps,
            "evaluate_every": self.evaluate_every,
            "checkpoint_every": self.checkpoint_every,
        }
        for name, value in positive.items():
            if value < 1:
                raise ConfigError(f"{name} is {value}; expected at least 1.")
        if not 0 <= self.style_mixing <= 1:
            raise ConfigError(f"style_mixing is {self.style_mixing}; expected a chance, 0 to 1.")
        if not 0 < self.simulated_share <= 1:
            raise ConfigError(
                f"simulated_share is {self.simulated_share}; expected above 0 and at most 1. To do without simulated "
                "domains, prepare none."
            )
        if self.live_per_domain < 1 or self.attack_per_domain < 1:
            raise ConfigError(
                f"a batch takes {self.live_per_domain} live and {self.attack_per_domain} attack samples of "
                "each domain; expected at least 1 of each."
            )
        if self.start == "random" and self.frozen_stages:
            raise ConfigError(
                f'frozen_stages is {self.frozen_stages} with start="random"; expected 0. Random stages must learn.'
            )


SMALL = DetectorConfig()
PAPER = DetectorConfig(  # as released: OA-Net's ViT-B/16 with cross-attention in each of the twelve layers
    backbone="vit_b16",
    face_size=256,
    cue_encoder="resnet18",
    cue_widths=(64, 128, 256, 512),
    attention_strides=(16,),
    attention_width=768,
    heads=12,
    embedding=512,
    dropout=0.0,
)
TINY = DetectorConfig(backbone="tiny_cnn", face_size=64, cue_widths=(4, 8, 8, 16), heads=2, embedding=16)
SMALL_TRAINING = DetectorTraining()
PROBE = DetectorConfig(  # what a frozen ImageNet backbone reads, judged by logistic regression
    backbone="efficientnet_lite0",
    insertion="dual",
    attention_strides=(8, 16),
    embedding=1,
    unit_norm=False,
    dropout=0.0,
    statistics=(2, 4, 8, 16),
    every_layer=True,
)
TEXTURE = replace(  # the same, trained whole
    PROBE, insertion="attention", embedding=128, rectified=True, unit_norm=True, dropout=0.2
)
FIELD_TRAINING = DetectorTraining(  # for cameras never seen: worse pictures of more domains, of which fewer at a time
    live_per_domain=6,
    attack_per_domain=6,
    augmentation=Augmentation(degrade=0.5, blur=2.0, shrink=0.35, noise=8.0, jpeg=25),
)
PROBE_TRAINING = DetectorTraining(optimiser="logistic", technique="erm", penalty=0.1, simulated_share=0.1)
GEOMETRY = Augmentation(  # flip, size, place and turn alone
    brightness=0.0, contrast=0.0, gamma=0.0, white_balance=0.0, saturation=0.0, grey=0.0, degrade=0.0
)
TEXTURE_TRAINING = DetectorTraining(  # blur, noise and paleness are what tells a copy: none is added (docs/log.md)
    steps=300,
    technique="erm",
    learning_rate=1e-4,
    frozen_stages=0,
    simulated_share=0.1,
    augmentation=GEOMETRY,
)
PAPER_TRAINING = DetectorTraining(  # as released, but that biases and norms do not decay
    steps=4000,
    live_per_domain=10,
    attack_per_domain=10,
    optimiser="sgd",
    learning_rate=1e-3,
    new_learning_rate=1e-3,
    warmup=400,
    weight_decay=5e-4,
    gradient_limit=1e9,
    augmentation=Augmentation(0.5, *(0.0,) * 9, degrade=0.0),
    frozen_stages=0,
    average=0.0,
)
TINY_TRAINING = DetectorTraining(
    steps=6,
    average=0.5,
    live_per_domain=2,
    attack_per_domain=2,
    start="random",
    frozen_stages=0,
    warmup=2,
    evaluate_every=3,
    checkpoint_every=3,
)
PRESETS: dict[str, tuple[DetectorConfig, DetectorTraining]] = {
    "small": (SMALL, SMALL_TRAINING),
    "field": (SMALL, FIELD_TRAINING),
    "probe": (PROBE, PROBE_TRAINING),
    "texture": (TEXTURE, TEXTURE_TRAINING),
    "tiny": (TINY, TINY_TRAINING),
    "paper": (PAPER, PAPER_TRAINING),
}
