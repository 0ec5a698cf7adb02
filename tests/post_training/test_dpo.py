"""DPO and its relatives: identities, gradients, the optimum they promise, runs of the Trainer."""

import copy
import functools
import itertools
import math

import pytest
import torch
from torch import nn

from llmlib.data import preference_pairs
from llmlib.generation import generate
from llmlib.models import GPT, GPTConfig, Llama, LlamaConfig
from llmlib.post_training import (
    DPOLoss,
    PreferenceBatch,
    dpo_loss,
    implicit_reward,
    ipo_loss,
    length_normalized_dpo_loss,
    pair_batch,
    reward_ranking_loss,
    sequence_lengths,
    sequence_log_probabilities,
    simpo_loss,
)
from llmlib.tokenizers import BPETokenizer
from llmlib.training import Batch, TrainConfig, Trainer

MARKS = ["<|end|>", "<|user|>", "<|assistant|>"]
PAIRS = list(preference_pairs(8, seed=1))
TOKENIZER = BPETokenizer.train(
    [pair.chosen for pair in PAIRS], 400, special_tokens=MARKS, pattern="qwen2"
)
SIZES = {"vocab_size": 400, "context_length": 512, "dim": 32, "num_layers": 2, "num_heads": 2}


def four(seed=0, size=6):
    """Log-probabilities of the chosen and the rejected answers, of policy and reference."""
    torch.manual_seed(seed)
    return list(-10 * torch.rand(4, size, dtype=torch.float64) - 1)


def model(seed=0):
    torch.manual_seed(seed)
    return Llama(LlamaConfig(**SIZES))


# --- the losses -----------------------------------------------------------------------------------


def test_dpo_by_hand():
    pc, pr, rc, rr = (x.tolist() for x in four())
    by_hand = [
        -math.log(1 / (1 + math.exp(-0.3 * ((a - c) - (b - d)))))
        for a, b, c, d in zip(pc, pr, rc, rr, strict=True)
    ]
    assert dpo_loss(*four(), beta=0.3).item() == pytest.approx(sum(by_hand) / len(by_hand))


def test_dpo_is_the_ranking_loss_of_the_implicit_rewards():
    pc, pr, rc, rr = four()
    chosen, rejected = implicit_reward(pc, rc, 0.7), implicit_reward(pr, rr, 0.7)
    torch.testing.assert_close(dpo_loss(pc, pr, rc, rr, 0.7), reward_ranking_loss(chosen, rejected))


@pytest.mark.parametrize("beta", [0.01, 0.1, 5.0])
def test_equal_policies_give_ln_2(beta):
    pc, pr, _, _ = four()
    assert dpo_loss(pc, pr, pc, pr, beta).item() == pytest.approx(math.log(2))
    assert ipo_loss(pc, pr, pc, pr, beta).item() == pytest.approx(1 / (4 * beta**2))


def test_a_swapped_pair_has_the_other_probability():
    for column in range(6):
        pc, pr, rc, rr = (x[column : column + 1] for x in four())
        one, other = dpo_loss(pc, pr, rc, rr, 0.2), dpo_loss(pr, pc, rr, rc, 0.2)
        assert (-one).exp() + (-other).exp() == pytest.approx(1)
        gap = (pc - rc) - (pr - rr)
        assert (other - one).item() == pytest.approx(0.2 * gap.item())


def test_what_the_losses_cannot_see():
    pc, pr, rc, rr = four()
    for loss in (dpo_loss, ipo_loss):
        here = loss(pc, pr, rc, rr, 0.5)
        # Both answers less likely by the same factor: the term of the prompt, ln Z, is such a one.
        torch.testing.assert_close(loss(pc - 7, pr - 7, rc, rr, 0.5), here)
        torch.testing.assert_close(loss(pc, pr, rc + 3, rr + 3, 0.5), here)
        torch.testing.assert_close(loss(pc - 2, pr, rc - 2, rr, 0.5), here)
    # Twice the beta is a reference and a policy twice as far apart.
    torch.testing.assert_close(
        dpo_loss(pc, pr, rc, rr, 1.0), dpo_loss(2 * pc, 2 * pr, 2 * rc, 2 * rr, 0.5)
    )


