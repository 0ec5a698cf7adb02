"""Pure functions of PPO: against numbers by hand, against loops, and for what they must be."""

import math

import pytest
import torch

from llmlib.post_training import (
    AdaptiveKL,
    FixedKL,
    clip_share,
    generalized_advantage_estimate,
    kl_estimates,
    masked_mean,
    ppo_clip_loss,
    token_entropy,
    token_log_probabilities,
    token_rewards,
    value_clip_loss,
    whiten,
)

INF = math.inf


def random_text(rows=3, length=6):
    torch.manual_seed(0)
    return torch.randn(rows, length).double(), torch.randn(rows, length).double()


# --- log-probabilities --------------------------------------------------------------------------


def test_log_probabilities_are_minus_the_cross_entropy():
    torch.manual_seed(1)
    logits, tokens = torch.randn(2, 5, 7), torch.randint(7, (2, 5))
    expected = -torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), tokens.flatten(), reduction="none"
    )
    torch.testing.assert_close(token_log_probabilities(logits, tokens).flatten(), expected)
    categorical = torch.distributions.Categorical(logits=logits)
    torch.testing.assert_close(
        token_log_probabilities(logits, tokens), categorical.log_prob(tokens)
    )
    torch.testing.assert_close(token_entropy(logits), categorical.entropy())


def test_log_probabilities_need_one_token_for_each_place():
    with pytest.raises(ValueError, match="one token for each row"):
        token_log_probabilities(torch.zeros(2, 5, 7), torch.zeros(2, 4, dtype=torch.int64))


# --- advantages ---------------------------------------------------------------------------------


def by_the_sum(rewards, values, gamma, lam, after=0.0):
    """The definition: a sum over all later errors, for one text."""
    values = [*values.tolist(), after]
    errors = [r + gamma * values[t + 1] - values[t] for t, r in enumerate(rewards.tolist())]
    return [
        sum((gamma * lam) ** later * error for later, error in enumerate(errors[t:]))
        for t in range(len(errors))
    ]


def test_worked_example_of_advantages():
    # delta = 0 + 0.9*2 - 1, 1 + 0.9*3 - 2, 2 - 3 = 0.8, 1.7, -1; then A_2 = -1,
    # A_1 = 1.7 - 0.45 = 1.25, A_0 = 0.8 + 0.45 * 1.25 = 1.3625
    rewards, values = torch.tensor([0.0, 1.0, 2.0]), torch.tensor([1.0, 2.0, 3.0])
    found = generalized_advantage_estimate(rewards, values, 0.9, 0.5)
    torch.testing.assert_close(found, torch.tensor([1.3625, 1.25, -1.0]))


@pytest.mark.parametrize("gamma", [1.0, 0.9, 0.0])
@pytest.mark.parametrize("lam", [1.0, 0.95, 0.3, 0.0])
def test_the_recursion_is_the_sum(gamma, lam):
    rewards, values = random_text()
    found = generalized_advantage_estimate(rewards, values, gamma, lam)
    for row in range(len(rewards)):
        expected = by_the_sum(rewards[row], values[row], gamma, lam)
        assert found[row].tolist() == pytest.approx(expected)


def test_lambda_one_is_return_minus_value_and_lambda_zero_the_error_of_a_step():
    rewards, values = random_text()
    discounts = 0.9 ** torch.arange(6).double()
    returns = torch.stack([(rewards[:, t:] * discounts[: 6 - t]).sum(1) for t in range(6)], 1)
    full = generalized_advantage_estimate(rewards, values, 0.9, 1.0)
    torch.testing.assert_close(full, returns - values)
    after = torch.cat((values[:, 1:], torch.zeros(3, 1).double()), 1)
    step = generalized_advantage_estimate(rewards, values, 0.9, 0.0)
    torch.testing.assert_close(step, rewards + 0.9 * after - values)


def test_a_text_that_was_cut_goes_on_with_the_value_behind_it():
    rewards, values = random_text(1)
    more = torch.cat((values, torch.tensor([[2.5]]).double()), 1)
    found = generalized_advantage_estimate(rewards, more, 0.9, 0.7)
    assert found[0].tolist() == pytest.approx(by_the_sum(rewards[0], values[0], 0.9, 0.7, 2.5))


