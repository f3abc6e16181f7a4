"""The detector: face, cue, surroundings -> liveness logit and embedding; and its file."""

from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from despoof.detector.backbones import BACKBONES
from despoof.detector.backbones.backbone import Stage, layer_statistics, stage_outputs
from despoof.detector.backbones.cue_encoder import CUE_ENCODERS
from despoof.detector.branches import BRANCHES, FACE, statistics_count
from despoof.detector.config import DetectorConfig
from despoof.errors import ConfigError, InputError
from despoof.faces.surroundings import SCALES, SURROUNDINGS_SIZE
from despoof.points import thresholds_of
from despoof.runs.checkpoint import load_artefact, load_strict, save_artefact
from despoof.runs.config import from_dict, to_dict

KIND = "detector"


class DetectorOutput(NamedTuple):
    """`logit` (N,), higher is more live; `embedding` (N, E), what the triplet and domain losses see."""

    logit: torch.Tensor
    embedding: torch.Tensor


class CueAttention(nn.Module):
    """Cross-attention from a feature map or tokens to cue tokens, added to them; starts as the identity.

    With h the positions, c the cue tokens, LN before the queries only (AG-FAS release):
    h' = h + W_o softmax(W_q LN(h) (W_k c)^T / sqrt(d)) W_v c + b_o, and W_o = 0, b_o = 0 at the start.
    """

    def __init__(self, channels: int, tokens: int, heads: int, width: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(channels)
        self.query = nn.Linear(channels, width)
        self.key = nn.Linear(tokens, width)
        self.value = nn.Linear(tokens, width)
        self.out = nn.Linear(width, channels)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, features: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """Return features (N, C, H, W) or (N, P, C) of the same shape, from such and tokens (N, T, D)."""
        q, k, v = self._queries(features), self.key(tokens), self.value(tokens)
        seen = F.scaled_dot_product_attention(*(self._split(part) for part in (q, k, v)))
        change = self.out(seen.transpose(1, 2).flatten(2))  # (N, P, C)
        if features.ndim == 4:
            change = change.transpose(1, 2).reshape(features.shape)
        return features + change

    def weights(self, features: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """Return how much each token is looked at (N, T), mean over heads and positions; sums to 1."""
        q, k = self._split(self._queries(features)), self._split(self.key(tokens))
        return (q @ k.transpose(2, 3) / q.shape[-1] ** 0.5).softmax(-1).mean((1, 2))

    def _queries(self, features: torch.Tensor) -> torch.Tensor:
        positions = features.flatten(2).transpose(1, 2) if features.ndim == 4 else features
        return self.query(self.norm(positions))

    def _split(self, tokens: torch.Tensor) -> torch.Tensor:
        return tokens.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (N, heads, T, width / heads)


class Nearness(nn.Module):
    """How near numbers (N, K) are to centres that were learned from: exp(-d^2), (N, M).

    The distance is taken between E principal components of the scaled numbers. What lies beside these is nearly at
    right angles between any two samples, so its length is kept alone and d^2 = |p - c|^2 + r_p + r_c: numbers unlike
    all that was learned are near to nothing, wherever their projection falls.
    """

    def __init__(self, judged: int, components: int, centres: int) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(judged))
        self.register_buffer("middle", torch.zeros(judged))  # of scaled numbers
        self.register_buffer("centres", torch.zeros(centres, components))
        self.register_buffer("beside", torch.zeros(centres))  # r of each centre

    def centred(self, numbers: torch.Tensor) -> torch.Tensor:
        """Return numbers (N, K) scaled and less their middle."""
        return numbers * self.scale - self.middle

    def forward(self, centred: torch.Tensor, components: torch.Tensor) -> torch.Tensor:
        """Return (N, M) of centred numbers (N, K) and their components (N, E)."""
        squares = squared_distances(components, self.centres)
        return torch.exp(-(squares + beside(centred, components)[:, None] + self.beside))


def squared_distances(points: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
    """Return (N, M) of points (N, E) and centres (M, E)."""
    squares = points.square().sum(1, keepdim=True) + centres.square().sum(1) - 2 * points @ centres.T
    return squares.clamp(min=0)


def beside(centred: torch.Tensor, components: torch.Tensor) -> torch.Tensor:
    """Return the squared length (N,) of what numbers (N, K) have beside their components (N, E)."""
    return (centred.square().sum(1) - components.square().sum(1)).clamp(min=0)


class Judge(nn.Module):
    """A kernel over some of the numbers, beside others in a detector."""

    def __init__(self, places: list[int], config: DetectorConfig) -> None:
        super().__init__()
        self.register_buffer("places", torch.tensor(places), persistent=False)
        self.embed = nn.Linear(len(places), config.embedding)
        self.nearness = Nearness(len(places), config.embedding, config.kernel)
        self.classify = nn.Linear(config.kernel, 1)

    def forward(self, standard: torch.Tensor) -> DetectorOutput:
        """Return logit (N,) and components (N, E) of standardised numbers (N, K), of which it takes its own."""
        centred = self.nearness.centred(standard[:, self.places])
        components = self.embed(centred)
        return DetectorOutput(self.classify(self.nearness(centred, components)).squeeze(1), components)


class Detector(nn.Module):
    """Backbone, branches, embedding, classifier, and the cue's way in. `facts` travel with the weights file.

    Where statistics are judged, numbers stand in `blocks`: the face's, the cue's where it is fused late, each branch's.

    The parts of the plain detector are made first, so that one seed gives every insertion the same start.
    """

    def __init__(self, config: DetectorConfig, facts: dict | None = None) -> None:
        super().__init__()
        if config.backbone not in BACKBONES:
            raise ConfigError(f"backbone {config.backbone!r} is unknown; expected one of {', '.join(BACKBONES)}.")
        self.config = config
        self.facts = dict(facts or {})
        self.backbone = BACKBONES[config.backbone]()
        if config.insertion == "concat":
            self.backbone.widen(6)
        judged = self.backbone.out_channels
        if config.statistics:
            self.blocks = self._blocks()
            judged = max(block.stop for block in self.blocks.values())
            self.standardise = nn.BatchNorm1d(judged, affine=False)
        self.dropout = nn.Dropout(config.dropout)
        if config.judges:
            self.judges = nn.ModuleList(Judge(self._places(name), config) for name in config.judges)
        else:
            self.embed = nn.Linear(judged, config.embedding)
            if config.kernel:
                self.nearness = Nearness(judged, config.embedding, config.kernel)
            self.classify = nn.Linear(config.kernel or config.embedding, 1)
        width = config.cue_widths[-1]
        if config.encodes_cue:
            if config.cue_encoder not in CUE_ENCODERS:
                raise ConfigError(
                    f"cue_encoder {config.cue_encoder!r} is unknown; expected one of {', '.join(CUE_ENCODERS)}."
                )
            self.cue_encoder = CUE_ENCODERS[config.cue_encoder](config.cue_widths)
        if config.attends:
            self.attention = nn.ModuleDict(self._attention_blocks(width))
        if config.insertion == "dual" and config.encodes_cue:
            # A linear layer on [embedding ; cue] is the sum of one on each; this one starts at zero.
            self.classify_cue = nn.Linear(width, 1, bias=False)
            nn.init.zeros_(self.classify_cue.weight)

    @property
    def temperature(self) -> float:
        """What logits, less the offset, are divided by before they become probabilities; 1 until calibrated."""
        return float(self.facts.get("temperature", 1.0))

    @property
    def offset(self) -> float:
        """The logit of liveness one half; 0 until calibrated."""
        return float(self.facts.get("offset", 0.0))

    @property
    def thresholds(self) -> tuple[float, float]:
        """Return (attack below, live from), the two limits of liveness between which nothing is decided."""
        return thresholds_of(self.facts)

    def forward(
        self, face: torch.Tensor, cue: torch.Tensor | None = None, surroundings: torch.Tensor | None = None
    ) -> DetectorOutput:
        """Return logit and embedding of faces (N, 3, S, S).

        Without a cue, the way in is skipped and the plain detector answers; without surroundings (N, 2, 3, R, R), near
        and far, the mean numbers stand for those of the branches.
        """
        self._check(face, cue, surroundings)
        if self.config.statistics:
            return self.answer(self._numbers(face, cue, surroundings))
        tokens = self._tokens(cue)
        logit, embedding = self._head(self._pooled(self._entering(face, cue), tokens))
        if tokens is not None and not self.config.attends:
            logit = logit + self.classify_cue(tokens.mean(1)).squeeze(1)
        return DetectorOutput(logit, embedding)

    def answer(self, numbers: torch.Tensor) -> DetectorOutput:
        """Return logit and embedding of what `statistics` gave (N, K)."""
        return self._head(self.standard(numbers))

    def standard(self, numbers: torch.Tensor) -> torch.Tensor:
        """Return numbers (N, K) of `statistics` less their mean, over their deviation, within the clamp."""
        standard = self.standardise(numbers)
        return standard if self.config.clamp is None else standard.clamp(-self.config.clamp, self.config.clamp)

    def _head(self, judged: torch.Tensor) -> DetectorOutput:
        if self.config.judges:
            answers = [judge(judged) for judge in self.judges]
            least = torch.stack([answer.logit for answer in answers]).amin(0)
            return DetectorOutput(least, answers[0].embedding)
        if self.config.kernel:
            judged = self.nearness.centred(judged)
        projected = self.embed(self.dropout(judged))
        if self.config.rectified:
            projected = F.relu(projected)
        hidden = self.nearness(judged, projected) if self.config.kernel else projected
        logit = self.classify(self.dropout(hidden)).squeeze(1)
        return DetectorOutput(logit, F.normalize(projected.float(), dim=1) if self.config.unit_norm else projected)

    @torch.no_grad()
    def liveness(
        self, face: torch.Tensor, cue: torch.Tensor | None = None, surroundings: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the probability of live (N,), or a scalar for one face (3, S, S), calibrated."""
        batched = face.ndim == 4
        given = (x if x is None or batched else x[None] for x in (face, cue, surroundings))
        probability, _ = self.judged(*given)
        return probability if batched else probability[0]

    @torch.no_grad()
    def judged(
        self, face: torch.Tensor, cue: torch.Tensor | None = None, surroundings: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return liveness (N,), calibrated, and embeddings (N, E) of faces (N, 3, S, S)."""
        if self.training:
            raise InputError("detector is in training mode, where liveness is random. Call its eval() first.")
        logit, embedding = self(face, cue, surroundings)
        return self.calibrated(logit.float()), embedding.float()

    def calibrated(self, logit: torch.Tensor) -> torch.Tensor:
        """Return liveness in 0..1 of logits: sigmoid((logit - offset) / temperature)."""
        return torch.sigmoid((logit - self.offset) / self.temperature)

    @torch.no_grad()
    def attention_map(self, face: torch.Tensor, cue: torch.Tensor) -> torch.Tensor | None:
        """Return where on the cue the last attention looks, (N, h, w), each map with sum 1; None without attention.

        Faces and cues are (N, 3, S, S). It shows what is looked at, not what decides.
        """
        if not self.config.attends:
            return None
        last = list(self.attention.values())[-1]
        caught: list[torch.Tensor] = []
        hook = last.register_forward_hook(lambda module, inputs, output: caught.append(module.weights(*inputs)))
        try:
            self(face, cue)
        finally:
            hook.remove()
        side = round(caught[0].shape[1] ** 0.5)
        return caught[0].unflatten(1, (side, side))

    def _entering(self, face: torch.Tensor, cue: torch.Tensor | None) -> torch.Tensor:
        """Return what the backbone sees: the face, the face and the cue (zeros where there is none), or the cue."""
        if self.config.insertion == "cue":
            if cue is None:
                raise InputError('insertion "cue" judges by the cue alone and got none. Give the cue.')
            return self.backbone.resize(cue)
        entering = self.backbone.normalise(face)
        if self.config.insertion != "concat":
            return entering
        return torch.cat([entering, self.backbone.resize(torch.zeros_like(face) if cue is None else cue)], 1)

    def _pooled(self, features: torch.Tensor, tokens: torch.Tensor | None) -> torch.Tensor:
        def attended(stage: Stage, features: torch.Tensor) -> torch.Tensor:
            return self.attention[stage.label](features, tokens) if stage.label in self.attention else features

        after = attended if tokens is not None and self.config.attends else None
        if self.config.statistics:
            return layer_statistics(self.backbone, features, self.config.statistics, self.config.every_layer, after)
        *_, (_, last) = stage_outputs(self.backbone, features, after)
        return self.backbone.pool(self.backbone.head(last[-1]))

    def statistics(
        self, face: torch.Tensor, cue: torch.Tensor | None = None, surroundings: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the numbers (N, K) that are judged, before they are standardised."""
        self._check(face, cue, surroundings)
        return self._numbers(face, cue, surroundings)

    def block(
        self, name: str, face: torch.Tensor, cue: torch.Tensor | None, surroundings: torch.Tensor | None
    ) -> torch.Tensor | None:
        """Return the numbers of one of `blocks`; None where there is nothing to read them in."""
        if name == "face":
            return self._pooled(self._entering(face, cue), self._tokens(cue))
        if name != "cue":
            branch = self.branches[name]
            if surroundings is None:
                return None
            return branch(*(face if view == FACE else surroundings[:, view] for view in branch.views))
        if cue is None:
            return None
        if self.config.insertion == "dual":
            return self._pooled(self.backbone.resize(cue), None)
        return self._pooled(self.backbone.normalise(face), None) - self._pooled(
            self.backbone.normalise(face - cue), None
        )

    def _tokens(self, cue: torch.Tensor | None) -> torch.Tensor | None:
        return self.cue_encoder(cue) if cue is not None and self.config.encodes_cue else None

    def _numbers(self, face: torch.Tensor, cue: torch.Tensor | None, surroundings: torch.Tensor | None) -> torch.Tensor:
        """Return the numbers of all blocks; running means for what is absent."""
        parts = []
        for name, place in self.blocks.items():
            read = self.block(name, face, cue, surroundings)
            if read is None:
                read = self.standardise.running_mean[place].expand(face.shape[0], -1)
            parts.append(read)
        return torch.cat(parts, 1)

    def _blocks(self) -> dict[str, slice]:
        """Cut the backbone after the last stage that is read, make the branches, and return where numbers stand."""
        config = self.config
        wanted = config.statistics
        found = [stage for stage in self.backbone.stages if stage.stride in wanted]
        if missing := sorted(set(wanted) - {stage.stride for stage in found}):
            raise ConfigError(
                f"statistics is {wanted}; {config.backbone} has no stride {', '.join(map(str, missing))}. "
                f"Name some of {', '.join(map(str, sorted({stage.stride for stage in self.backbone.stages})))}."
            )
        self.backbone.shorten(max(wanted))
        counts = {"face": statistics_count(self.backbone, wanted, config.every_layer)}
        if config.insertion in ("dual", "features"):
            counts["cue"] = counts["face"]
        if config.branches:
            if unknown := [name for name in config.branches if name not in BRANCHES]:
                raise ConfigError(f"branch {unknown[0]!r} is unknown; expected some of {', '.join(BRANCHES)}.")
            self.branches = nn.ModuleDict({name: BRANCHES[name](config) for name in config.branches})
            counts |= {name: branch.count for name, branch in self.branches.items()}
        ends = list(accumulate(counts.values()))
        return {name: slice(end - count, end) for (name, count), end in zip(counts.items(), ends, strict=True)}

    @property
    def parts(self) -> dict[str, slice]:
        """Where the numbers stand that have a weight of their own: of blocks, or of what a branch's are made of."""
        found = {}
        for name, block in self.blocks.items():
            start = block.start
            counts = self.branches[name].parts if name in self.config.branches else {name: block.stop - block.start}
            for part, count in counts.items():
                found[part] = slice(start, start + count)
                start += count
        return found

    def _places(self, judge: str) -> list[int]:
        """Return where the numbers stand that one of JUDGES hears."""
        found = {name: name in ("face", "cue") or "_face_" in name for name in self.parts}
        heard = [place for name, place in self.parts.items() if judge == "all" or found[name] == (judge == "face")]
        if not heard:
            raise ConfigError(f"judge {judge!r} hears none of {', '.join(self.parts)}. Name some branches.")
        return [number for place in heard for number in range(place.start, place.stop)]

    def _attention_blocks(self, width: int) -> dict[str, CueAttention]:
        strides = {stage.stride for stage in self.backbone.stages}
        missing = sorted(set(self.config.attention_strides) - strides)
        if missing or not self.config.attention_strides:
            raise ConfigError(
                f"attention_strides is {self.config.attention_strides}; {self.config.backbone} has strides "
                f'{", ".join(map(str, sorted(strides)))}. Name at least one of them, or use insertion="none".'
            )
        looking = [stage for stage in self.backbone.stages if stage.stride in self.config.attention_strides]
        looking = looking[-1:] if self.config.insertion == "last" else looking
        sizes = (width, self.config.heads, self.config.attended)
        return {stage.label: CueAttention(stage.channels, *sizes) for stage in looking}

    def _check(self, face: torch.Tensor, cue: torch.Tensor | None, surroundings: torch.Tensor | None = None) -> None:
        side = self.config.face_size
        if face.ndim != 4 or face.shape[1:] != (3, side, side) or not face.is_floating_point():
            raise InputError(
                f"face of shape {tuple(face.shape)}, {face.dtype}; expected floats (N, 3, {side}, {side}). "
                f"Make it with despoof.faces.align.as_tensor(faces, {side})."
            )
        if cue is not None and not self.config.uses_cue:
            raise InputError('a cue was given to a detector with insertion "none". Leave it out.')
        if cue is not None and cue.shape != face.shape:
            raise InputError(
                f"cue of shape {tuple(cue.shape)}; expected the face's {tuple(face.shape)}. "
                "Make it from this face and its counterpart."
            )
        if surroundings is not None:
            self._check_surroundings(surroundings, face.shape[0])

    def _check_surroundings(self, surroundings: torch.Tensor, count: int) -> None:
        if not self.config.uses_surroundings:
            raise InputError("surroundings were given to a detector without branches. Leave them out.")
        expected = (count, len(SCALES), 3, SURROUNDINGS_SIZE, SURROUNDINGS_SIZE)
        if surroundings.shape != expected or not surroundings.is_floating_point():
            raise InputError(
                f"surroundings of shape {tuple(surroundings.shape)}, {surroundings.dtype}; expected floats {expected}, "
                "near and far. Make them with despoof.faces.surroundings."
            )


def save_detector(path: str | Path, detector: Detector, *, facts: dict | None = None) -> None:
    """Write a detector; `facts` (such as temperature and thresholds) are laid over those it has."""
    merged = detector.facts | (facts or {})
    save_artefact(path, KIND, to_dict(detector.config), detector.state_dict(), facts=merged)


def load_detector(path: str | Path) -> Detector:
    """Read what `save_detector` wrote, ready to judge: float32, on the CPU, in eval mode."""
    artefact = load_artefact(path, KIND)
    detector = Detector(from_dict(DetectorConfig, artefact.config, "detector"), artefact.facts)
    load_strict(detector, artefact.tensors, path)
    return detector.eval()
