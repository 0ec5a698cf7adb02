"""Best of n against brute force; REINFORCE against the exact gradient."""

import itertools
import math

import pytest
import torch

from llmlib.post_training.best_of_n import best_of_n, best_of_n_kl
from llmlib.post_training.reinforce import leave_one_out_baseline, reinforce_loss


@pytest.mark.parametrize("ties", [False, True])
def test_best_of_n_is_the_mean_over_all_choices(ties):
    torch.manual_seed(0)
    proxy = torch.randint(0, 3, (7,)).double() if ties else torch.randn(7).double()
    true = torch.randn(7).double()
    for n in range(1, 8):
        worth = []
        for chosen in itertools.combinations(range(7), n):
            best = max(proxy[i].item() for i in chosen)
            tied = [true[i].item() for i in chosen if proxy[i] == best]
            worth.append(sum(tied) / len(tied))
        expected = sum(worth) / len(worth)
        assert best_of_n(proxy, true, n).item() == pytest.approx(expected)


def test_best_of_n_of_the_reward_itself_rises_and_rows_are_apart():
    torch.manual_seed(1)
    rewards = torch.randn(3, 40)
    found = torch.stack([best_of_n(rewards, rewards, n) for n in range(1, 41)])
    assert (found.diff(dim=0) >= -1e-12).all()
    torch.testing.assert_close(found[0], rewards.double().mean(-1))
    torch.testing.assert_close(found[-1], rewards.double().max(-1).values)
    alone = torch.stack([best_of_n(row, row, 5) for row in rewards])
    torch.testing.assert_close(best_of_n(rewards, rewards, 5), alone)
    with pytest.raises(ValueError, match="n=41"):
        best_of_n(rewards, rewards, 41)
    with pytest.raises(ValueError, match=r"\(3, 40\).*\(40,\)"):
        best_of_n(rewards, rewards[0], 2)


def test_the_kl_is_that_of_the_best_of_many_different_answers():
    """Best of n of N equally likely answers: the KL by definition nears the formula."""
    n, answers = 4, 20_000
    ranks = torch.arange(answers + 1).double() / answers
    chance = (ranks**n).diff()  # the best of n draws is answer i
    kl = (chance * (chance * answers).log()).sum().item()
    assert best_of_n_kl(n) == pytest.approx(kl, abs=1e-3)
    assert best_of_n_kl(1) == 0
    with pytest.raises(ValueError, match="n=0"):
        best_of_n_kl(0)


def exact(logits, rewards):
    """Gradient of minus the expected reward."""
    logits = logits.clone().requires_grad_()
    (-(logits.softmax(0) * rewards).sum()).backward()
    return logits.grad


@pytest.mark.parametrize("baseline", [0.0, 2.0])
def test_the_gradient_is_unbiased_whatever_the_baseline(baseline):
    torch.manual_seed(0)
    logits, rewards = torch.randn(4).double(), torch.tensor([0.0, 1.0, 5.0, -2.0]).double()
    total = torch.zeros(4).double()
    for action, chance in enumerate(logits.softmax(0)):
        theta = logits.clone().requires_grad_()
        logp = theta.log_softmax(0)[action]
        reinforce_loss(logp[None], rewards[action][None], baseline).backward()
        total += chance * theta.grad
    torch.testing.assert_close(total, exact(logits, rewards))


def test_the_baseline_of_the_others_is_unbiased_and_lowers_the_variance():
    logits, rewards = torch.zeros(3).double(), torch.tensor([10.0, 11.0, 13.0]).double()
    grads = {"none": [], "others": [], "own mean": []}
    for draws in itertools.product(range(3), repeat=4):  # all equally likely
        drawn = rewards[list(draws)]
        baselines = {
            "none": 0.0,
            "others": leave_one_out_baseline(drawn),
            "own mean": drawn.mean(),
        }
        for name, baseline in baselines.items():
            theta = logits.clone().requires_grad_()
            reinforce_loss(theta.log_softmax(0)[list(draws)], drawn, baseline).backward()
            grads[name].append(theta.grad)
    grads = {name: torch.stack(found) for name, found in grads.items()}
    torch.testing.assert_close(grads["none"].mean(0), exact(logits, rewards))
    torch.testing.assert_close(grads["others"].mean(0), exact(logits, rewards))
    # The mean that holds the sample itself shrinks the gradient by (n - 1) / n.
    torch.testing.assert_close(grads["own mean"].mean(0), exact(logits, rewards) * 3 / 4)
    assert grads["others"].var(0).sum() < grads["none"].var(0).sum() / 20


def test_what_is_refused():
    with pytest.raises(ValueError, match=r"\(2,\).*\(3,\)"):
        reinforce_loss(torch.zeros(2), torch.zeros(3))
    with pytest.raises(ValueError, match="at least two"):
        leave_one_out_baseline(torch.zeros(1))
    logps = torch.zeros(2, requires_grad=True)
    rewards = torch.ones(2, requires_grad=True)
    reinforce_loss(logps, rewards).backward()
    assert rewards.grad is None
    assert math.isclose(logps.grad.sum().item(), -1)