def test_the_gradient_is_the_weight_of_the_wrong_order():
    pc, pr, rc, rr = four()
    pc.requires_grad_()
    pr.requires_grad_()
    one, other = torch.autograd.grad(dpo_loss(pc, pr, rc, rr, 0.4), (pc, pr))
    wrong = torch.sigmoid(-0.4 * ((pc - rc) - (pr - rr)))
    torch.testing.assert_close(one, -0.4 * wrong / 6)
    torch.testing.assert_close(other, -one)
    one, other = torch.autograd.grad(ipo_loss(pc, pr, rc, rr, 0.4), (pc, pr))
    torch.testing.assert_close(one, 2 * ((pc - rc) - (pr - rr) - 1 / 0.8) / 6)
    torch.testing.assert_close(other, -one)


def test_dpo_stays_finite_and_ipo_comes_to_rest():
    far = torch.tensor([-1e4, 1e4], requires_grad=True)
    zero = torch.zeros(2)
    loss = dpo_loss(far, zero, zero, zero, beta=1.0)
    loss.backward()
    assert loss.item() == pytest.approx(5e3)
    torch.testing.assert_close(far.grad, torch.tensor([-0.5, 0.0]))
    gaps = torch.linspace(0, 10, 101)
    at = [dpo_loss(g[None], zero[:1], zero[:1], zero[:1], 0.1).item() for g in gaps]
    assert all(a > b for a, b in itertools.pairwise(at))  # never enough
    at = [ipo_loss(g[None], zero[:1], zero[:1], zero[:1], 0.1).item() for g in gaps]
    assert gaps[at.index(min(at))].item() == pytest.approx(5)  # 1 / (2 tau)


def test_lengths_are_taken_out():
    pc, pr, rc, rr = four()
    ones, lengths = torch.ones(6), torch.tensor([3, 5, 1, 8, 2, 2])
    torch.testing.assert_close(
        length_normalized_dpo_loss(pc, pr, rc, rr, ones, ones, 0.5), dpo_loss(pc, pr, rc, rr, 0.5)
    )
    # An answer that says everything twice: twice the sums, twice the length, the same loss.
    once = length_normalized_dpo_loss(pc, pr, rc, rr, lengths, lengths, 0.5)
    twice = length_normalized_dpo_loss(2 * pc, pr, 2 * rc, rr, 2 * lengths, lengths, 0.5)
    torch.testing.assert_close(twice, once)
    assert not torch.isclose(dpo_loss(2 * pc, pr, 2 * rc, rr, 0.5), dpo_loss(pc, pr, rc, rr, 0.5))
    simple = simpo_loss(pc, pr, lengths, lengths, 2.0, 0.7)
    torch.testing.assert_close(simpo_loss(2 * pc, pr, 2 * lengths, lengths, 2.0, 0.7), simple)


def test_simpo_by_hand():
    pc, pr, _, _ = four()
    lengths, others = torch.tensor([3, 5, 1, 8, 2, 2]), torch.tensor([4, 1, 1, 2, 9, 6])
    by_hand = reward_ranking_loss(2 * pc / lengths, 2 * pr / others, margin=0.7)
    torch.testing.assert_close(simpo_loss(pc, pr, lengths, others, 2.0, 0.7), by_hand)
    uniform = torch.zeros(6, dtype=torch.float64) - 1
    assert simpo_loss(uniform, uniform, lengths, lengths, 2.0).item() == pytest.approx(math.log(2))


