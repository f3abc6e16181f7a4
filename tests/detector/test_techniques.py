"""Losses against loops and closed forms: a mask turned round or a sign lost would still train, only worse."""

import math

import pytest
import torch

from despoof.detector.backbones import BACKBONES
from despoof.detector.config import TechniqueConfig
from despoof.detector.network import DetectorOutput
from despoof.detector.techniques import TECHNIQUES, technique
from despoof.detector.techniques.alignment import contrast, pulled
from despoof.detector.techniques.erm import cross_entropy
from despoof.detector.techniques.reversal import DomainDiscriminator, reversal_coefficient, reverse_gradient
from despoof.detector.techniques.risk import risk_variance
from despoof.detector.techniques.ssdg import asymmetric_groups, single_side_adversarial, triplet
from despoof.detector.techniques.style import mix_styles, mixed_styles
from despoof.detector.techniques.technique import Setting
from despoof.errors import ConfigError

LIVE = torch.tensor([True, True, False, False, True, False, False, True])
DOMAIN = torch.tensor([0, 1, 0, 1, 2, 2, 0, 0])


def loop_triplet(embedding: torch.Tensor, group: list[int], margin: float) -> float:
    points, terms = embedding.tolist(), []
    for a, ga in enumerate(group):
        for p, gp in enumerate(group):
            for n, gn in enumerate(group):
                if a != p and ga == gp and ga != gn:
                    term = math.dist(points[a], points[p]) - math.dist(points[a], points[n]) + margin
                    terms += [term] if term > 0 else []
    return sum(terms) / max(len(terms), 1)


def test_live_shares_one_group_and_attacks_one_per_domain():
    assert asymmetric_groups(LIVE, DOMAIN).tolist() == [0, 0, 1, 2, 0, 3, 1, 0]


@pytest.mark.parametrize("margin", [0.0, 0.1, 1.0])
def test_triplet_equals_three_loops(margin):
    embedding = torch.randn(8, 5, generator=torch.Generator().manual_seed(3))
    group = asymmetric_groups(LIVE, DOMAIN)
    expected = loop_triplet(embedding, group.tolist(), margin)
    assert triplet(embedding, group, margin).item() == pytest.approx(expected, rel=1e-5)


def test_triplet_by_hand():
    # On a line: live at 0 and 1, attack at 3. Anchor 0: 1 - 3 + 2.5 = .5; anchor 1: 1 - 2 + 2.5 = 1.5.
    embedding = torch.tensor([[0.0], [1.0], [3.0]])
    assert triplet(embedding, torch.tensor([0, 0, 1]), margin=2.5).item() == pytest.approx(1.0)
    assert triplet(embedding, torch.tensor([0, 0, 1]), margin=0.1).item() == 0


def test_triplet_of_equal_points_has_a_finite_gradient():
    embedding = torch.ones(4, 3, requires_grad=True)
    loss = triplet(embedding, torch.tensor([0, 0, 1, 1]), margin=0.1)
    loss.backward()
    assert loss.item() == pytest.approx(0.1)
    assert torch.isfinite(embedding.grad).all()


def test_cross_entropy_rewards_a_high_logit_for_live():
    live = torch.tensor([True, False])
    expected = -(math.log(1 / (1 + math.exp(-2))) + math.log(1 - 1 / (1 + math.exp(1)))) / 2
    assert cross_entropy(torch.tensor([2.0, -1.0]), live).item() == pytest.approx(expected)


def test_reversal_rises_from_zero_to_one_over_its_configured_length():
    assert reversal_coefficient(0, 300) == 0
    assert reversal_coefficient(300, 300) == pytest.approx(math.tanh(5))  # 2 / (1 + exp(-x)) - 1 = tanh(x / 2)
    assert reversal_coefficient(30, 300) == pytest.approx(math.tanh(0.5))


def test_reversal_turns_the_gradient_only():
    values = torch.tensor([1.0, -2.0], requires_grad=True)
    turned = reverse_gradient(values, 0.3)
    assert torch.equal(turned, values)
    (turned * torch.tensor([2.0, 5.0])).sum().backward()
    torch.testing.assert_close(values.grad, torch.tensor([-0.6, -1.5]))


