"""The reward model: its loss, what it reads, how it learns, how it is stored."""

import functools
import itertools
import math

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from llmlib.data import preference_pairs
from llmlib.models import GPT, GPTConfig, Llama, LlamaConfig
from llmlib.post_training.preference_batches import (
    PreferenceBatches,
    answer_batch,
    pair_batch,
)
from llmlib.post_training.reward import (
    RewardLoss,
    RewardModel,
    pair_accuracy,
    reward_ranking_loss,
)
from llmlib.post_training.reward_files import load_reward_model, save_reward_model
from llmlib.tokenizers import BPETokenizer, ChatTemplate
from llmlib.training import TrainConfig, Trainer

MARKS = ["<|end|>", "<|user|>", "<|assistant|>"]
PAIRS = list(preference_pairs(24, seed=1))
TOKENIZER = BPETokenizer.train(
    [pair.chosen for pair in PAIRS], 400, special_tokens=MARKS, pattern="qwen2"
)
SIZES = {"vocab_size": 400, "context_length": 512, "dim": 32, "num_layers": 2, "num_heads": 2}


def model(seed=0, kind=Llama):
    torch.manual_seed(seed)
    config = LlamaConfig(**SIZES, tie_embeddings=True) if kind is Llama else GPTConfig(**SIZES)
    found = RewardModel(kind(config))
    torch.nn.init.normal_(found.head.weight)  # opinions
    return found


def test_the_loss_is_the_likelihood_of_the_comparisons():
    torch.manual_seed(0)
    chosen, rejected = torch.randn(2, 50, dtype=torch.float64).mul(3).unbind()
    by_hand = -sum(
        math.log(1 / (1 + math.exp(b - a)))
        for a, b in zip(chosen.tolist(), rejected.tolist(), strict=True)
    )
    assert reward_ranking_loss(chosen, rejected).item() == pytest.approx(by_hand / 50)
    as_classes = binary_cross_entropy_with_logits(chosen - rejected - 0.5, torch.ones(50).double())
    assert reward_ranking_loss(chosen, rejected, margin=0.5).item() == pytest.approx(
        as_classes.item()
    )


def test_the_loss_knows_differences_only_and_stays_finite():
    chosen = torch.tensor([200.0, -300.0], requires_grad=True)
    rejected = torch.tensor([-200.0, 300.0], requires_grad=True)
    loss = reward_ranking_loss(chosen, rejected)
    assert loss.item() == pytest.approx(300)
    loss.backward()
    # The gradient of a pair is minus the probability that was given to the other order.
    torch.testing.assert_close(chosen.grad, torch.tensor([0.0, -0.5]))
    torch.testing.assert_close(rejected.grad, -chosen.grad)
    shifted = reward_ranking_loss(chosen.detach() + 7, rejected.detach() + 7)
    assert shifted.item() == loss.item()


def test_shapes_that_differ_are_refused():
    with pytest.raises(ValueError, match=r"\(3,\).*\(2,\)"):
        reward_ranking_loss(torch.zeros(3), torch.zeros(2))


def test_ties_count_half():
    zeros = torch.zeros(4)
    assert pair_accuracy(zeros, zeros) == 0.5
    assert pair_accuracy(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 0.0])) == 0.75


@pytest.mark.parametrize("kind", [Llama, GPT])
def test_a_text_has_the_same_reward_alone_and_in_a_padded_batch(kind):
    reward = model(kind=kind).eval()
    batch = pair_batch(TOKENIZER, PAIRS[:6]).joined
    together = reward(batch.ids, batch.mask)
    alone = [reward(ids[mask][None])[0] for ids, mask in zip(batch.ids, batch.mask, strict=True)]
    torch.testing.assert_close(together, torch.stack(alone), atol=1e-5, rtol=1e-4)
    noise = torch.where(batch.mask, batch.ids, torch.randint(0, 400, batch.ids.shape))
    torch.testing.assert_close(reward(noise, batch.mask), together)
    # Padding on the left, with positions.
    size = batch.ids.shape[1]
    shift = size - batch.mask.sum(1)
    columns = (torch.arange(size) - shift[:, None]) % size
    ids, mask = batch.ids.gather(1, columns), batch.mask.gather(1, columns)
    left = reward(ids, mask, positions=(mask.cumsum(1) - 1).clamp(min=0))
    torch.testing.assert_close(left, together, atol=1e-5, rtol=1e-4)


