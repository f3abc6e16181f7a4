"""Losses against loops and closed forms: a mask turned round or a sign lost would still train, only worse."""

import math

import pytest
import torch

from despoof.detector.losses import (
    DomainDiscriminator,
    asymmetric_groups,
    cross_entropy,
    reversal_coefficient,
    reverse_gradient,
    single_side_adversarial,
    triplet,
)

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