def test_what_does_not_fit_is_refused():
    pc, pr, rc, rr = four()
    for loss in (dpo_loss, ipo_loss):
        with pytest.raises(ValueError, match=r"\(5,\).*differ"):
            loss(pc, pr, rc, rr[:5], 0.1)
        with pytest.raises(ValueError, match="=0"):
            loss(pc, pr, rc, rr, 0)
    with pytest.raises(ValueError, match="differ"):
        simpo_loss(pc, pr, torch.ones(6, 1), torch.ones(6), 1.0)


@pytest.mark.parametrize("beta", [0.5, 2.0])
def test_the_optimum_is_the_tilted_reference(beta):
    """All six answers of a small world, every comparison in its true share."""
    torch.manual_seed(0)
    rewards = torch.randn(6, dtype=torch.float64)
    reference = torch.randn(6, dtype=torch.float64).log_softmax(0)
    scores = reference.clone().requires_grad_()
    one, other = torch.tensor(list(itertools.permutations(range(6), 2))).T
    shares = torch.sigmoid(rewards[one] - rewards[other])

    def loss():
        logs = scores.log_softmax(0)
        each = [
            share * dpo_loss(logs[i], logs[j], reference[i], reference[j], beta)
            for share, i, j in zip(shares, one, other, strict=True)
        ]
        return torch.stack(each).sum()

    optimizer = torch.optim.LBFGS([scores], max_iter=200, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    optimizer.step(closure)
    tilted = (reference + rewards / beta).softmax(0)
    torch.testing.assert_close(scores.softmax(0), tilted, atol=1e-4, rtol=1e-3)


# --- log-probabilities of answers -----------------------------------------------------------------


def test_an_answer_is_the_sum_of_its_tokens():
    batch = pair_batch(TOKENIZER, PAIRS).chosen
    logits = model()(batch.ids, batch.mask)
    found = sequence_log_probabilities(logits, batch.targets)
    for row, targets in enumerate(batch.targets.tolist()):
        by_hand = sum(
            logits[row, place].softmax(-1)[token].log().item()
            for place, token in enumerate(targets)
            if token != -100
        )
        assert found[row].item() == pytest.approx(by_hand, rel=1e-4)
    wanted = [len(TOKENIZER.encode(pair.chosen)) + 1 for pair in PAIRS]
    assert sequence_lengths(batch.targets).tolist() == wanted
    assert sequence_log_probabilities(logits[:, :1], batch.targets[:, :1]).tolist() == [0] * 8


def test_the_predictions_of_prompt_and_padding_get_no_gradient():
    class Table(nn.Module):
        """Logits of its own at every place."""

        def __init__(self, shape, seed):
            super().__init__()
            torch.manual_seed(seed)
            self.logits = nn.Parameter(torch.randn(*shape))

        def forward(self, ids, mask):
            return self.logits

    batch = pair_batch(TOKENIZER, PAIRS)
    both = batch.joined
    policy, reference = (Table((*both.ids.shape, 400), seed) for seed in (0, 1))
    loss, _ = DPOLoss(policy, reference=reference)(batch)
    loss.backward()
    moved = policy.logits.grad.abs().sum(-1) > 0
    assert torch.equal(moved, both.targets != -100)
    assert moved.any(1).all()
    assert (~moved & both.mask).any(1).all()  # the prompts are real tokens
    assert reference.logits.grad is None
    alike, found = DPOLoss(policy, reference=copy.deepcopy(policy))(batch)
    assert alike.item() == pytest.approx(math.log(2))
    assert found["accuracy"] == 0.5  # all ties


# --- the module -----------------------------------------------------------------------------------


def test_it_starts_at_ln_2_with_no_distance():
    policy = model()
    reference = copy.deepcopy(policy)
    batch = pair_batch(TOKENIZER, PAIRS)
    value, others = DPOLoss(policy, reference=reference)(batch)
    assert value.item() == pytest.approx(math.log(2))
    assert others["margin"].item() == pytest.approx(0, abs=1e-4)
    assert others["kl"].item() == pytest.approx(0, abs=1e-4)
    assert others["chosen_logp"].item() < 0
    lengths = [sequence_lengths(side.targets).float().mean() for side in batch.texts]
    assert [others["chosen_length"], others["rejected_length"]] == lengths
    value.backward()
    assert all(weight.grad is None for weight in reference.parameters())
    assert all(weight.grad is not None for weight in policy.parameters())


@pytest.mark.parametrize(
    ("objective", "per_token"), list(itertools.product((dpo_loss, ipo_loss), (False, True)))
)
def test_the_module_is_its_functions(objective, per_token):
    policy, reference = model(0), model(1)
    batch = pair_batch(TOKENIZER, PAIRS)
    options = {"beta": 0.3, "objective": objective, "per_token": per_token}
    value, others = DPOLoss(policy, reference=reference, **options)(batch)
    logps = [
        sequence_log_probabilities(m(side.ids, side.mask), side.targets)
        for m in (policy, reference)
        for side in batch.texts
    ]
    lengths = [sequence_lengths(side.targets) for side in batch.texts]
    if not per_token:
        expected = objective(*logps, 0.3)
    elif objective is dpo_loss:
        expected = length_normalized_dpo_loss(*logps, *lengths, 0.3)
    else:
        expected = ipo_loss(*(x / n for x, n in zip(logps, lengths * 2, strict=True)), 0.3)
    torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-5)
    margins = 0.3 * ((logps[0] - logps[2]) - (logps[1] - logps[3]))
    assert others["margin"].item() == pytest.approx(margins.mean().item(), abs=1e-4)
    assert others["accuracy"].item() == (margins > 0).float().mean().item()
    assert others["rejected_logp"].item() == pytest.approx(logps[1].mean().item(), rel=1e-5)


