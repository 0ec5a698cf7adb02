"""Reward models against transformers and trl, calibration against scikit-learn."""

import types

import pytest
import torch
from torch import nn

from llmlib.evaluation.calibration import reliability_curve
from llmlib.models import GPT, GPTConfig, Llama, LlamaConfig
from llmlib.post_training.reward import RewardModel, reward_ranking_loss
from llmlib.post_training.reward_files import load_reward_model, save_reward_model

SIZES = {"vocab_size": 40, "context_length": 16, "dim": 32, "num_layers": 2, "num_heads": 4}
MODEL = pytest.mark.parity(
    component="llmlib.post_training.RewardModel",
    peer="transformers' model for sequence classification",
    compared="rewards and gradients, both directions of files",
)
LOSS = pytest.mark.parity(
    component="llmlib.post_training.reward_ranking_loss",
    peer="trl.RewardTrainer.compute_loss",
    compared="loss and gradient",
)
CURVE = pytest.mark.parity(
    component="llmlib.evaluation.reliability_curve",
    peer="sklearn.calibration.calibration_curve",
)


@MODEL
@pytest.mark.parametrize(
    "body",
    [
        lambda: Llama(LlamaConfig(**SIZES, tie_embeddings=True)),
        lambda: Llama(LlamaConfig(**SIZES, num_kv_heads=2)),
        lambda: GPT(GPTConfig(**SIZES)),
    ],
)
def test_reward_model(body, tmp_path):
    from transformers import AutoModelForSequenceClassification

    torch.manual_seed(0)
    ours = RewardModel(body()).eval()
    for weight in ours.parameters():
        if weight.dim() == 2:
            nn.init.normal_(weight, std=0.3)  # random, with strong opinions
    save_reward_model(ours, None, tmp_path, pad_token_id=39, eos_token_id=0)
    theirs = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    ids = torch.randint(1, 39, (5, 12))
    lengths = torch.tensor([12, 7, 1, 11, 3])
    mask = torch.arange(12) < lengths[:, None]
    ids[~mask] = 39
    found = ours(ids, mask)
    expected = theirs(ids, attention_mask=mask.long()).logits[:, 0]
    torch.testing.assert_close(found, expected)
    for rewards in (found, expected):
        reward_ranking_loss(rewards[:2], rewards[2:4]).backward()
    torch.testing.assert_close(ours.head.weight.grad, theirs.score.weight.grad)
    embedding = theirs.get_input_embeddings().weight.grad
    torch.testing.assert_close(ours.body.token_embedding.weight.grad, embedding)
    with torch.no_grad():
        theirs.score.weight.mul_(2)
    theirs.save_pretrained(tmp_path / "theirs")
    if ours.body.output is None:  # they keep no output layer, which one that is not tied needs
        again, _ = load_reward_model(tmp_path / "theirs")
        torch.testing.assert_close(again(ids, mask), 2 * found)


@LOSS
@pytest.mark.parametrize("margin", [False, True])
@pytest.mark.parametrize("center", [0.0, 0.02])
def test_ranking_loss(margin, center):
    trl = pytest.importorskip("trl")
    torch.manual_seed(0)
    rewards = torch.randn(8, dtype=torch.float64).mul(3).requires_grad_()
    margins = torch.rand(4, dtype=torch.float64) if margin else 0.0
    accelerator = types.SimpleNamespace(gather=lambda t: t, gather_for_metrics=lambda t: t)

    class Fixed(nn.Module):
        def forward(self, use_cache, margin=None):
            return types.SimpleNamespace(logits=rewards[:, None])

    host = types.SimpleNamespace(
        model=Fixed().eval(),
        args=types.SimpleNamespace(center_rewards_coefficient=center or None),
        accelerator=accelerator,
        _metrics={"eval": __import__("collections").defaultdict(list)},
        _total_train_tokens=0,
    )
    inputs = {"margin": margins} if margin else {}
    theirs = trl.RewardTrainer.compute_loss(host, host.model, inputs)
    chosen, rejected = rewards.chunk(2)
    ours = reward_ranking_loss(chosen, rejected, margin=margins)
    ours = ours + center * (chosen + rejected).square().mean()
    torch.testing.assert_close(ours, theirs)
    (one,) = torch.autograd.grad(ours, rewards)
    (two,) = torch.autograd.grad(theirs, rewards)
    torch.testing.assert_close(one, two)


@CURVE
@pytest.mark.parametrize("bins", [1, 5, 13])
def test_reliability(bins):
    calibration = pytest.importorskip("sklearn.calibration")
    torch.manual_seed(bins)
    p = torch.rand(300).tolist()
    y = (torch.rand(300) < 0.4).tolist()
    ours = reliability_curve(p, y, bins=bins)
    true, predicted = calibration.calibration_curve(y, p, n_bins=bins)
    assert ours.observed == pytest.approx(true.tolist())
    assert ours.predicted == pytest.approx(predicted.tolist())
    assert sum(ours.counts) == 300