def test_padding_changes_no_advantage():
    rewards, values = random_text(1, 4)
    alone = generalized_advantage_estimate(rewards, values, 1.0, 0.9)
    junk = torch.full((1, 2), math.nan).double()
    padded = [torch.cat((tensor, junk), 1) for tensor in (rewards, values)]
    mask = torch.arange(6)[None] < 4
    found = generalized_advantage_estimate(*padded, 1.0, 0.9, mask=mask)
    torch.testing.assert_close(found[:, :4], alone)
    assert found[:, 4:].tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gamma": 1.1, "lam": 1.0}, "gamma=1.1"),
        ({"gamma": 1.0, "lam": -0.1}, "lam=-0.1"),
        ({"gamma": 1.0, "lam": 1.0, "values": torch.zeros(3, 8)}, "one value"),
        ({"gamma": 1.0, "lam": 1.0, "mask": torch.ones(3, 5).bool()}, "all three are alike"),
    ],
)
def test_advantages_refuse_what_does_not_fit(options, message):
    values = options.pop("values", torch.zeros(3, 6))
    with pytest.raises(ValueError, match=message):
        generalized_advantage_estimate(torch.zeros(3, 6), values, **options)


def test_whitened_numbers_have_mean_zero_and_variance_one():
    torch.manual_seed(2)
    values, mask = 5 + 3 * torch.randn(4, 9), torch.rand(4, 9) < 0.6
    found = whiten(values, mask)
    assert found[mask].mean().item() == pytest.approx(0.0, abs=1e-5)
    assert found[mask].var(unbiased=False).item() == pytest.approx(1.0, rel=1e-4)
    assert not found[~mask].any()
    torch.testing.assert_close(whiten(10 * values - 7, mask), found, atol=1e-4, rtol=1e-4)
    assert whiten(torch.full((3,), 2.0)).tolist() == [0.0, 0.0, 0.0]
    assert masked_mean(values, torch.zeros(4, 9).bool()).item() == 0.0


# --- the losses ---------------------------------------------------------------------------------


def loop_clip_loss(logps, old, advantages, clip):
    total = 0.0
    for new, before, advantage in zip(
        logps.flatten().tolist(), old.flatten().tolist(), advantages.flatten().tolist(), strict=True
    ):
        ratio = math.exp(new - before)
        total += min(ratio * advantage, min(max(ratio, 1 - clip), 1 + clip) * advantage)
    return -total / logps.numel()


@pytest.mark.parametrize("clip", [0.05, 0.2, 1.5, INF])
def test_clip_loss_is_the_loop(clip):
    torch.manual_seed(3)
    logps, old, advantages = (torch.randn(4, 5).double() for _ in range(3))
    found = ppo_clip_loss(logps, old, advantages, clip)
    assert found.item() == pytest.approx(loop_clip_loss(logps, old, advantages, clip))


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "slope"),
    [  # the four corners, with a clip of 0.2: the slope is that of the loss by the ratio
        (1.5, 2.0, -2.4, 0.0),  # good and already likelier: enough
        (0.5, 2.0, -1.0, -2.0),  # good and rarer: goes on
        (1.5, -2.0, 3.0, 2.0),  # bad and likelier: goes on
        (0.5, -2.0, 1.6, 0.0),  # bad and already rarer: enough
        (1.1, 2.0, -2.2, -2.0),
        (0.9, -2.0, 1.8, 2.0),
    ],
)
def test_corners_of_the_clip(ratio, advantage, loss, slope):
    logps = torch.tensor([math.log(ratio)], dtype=torch.float64, requires_grad=True)
    old, advantages = torch.zeros(1).double(), torch.tensor([advantage]).double()
    found = ppo_clip_loss(logps, old, advantages, 0.2)
    assert found.item() == pytest.approx(loss)
    found.backward()
    assert logps.grad.item() == pytest.approx(slope * ratio)  # d ratio / d log = ratio
    assert clip_share(logps, old, advantages, 0.2).item() == (slope == 0.0)


@pytest.mark.parametrize("clip", [0.2, INF])
def test_at_the_start_the_gradient_is_the_plain_policy_gradient(clip):
    torch.manual_seed(4)
    logits = torch.randn(3, 5, 7, dtype=torch.float64, requires_grad=True)
    tokens, advantages = torch.randint(7, (3, 5)), torch.randn(3, 5).double()
    logps = token_log_probabilities(logits, tokens)
    (plain,) = torch.autograd.grad(-(advantages * logps).mean(), logits, retain_graph=True)
    (ours,) = torch.autograd.grad(ppo_clip_loss(logps, logps.detach(), advantages, clip), logits)
    torch.testing.assert_close(ours, plain)


def test_no_gradient_reaches_advantages_and_old_policy():
    logps, old, advantages = (torch.randn(5, requires_grad=True) for _ in range(3))
    ppo_clip_loss(logps, old, advantages, 0.2).backward()
    assert logps.grad is not None
    assert old.grad is None
    assert advantages.grad is None