def test_the_distance_is_that_of_the_answers_tokens():
    policy, reference = model(0), model(1)
    batch = pair_batch(TOKENIZER, PAIRS)
    found = DPOLoss(policy, reference=reference)(batch)[1]["kl"].item()
    both, kind = batch.joined, torch.distributions.Categorical
    ours, theirs = (kind(logits=m(both.ids, both.mask)) for m in (policy, reference))
    kl = torch.distributions.kl_divergence(ours, theirs)
    total = kl[both.targets != -100].sum().item() / len(both.ids)
    assert found == pytest.approx(total, rel=1e-4)
    assert found > 0


def test_the_reference_has_no_dropout_and_weights_of_its_own():
    policy = GPT(GPTConfig(**SIZES, dropout=0.3))
    loss = DPOLoss(policy, reference=copy.deepcopy(policy).train()).train()
    batch = pair_batch(TOKENIZER, PAIRS)
    assert loss(batch)[1]["kl"] > 0.01  # the policy drops out, the reference does not
    assert loss.eval()(batch)[1]["kl"].item() == pytest.approx(0, abs=1e-4)
    loss.train()
    assert policy.training
    assert not any(part.training for part in loss.reference.modules())
    assert not any(weight.requires_grad for weight in loss.reference.parameters())
    with pytest.raises(ValueError, match="deepcopy"):
        DPOLoss(policy, reference=policy)
    tied = GPT(GPTConfig(**SIZES))
    tied.token_embedding = policy.token_embedding
    with pytest.raises(ValueError, match="shares weights"):
        DPOLoss(policy, reference=tied)
    with pytest.raises(ValueError, match="beta=0"):
        DPOLoss(policy, reference=model(1), beta=0)


# --- runs -----------------------------------------------------------------------------------------