def test_adversarial_sees_live_only_and_teaches_discriminator_and_embedding_opposite_ways():
    torch.manual_seed(0)
    discriminator = DomainDiscriminator(5, 3).eval()
    embedding = torch.randn(8, 5, requires_grad=True)
    loss = single_side_adversarial(discriminator, embedding, LIVE, DOMAIN, 0.5)
    loss.backward()
    log_q = discriminator.layers(embedding[LIVE]).log_softmax(1)
    expected = -log_q[torch.arange(4), DOMAIN[LIVE]].mean()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    straight = torch.autograd.grad(expected, embedding)[0]
    torch.testing.assert_close(embedding.grad, -0.5 * straight)
    assert (embedding.grad[~LIVE] == 0).all()
    with torch.no_grad():
        for parameter in discriminator.parameters():
            parameter -= 0.1 * parameter.grad
    after = single_side_adversarial(discriminator, embedding, LIVE, DOMAIN, 0.5)
    assert after < loss


def test_adversarial_of_a_batch_without_live_is_zero():
    discriminator = DomainDiscriminator(5, 3)
    loss = single_side_adversarial(discriminator, torch.randn(8, 5), torch.zeros(8, dtype=torch.bool), DOMAIN, 1.0)
    assert loss.item() == 0


def made(name: str, **options: float) -> torch.nn.Module:
    torch.manual_seed(0)  # of the weights: some seeds leave a face at which every hidden unit is dead
    kind, chosen = technique(TechniqueConfig(name, options))
    return kind(Setting(5, 3, 100, chosen))


def answer(seed: int = 0) -> DetectorOutput:
    generator = torch.Generator().manual_seed(seed)
    embedding = torch.randn(8, 5, generator=generator).requires_grad_()
    return DetectorOutput(torch.randn(8, generator=generator).requires_grad_(), embedding)


@pytest.mark.parametrize("name", TECHNIQUES)
def test_every_technique_has_cross_entropy_and_finite_terms_that_reach_the_detector(name):
    output, loss = answer(), made(name)
    terms = loss(output, LIVE, DOMAIN, step=50)
    assert terms["cross_entropy"].weight == 1
    assert terms["cross_entropy"].loss.item() == pytest.approx(cross_entropy(output.logit, LIVE).item())
    sum(term.weight * term.loss for term in terms.values()).backward()
    assert all(torch.isfinite(term.loss) for term in terms.values())
    assert torch.isfinite(output.logit.grad).all()
    assert (output.embedding.grad is not None) == (name in ("ssdg", "dann", "safas"))


@pytest.mark.parametrize(
    ("name", "options", "match"),
    [
        ("magic", {}, "'magic'; expected one of erm, ssdg"),
        ("erm", {"margin": 0.2}, "'margin'"),
        ("ssdg", {"x": 1.0}, "margin"),
    ],
)
def test_an_unknown_technique_or_option_is_named(name, options, match):
    with pytest.raises(ConfigError, match=match):
        technique(TechniqueConfig(name, options))


def test_options_reach_the_terms():
    assert made("ssdg", triplet=0.25)(answer(), LIVE, DOMAIN, step=50)["triplet"].weight == 0.25
    assert made("ssdg")(answer(), LIVE, DOMAIN, step=50)["triplet"].weight == 1.0
    assert technique(TechniqueConfig("vrex", {"risk-variance": 0.3}))[1].risk_variance == 0.3


def test_dann_sees_attacks_too_where_ssdg_sees_live_only():
    for name, moved in (("dann", torch.ones(8, dtype=torch.bool)), ("ssdg", LIVE)):
        output, loss = answer(), made(name).eval()
        loss(output, LIVE, DOMAIN, step=50)["adversarial"].loss.backward()
        assert (output.embedding.grad.abs().sum(1) > 0).equal(moved)