def test_the_last_token_is_read_and_a_token_after_it_is_not():
    reward = model().eval()
    batch = answer_batch(TOKENIZER, ["Hi?"], ["Hello there."])
    full = reward.at_each_token(batch.ids)[0]
    assert reward(batch.ids)[0] == full[-1]
    assert batch.ids[0, -1] == TOKENIZER.special_tokens["<|end|>"]
    shorter = torch.ones_like(batch.ids, dtype=torch.bool)
    shorter[0, -2:] = False
    assert reward(batch.ids, shorter)[0].item() == pytest.approx(full[-3].item(), rel=1e-4)


def test_judging_lists_is_judging_the_batch():
    reward = model().eval()
    template = ChatTemplate()
    prompts = [
        TOKENIZER.encode(
            template.render(
                [{"role": "user", "content": pair.instruction.prompt}], generation_prompt=True
            )
        )
        for pair in PAIRS[:7]
    ]
    answers = [TOKENIZER.encode(pair.chosen + "<|end|>") for pair in PAIRS[:7]]
    batch = pair_batch(TOKENIZER, PAIRS[:7]).chosen
    expected = reward(batch.ids, batch.mask)
    found = reward.judge(prompts, answers, size=3)
    torch.testing.assert_close(found, expected.detach(), atol=1e-5, rtol=1e-4)
    assert not found.requires_grad


def test_centring_shifts_every_reward_and_no_probability():
    reward = model().eval()
    batch = pair_batch(TOKENIZER, PAIRS)
    sides = [reward(side.ids, side.mask).detach() for side in batch.texts]
    reward.centre(sides[0])
    after = [reward(side.ids, side.mask).detach() for side in batch.texts]
    assert after[0].mean().item() == pytest.approx(0, abs=1e-5)
    torch.testing.assert_close(after[0] - after[1], sides[0] - sides[1])


def test_batches_hold_the_pairs_and_learn_answers_only():
    source = PreferenceBatches(TOKENIZER, size=4, seed=3)
    batch, pairs = source.batch(2), source.pairs(2)
    for side, texts in (
        (batch.chosen, [pair.chosen for pair in pairs]),
        (batch.rejected, [pair.rejected for pair in pairs]),
    ):
        for row, text in enumerate(texts):
            learned = side.targets[row][side.targets[row] >= 0].tolist()
            assert TOKENIZER.decode(learned) == text + "<|end|>"
            real = side.ids[row][side.mask[row]].tolist()
            prompt = pairs[row].instruction.prompt
            assert TOKENIZER.decode(real) == (
                f"<|end|><|user|>{prompt}<|end|><|assistant|>{text}<|end|>"
            )
    assert torch.equal(source.batch(2).chosen.ids, batch.chosen.ids)
    other = PreferenceBatches(TOKENIZER, size=4, seed=4)
    assert other.pairs(2) != pairs
    joined = batch.joined
    assert joined.ids.shape[0] == 8
    torch.testing.assert_close(joined.mask.sum(1)[4:], batch.rejected.mask.sum(1))
    part = batch.rows(1, 3)
    assert len(part) == 2
    assert torch.equal(part.rejected.ids, batch.rejected.ids[1:3])


def test_a_list_of_pairs_comes_whole_in_every_epoch_and_in_new_orders():
    source = PreferenceBatches(TOKENIZER, size=4, pairs=PAIRS)
    epochs = [[p for n in range(6) for p in source.pairs(6 * e + n)] for e in range(2)]
    for epoch in epochs:
        assert sorted(map(str, epoch)) == sorted(map(str, PAIRS))
    assert epochs[0] != epochs[1]
    with pytest.raises(ValueError, match="3 pairs"):
        PreferenceBatches(TOKENIZER, size=4, pairs=PAIRS[:3])
    with pytest.raises(ValueError, match="size=0"):
        PreferenceBatches(TOKENIZER, size=0)


def toy_batches(flips=0.0):
    """Texts of random tokens; the one with more of token 5 is chosen."""
    from llmlib.post_training.preference_batches import PreferenceBatch
    from llmlib.training import Batch

    class Source:
        def batch(self, number):
            generator = torch.Generator().manual_seed(number)
            ids = torch.randint(0, 8, (2, 32, 10), generator=generator)
            counts = (ids == 5).sum(-1) + 0.1 * torch.rand(2, 32, generator=generator)
            swap = counts[0] < counts[1]
            swap ^= torch.rand(32, generator=generator) < flips
            chosen = ids[0].where(~swap[:, None], ids[1])
            rejected = ids[1].where(~swap[:, None], ids[0])
            mask = torch.ones(32, 10, dtype=torch.bool)
            sides = (Batch(ids=x, targets=x, mask=mask) for x in (chosen, rejected))
            return PreferenceBatch(*sides)

    return Source()