class ToyPairs:
    """Prompts of two tokens, answers of eight; the answer with more of token 5 is chosen."""

    def __init__(self, flips=0.0, first=0):
        self.flips, self.first = flips, first

    def batch(self, number):
        generator = torch.Generator().manual_seed(self.first + number)
        prompt = torch.randint(0, 8, (32, 2), generator=generator)
        answers = torch.randint(0, 8, (2, 32, 8), generator=generator)
        counts = (answers == 5).sum(-1) + 0.1 * torch.rand(2, 32, generator=generator)
        swap = counts[0] < counts[1]
        swap ^= torch.rand(32, generator=generator) < self.flips

        def side(answer):
            ids = torch.cat([prompt, answer], 1)
            targets = torch.cat([ids[:, 1:], ids.new_full((32, 1), -100)], 1)
            targets[:, 0] = -100  # the prompt's second token
            return Batch(ids=ids, targets=targets, mask=torch.ones_like(ids, dtype=torch.bool))

        one, other = answers
        return PreferenceBatch(
            side(one.where(~swap[:, None], other)), side(other.where(~swap[:, None], one))
        )


def toy_trainer(flips=0.0, objective=dpo_loss, beta=0.5, **config):
    torch.manual_seed(0)
    policy = GPT(GPTConfig(vocab_size=8, context_length=10, dim=32, num_layers=1, num_heads=2))
    make = functools.partial(
        DPOLoss, reference=copy.deepcopy(policy), beta=beta, objective=objective
    )
    config = TrainConfig(**{"steps": 80, "max_lr": 3e-3, "eval_batches": 10} | config)
    return Trainer(policy, config, ToyPairs(flips), ToyPairs(first=10**6), loss=make)


def share_of_fives(policy):
    generator = torch.Generator().manual_seed(0)
    prompts = torch.randint(0, 8, (200, 2), generator=generator)
    written = generate(policy.eval(), prompts, max_new_tokens=8, generator=generator)
    return (written[:, 2:] == 5).float().mean().item()


def test_it_learns_what_is_preferred():
    trainer = toy_trainer()
    before = share_of_fives(trainer.model)
    history = trainer.fit()
    assert history.column("loss")[0] == pytest.approx(math.log(2))
    assert history.column("kl")[0] == pytest.approx(0, abs=1e-6)
    assert history.column("kl")[-1] > 0.1
    assert history.column("margin")[-1] > 0.5
    assert trainer.measure()["eval_accuracy"] > 0.75  # a quarter of the pairs are ties
    assert before < 0.2 < 0.4 < share_of_fives(trainer.model)


def test_of_comparisons_by_chance_it_learns_nothing():
    trainer = toy_trainer(flips=0.5)
    trainer.fit()
    assert 0.25 < trainer.measure()["eval_accuracy"] < 0.75
    assert share_of_fives(trainer.model) < 0.3


def test_a_larger_beta_keeps_it_nearer():
    far, near = (toy_trainer(beta=beta).fit().column("kl")[-1] for beta in (0.2, 5.0))
    assert near < far / 2


def test_the_gap_of_ipo_stops_where_it_should():
    trainer = toy_trainer(objective=ipo_loss, beta=0.25)
    trainer.fit()
    found = trainer.measure()
    # The margin is beta times the gap: 1/2 where all pairs have what they are to have.
    assert 0.1 < found["eval_margin"] < 0.55
    assert found["eval_loss"] < 0.8 * trainer.history.column("loss")[0]


def test_a_batch_in_parts_is_the_same_batch():
    whole, parts = (toy_trainer(steps=3, accumulation=n).fit() for n in (1, 4))
    for name in ("loss", "kl", "margin", "chosen_length", "grad_norm"):
        assert parts.column(name) == pytest.approx(whole.column(name), rel=1e-4, abs=1e-6)


def test_a_resumed_run_is_the_same_run_bit_for_bit(tmp_path):
    whole = toy_trainer(steps=6)
    whole.fit()
    first = toy_trainer(steps=6)
    first.fit(until=3)
    first.save(tmp_path)
    second = toy_trainer(steps=6).resume(tmp_path)
    second.fit()
    assert second.history.rows == whole.history.rows
    for one, two in zip(whole.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(one, two)