def test_padding_counts_nowhere():
    torch.manual_seed(5)
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]).bool()
    logps, old, advantages = (torch.randn(2, 5) for _ in range(3))
    real = [tensor[mask] for tensor in (logps, old, advantages)]
    for tensor in (logps, old, advantages):
        tensor[~mask] = math.nan
    for function in (ppo_clip_loss, clip_share, value_clip_loss):
        found = function(logps, old, advantages, 0.2, mask=mask)
        torch.testing.assert_close(found, function(*real, 0.2))


def test_value_loss_without_a_clip_is_half_the_squared_error():
    torch.manual_seed(6)
    values, old, returns = (torch.randn(4, 5) for _ in range(3))
    plain = 0.5 * torch.nn.functional.mse_loss(values, returns)
    torch.testing.assert_close(value_clip_loss(values, old, returns), plain)
    assert value_clip_loss(values, old, returns, 0.1) >= plain
    torch.testing.assert_close(
        value_clip_loss(values, values, returns, 0.1), plain
    )  # at the start nothing is clipped


def test_a_value_that_moved_far_enough_has_no_gradient():
    values = torch.tensor([0.5, 0.1], requires_grad=True)
    value_clip_loss(values, torch.zeros(2), torch.ones(2), 0.2).backward()
    assert values.grad.tolist() == pytest.approx([0.0, -0.45])


@pytest.mark.parametrize("clip", [0.0, -1.0, math.nan])
def test_a_clip_must_be_positive(clip):
    with pytest.raises(ValueError, match="must be positive"):
        ppo_clip_loss(torch.zeros(2), torch.zeros(2), torch.zeros(2), clip)


def test_shapes_must_be_alike():
    with pytest.raises(ValueError, match=r"logps \(2,\), old_logps \(2,\), advantages \(2, 1\)"):
        ppo_clip_loss(torch.zeros(2), torch.zeros(2), torch.zeros(2, 1), 0.2)


# --- KL -----------------------------------------------------------------------------------------


def test_estimates_are_zero_where_policies_agree():
    logps = torch.randn(3, 4)
    assert all(not estimate.any() for estimate in kl_estimates(logps, logps))


def test_k1_and_k3_are_the_kl_on_average_and_k3_varies_less():
    torch.manual_seed(7)
    p, q = (
        (0.5 * torch.randn(6).double()).softmax(0),
        (0.5 * torch.randn(6).double()).softmax(0),
    )
    k1, k2, k3 = kl_estimates(p.log(), q.log())  # every token once, weighted with p: exact means
    exact = (p * (p / q).log()).sum()
    torch.testing.assert_close((p * k1).sum(), exact)
    torch.testing.assert_close((p * k3).sum(), exact)
    assert (k2 >= 0).all()
    assert (k3 >= 0).all()
    assert (p * k2).sum().item() == pytest.approx(exact.item(), rel=0.5)
    assert (p * (k3 - exact) ** 2).sum() < (p * (k1 - exact) ** 2).sum() / 2


def test_the_rewards_of_a_text_sum_to_score_minus_priced_kl():
    torch.manual_seed(8)
    logps, ref_logps = torch.randn(3, 5), torch.randn(3, 5)
    lengths = torch.tensor([5, 1, 3])
    mask = torch.arange(5) < lengths[:, None]
    logps[~mask] = math.inf  # padding means nothing
    scores = torch.tensor([1.0, -2.0, 0.5])
    found = token_rewards(scores, logps, ref_logps, mask, 0.1)
    for row, length in enumerate(lengths):
        kl = (logps - ref_logps)[row, :length]
        expected = -0.1 * kl
        expected[-1] += scores[row]
        torch.testing.assert_close(found[row, :length], expected)
        assert not found[row, length:].any()
    with pytest.raises(ValueError, match="without a token"):
        token_rewards(scores, logps, ref_logps, mask & False, 0.1)


def test_the_adaptive_price_finds_its_target():
    """A policy whose distance falls as the price rises ends at the target."""
    control = AdaptiveKL(0.01, target=5.0)
    for _ in range(600):
        control.update(kl=1.0 / control.coefficient)
    assert control.coefficient == pytest.approx(0.2, rel=0.02)
    with pytest.raises(ValueError, match="must be positive"):
        AdaptiveKL(0.0, target=5.0)


def test_a_fixed_price_stays():
    control = FixedKL(0.1)
    control.update(100.0)
    assert control.coefficient == 0.1