def toy_trainer(flips=0.0, loss=RewardLoss, **config):
    torch.manual_seed(0)
    body = GPT(GPTConfig(vocab_size=8, context_length=10, dim=32, num_layers=1, num_heads=2))
    config = TrainConfig(**{"steps": 300, "max_lr": 5e-3, "eval_batches": 20} | config)
    data = toy_batches(flips)
    reward = RewardModel(body)
    return Trainer(reward, config, data, toy_batches(), loss=loss)


def test_it_starts_at_ln_2_and_learns_a_taste():
    trainer = toy_trainer()
    history = trainer.fit()
    assert history.column("loss")[0] == pytest.approx(math.log(2))
    assert history.column("accuracy")[0] == 0.5
    assert trainer.measure()["eval_accuracy"] > 0.8  # a quarter of the pairs are ties
    assert history.column("margin")[-1] > 1


def test_on_comparisons_by_chance_it_learns_nothing():
    trainer = toy_trainer(flips=0.5)
    trainer.fit()
    assert 0.25 < trainer.measure()["eval_accuracy"] < 0.75
    assert trainer.history.column("loss")[-1] > 0.6


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


def test_centring_in_the_loss_pulls_rewards_to_zero():
    reward, batch = model(), pair_batch(TOKENIZER, PAIRS[:8])
    loss, _ = RewardLoss(reward, center=0.1)(batch)
    sides = reward(batch.joined.ids, batch.joined.mask).chunk(2)
    plain = reward_ranking_loss(*sides) + 0.1 * (sides[0] + sides[1]).square().mean()
    torch.testing.assert_close(loss, plain)
    means = []
    for center in (0.0, 0.1):
        trainer = toy_trainer(steps=40, loss=functools.partial(RewardLoss, center=center))
        with torch.no_grad():
            trainer.model.body.norm.bias.fill_(0.5)
            trainer.model.head.weight.fill_(0.5)  # all rewards begin near 8
        trainer.fit()
        both = toy_batches().batch(999).joined
        means.append(trainer.model(both.ids, both.mask).mean().abs().item())
    assert means[1] < 2 < 4 < means[0]


def test_bias_of_length_alone_is_not_in_the_data():
    """A judge that only looks at length is right in half of the pairs."""
    pairs = list(itertools.islice(preference_pairs(None, seed=9), 500))
    longer = [len(pair.chosen) > len(pair.rejected) for pair in pairs]
    assert 0.4 < sum(longer) / len(longer) < 0.6


def test_saved_and_loaded_it_gives_the_same_rewards(tmp_path):
    for kind in (Llama, GPT):
        reward = model(kind=kind).eval()
        reward.centre(torch.tensor([2.0, 3.0]))
        save_reward_model(reward, TOKENIZER, tmp_path / kind.__name__, pad_token_id=7)
        again, tokenizer = load_reward_model(tmp_path / kind.__name__)
        batch = pair_batch(tokenizer, PAIRS[:4]).joined
        assert again.offset == 2.5
        assert torch.equal(again(batch.ids, batch.mask), reward(batch.ids, batch.mask))
        half = reward.half()
        save_reward_model(half, TOKENIZER, tmp_path / "half", pad_token_id=7)
        assert load_reward_model(tmp_path / "half")[0].head.weight.dtype == torch.float16
        wide, _ = load_reward_model(tmp_path / "half", dtype=torch.float32)
        assert wide.head.weight.dtype == torch.float32


def test_folders_that_hold_no_reward_model_are_refused(tmp_path):
    from llmlib.interop import save_pretrained

    with pytest.raises(FileNotFoundError, match=r"config\.json"):
        load_reward_model(tmp_path)
    save_pretrained(model().body, None, tmp_path)
    with pytest.raises(ValueError, match="no reward model"):
        load_reward_model(tmp_path)
    with pytest.raises(ValueError, match="ends a text"):
        save_reward_model(model(), None, tmp_path, pad_token_id=3, eos_token_id=3)