def test_risk_variance_by_hand():
    # Logit 0 costs log 2 whatever the label; a logit of 50 of a live face costs nothing. Domains: log 2, 0 and half.
    logit = torch.tensor([0.0, 0.0, 50.0, 50.0, 0.0, 50.0])
    live, domain = torch.ones(6, dtype=torch.bool), torch.tensor([0, 0, 1, 1, 2, 2])
    risks = [math.log(2), 0.0, math.log(2) / 2]
    mean = sum(risks) / 3
    expected = sum((risk - mean) ** 2 for risk in risks) / 3
    assert risk_variance(logit, live, domain).item() == pytest.approx(expected, rel=1e-5)
    assert risk_variance(logit[:2], live[:2], domain[:2]).item() == 0  # one domain varies against nothing


def test_sare_varies_over_attacks_and_vrex_over_all():
    output = DetectorOutput(torch.tensor([3.0, -2.0, 0.0, 0.0, 1.0, 0.0, 0.0, -1.0]), torch.zeros(8, 5))
    terms = {name: made(name)(output, LIVE, DOMAIN, step=50)["risk_variance"].loss.item() for name in ("vrex", "sare")}
    assert terms["sare"] == pytest.approx(0, abs=1e-12)  # every attack has logit 0, so every domain the same risk
    assert terms["vrex"] > 0.01
    assert made("vrex")(output, LIVE, DOMAIN, step=9)["risk_variance"].weight == 0
    assert made("vrex")(output, LIVE, DOMAIN, step=10)["risk_variance"].weight == 1


def test_contrast_equals_three_loops():
    embedding = torch.nn.functional.normalize(answer().embedding.detach(), dim=1)
    group = [0, 0, 1, 1, 1, 2, 0, 3]
    points = embedding.double().tolist()
    dot = [[sum(x * y for x, y in zip(a, b, strict=True)) / 0.1 for b in points] for a in points]
    terms = []
    for a in range(8):
        others = [n for n in range(8) if n != a]
        total = math.log(sum(math.exp(dot[a][n]) for n in others))
        positive = [p for p in others if group[p] == group[a]]
        if positive:
            terms.append(-sum(dot[a][p] - total for p in positive) / len(positive))
    assert contrast(embedding, torch.tensor(group)).item() == pytest.approx(sum(terms) / len(terms), rel=1e-4)
    assert contrast(embedding[:2], torch.tensor([0, 1])).item() == 0


def test_hyperplanes_are_pulled_to_the_farthest():
    points = torch.tensor([[0.0, 0.0], [1.0, 0.0], [4.0, 0.0]])
    torch.testing.assert_close(pulled(points, 0.25), torch.tensor([[1.0, 0.0], [1.75, 0.0], [3.0, 0.0]]))


def test_alignment_brings_hyperplanes_together():
    loss = made("safas")
    with torch.no_grad():
        loss.hyperplanes.copy_(torch.randn(3, 5, generator=torch.Generator().manual_seed(1)))
    before = torch.pdist(loss.hyperplanes).max()
    for _ in range(100):
        loss.after_step()
    assert torch.pdist(loss.hyperplanes).max() < 0.1 * before


def test_mixed_style_has_the_mixed_mean_and_deviation():
    features = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(2)) * 3 + 1
    share, partner = torch.tensor([1.0, 0.0, 0.5, 0.25]), torch.tensor([1, 2, 3, 0])
    mixed = mix_styles(features, share, partner)
    torch.testing.assert_close(mixed[0], features[0], atol=1e-4, rtol=1e-4)  # all its own style
    for i, (s, p) in enumerate(zip(share.tolist(), partner.tolist(), strict=True)):
        for measure in (torch.mean, torch.std):
            own, other, got = (measure(x, (1, 2)) for x in (features[i], features[p], mixed[i]))
            torch.testing.assert_close(got, s * own + (1 - s) * other, atol=1e-4, rtol=1e-4)


def test_styles_are_mixed_inside_the_context_only_and_by_seed():
    backbone = BACKBONES["tiny_cnn"]().eval()
    face = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    plain = backbone(face)

    def mixed(chance: float) -> torch.Tensor:
        torch.manual_seed(5)
        with mixed_styles(backbone, chance):
            return backbone(face)

    assert not torch.allclose(mixed(1.0), plain)
    assert torch.equal(mixed(1.0), mixed(1.0))
    assert torch.equal(mixed(0.0), plain)
    assert torch.equal(backbone(face), plain)
