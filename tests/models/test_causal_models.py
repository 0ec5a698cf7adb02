"""What every decoder-only language model promises, whatever its parts."""

from math import log

import pytest
import torch
from torch.testing import assert_close

from llmlib.models import GPT, ExpertsConfig, GPTConfig, Llama, LlamaConfig
from llmlib.nn import Llama3RopeScaling

V, CONTEXT, B = 50, 24, 3
GPT_SIZES = {"vocab_size": V, "context_length": CONTEXT, "dim": 32, "num_layers": 2, "num_heads": 4}
LLAMA_SIZES = GPT_SIZES | {"num_kv_heads": 2, "hidden_dim": 48}
SCALING = Llama3RopeScaling(
    factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0, original_context=8
)
CONFIGS = {
    "gpt": GPTConfig(**GPT_SIZES),
    "gpt untied": GPTConfig(**GPT_SIZES, tie_embeddings=False, activation="relu", hidden_dim=20),
    "llama": LlamaConfig(**LLAMA_SIZES),
    "llama tied": LlamaConfig(**LLAMA_SIZES, tie_embeddings=True, rope_scaling=SCALING),
    "mistral": LlamaConfig(**LLAMA_SIZES, window=3),
    "mixtral": LlamaConfig(**LLAMA_SIZES, experts=ExpertsConfig(count=4, top_k=2)),
    "qwen2": LlamaConfig(**LLAMA_SIZES, attention_bias="qkv"),
    "qwen3": LlamaConfig(**LLAMA_SIZES, qk_norm=True, head_dim=6),
}
every_model = pytest.mark.parametrize("name", sorted(CONFIGS))


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def build(name):
    config = CONFIGS[name]
    return (GPT if isinstance(config, GPTConfig) else Llama)(config)


def draw(*shape):
    return torch.randint(0, V, shape)


@every_model
def test_knows_nothing_at_the_start(name):
    model = build(name)
    assert abs(model.loss(draw(8, CONTEXT), draw(8, CONTEXT)).item() - log(V)) < 0.1


@every_model
def test_a_later_token_changes_no_earlier_logit(name):
    model = build(name).eval()
    ids = draw(B, CONTEXT)
    changed = ids.clone()
    changed[:, 10] = (changed[:, 10] + 1) % V
    before, after = model(ids), model(changed)
    # Not bit for bit: experts see other batches, and sums may be taken in another order.
    assert_close(after[:, :10], before[:, :10])
    assert (after[:, 10] - before[:, 10]).abs().amax() > 1e-3


@every_model
def test_loss_is_the_cross_entropy_of_the_logits(name):
    model = build(name)
    ids, targets = draw(B, CONTEXT), draw(B, CONTEXT)
    targets[0, :5] = -100
    plain = torch.nn.functional.cross_entropy(model(ids).flatten(0, 1), targets.flatten())
    assert_close(model.loss(ids, targets), plain)


@every_model
@pytest.mark.parametrize("steps", [[CONTEXT], [1] * CONTEXT, [10, 1, 1, 12]], ids=str)
def test_cached_equals_uncached(name, steps):
    model = build(name).eval()
    ids = draw(B, CONTEXT)
    cache = model.new_cache(B)
    with torch.no_grad():
        parts = [model(part, cache=cache) for part in ids.split(steps, dim=1)]
        assert_close(torch.cat(parts, dim=1), model(ids))
    assert cache.length == cache.max_len == CONTEXT


@every_model
def test_a_left_padded_batch_gives_what_each_text_gives_alone(name):
    model = build(name).eval()
    texts = [draw(length) for length in (12, 7, 1)]
    longest, new = 12, 5
    ids = torch.zeros(3, longest, dtype=torch.long)
    real = torch.zeros(3, longest, dtype=torch.bool)
    for row, text in enumerate(texts):
        ids[row, longest - len(text) :] = text
        real[row, longest - len(text) :] = True
    positions = (real.cumsum(1) - 1).clamp(min=0)
    following = draw(3, new)
    cache = model.new_cache(3, longest + new)
    with torch.no_grad():
        outputs = [model(ids, real, positions=positions, cache=cache)[:, -1:]]
        for step in range(new):
            real = torch.cat((real, torch.ones(3, 1, dtype=torch.bool)), dim=1)
            positions = positions[:, -1:] + 1
            token = following[:, step : step + 1]
            outputs.append(model(token, real, positions=positions, cache=cache))
        together = torch.cat(outputs, dim=1)  # (3, 1 + new, V)
        for row, text in enumerate(texts):
            alone = model(torch.cat((text, following[row]))[None])[0, len(text) - 1 :]
            assert_close(together[row], alone)


@every_model
def test_what_stands_in_the_padding_changes_nothing(name):
    model = build(name).eval()
    real = torch.arange(CONTEXT) < torch.tensor([[CONTEXT], [9], [4]])
    ids = draw(B, CONTEXT)
    other = torch.where(real, ids, draw(B, CONTEXT))
    assert_close(model(other, real)[real], model(ids, real)[real])


@every_model
def test_documents_in_one_row_give_what_each_gives_alone(name):
    model = build(name).eval()
    texts = [draw(length) for length in (5, 1, 9, 6)]
    numbers = torch.cat([torch.full((len(text),), i) for i, text in enumerate(texts)])
    row = torch.cat(texts)
    together = model(torch.stack((row, row)), documents=torch.stack((numbers, 0 * numbers)))
    alone = torch.cat([model(text[None])[0] for text in texts])
    assert_close(together[0], alone)
    assert_close(together[1], model(row[None])[0])  # all one document
    loss = model.loss(row[None, :-1], row[None, 1:], documents=numbers[None, :-1])
    expected = torch.nn.functional.cross_entropy(alone[:-1], row[1:])
    assert_close(loss, expected)


def train(model, batches, lr):
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    losses = []
    for ids in batches:
        loss = model.loss(ids[:, :-1], ids[:, 1:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@every_model
def test_one_batch_can_be_learned_by_heart(name):
    batch = draw(2, 12)
    losses = train(build(name), [batch] * 60, lr=1e-2)
    assert losses[-1] < 0.1 * losses[0]


@pytest.mark.parametrize("name", ["gpt", "llama"])
def test_random_tokens_cannot_be_learned(name):
    losses = train(build(name), [draw(16, 16) for _ in range(80)], lr=3e-3)
    # Fresh noise each time: nothing below ln V, whatever is learned.
    assert sum(losses[-20:]) / 20 > log(V) - 0.03


@every_model
def test_every_parameter_is_used(name):
    model = build(name)
    model.loss(draw(4, CONTEXT), draw(4, CONTEXT)).backward()
    idle = [key for key, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert idle == []


def test_gpt_has_the_parameters_of_gpt2():
    with torch.device("meta"):
        assert GPT(GPTConfig()).num_parameters == 124_439_808


def test_llama_has_the_parameters_of_llama_2():
    with torch.device("meta"):
        assert Llama(LlamaConfig()).num_parameters == 6_738_415_616


def test_the_padding_embedding_is_not_trained():
    model = Llama(LlamaConfig(**LLAMA_SIZES, padding_id=0))
    model.loss(torch.zeros(1, 4, dtype=torch.long), torch.ones(1, 4, dtype=torch.long)).backward()
    assert not model.token_embedding.weight.grad.any()


def test_dropout_acts_in_training_only():
    model = GPT(GPTConfig(**GPT_SIZES, dropout=0.5))
    ids = draw(1, 8)
    assert not torch.equal(model(ids), model(ids))
    model.eval()
    assert torch.equal(model(ids), model(ids))


def continued(model, **options):
    cache = model.new_cache(1)
    with torch.no_grad():
        model(draw(1, 3), cache=cache)
        return model(draw(1, 1), cache=cache, **options)


@every_model
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m(draw(1, CONTEXT + 1)), "25 tokens, but context_length=24"),
        (lambda m: m(torch.tensor([[0, V]])), f"0 to {V}.*0..{V - 1}"),
        (lambda m: m(torch.tensor([[-1]])), "-1 to -1"),
        (lambda m: m(draw(5)), r"\(5,\).*ids\[None\]"),
        (lambda m: m(draw(1, 0)), r"\(1, 0\).*at least one token"),
        (lambda m: m(torch.zeros(1, 3)), "torch.float32"),
        (lambda m: m(draw(1, 3), torch.ones(1, 3)), "mask has dtype torch.float32"),
        (lambda m: m(draw(1, 3), torch.ones(1, 4).bool()), r"\(1, 4\).*\(1, 3\)"),
        (lambda m: m(draw(2, 3), torch.ones(1, 3).bool()), r"\(1, 3\).*\(2, 3\)"),
        (lambda m: m(draw(1, 9), cache=m.new_cache(1, 8)), "9 tokens.*room for 8"),
        (lambda m: m(draw(1, 4), documents=draw(4)), r"documents have shape \(4,\)"),
        (lambda m: continued(m, documents=torch.zeros(1, 1)), "documents with a cache of 3"),
        (lambda m: m.loss(draw(1, 3), draw(1, 4)), r"targets have shape \(1, 4\)"),
        (lambda m: m.loss(draw(1, 3), torch.full((1, 3), V)), f"target {V} names no token"),
    ],
)
def test_errors_of_a_call(name, call, message):
    with pytest.raises(ValueError, match=message):
        call(build(name))


def test_a_full_cache_names_the_context():
    model = build("llama").eval()
    cache = model.new_cache(1, CONTEXT + 5)
    with torch.no_grad():
        model(draw(1, CONTEXT), cache=cache)
        with pytest.raises(ValueError, match=r"25 tokens \(24 of them cached\)"):
            model(draw(1, 1), cache=cache)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GPT(GPTConfig(**GPT_SIZES | {"num_heads": 5})), "num_heads=5.*dim=32"),
        (lambda: GPTConfig(**GPT_SIZES | {"num_layers": 0}), "num_layers"),
        (lambda: GPT(GPTConfig(**GPT_SIZES, activation="step")), "'step' is not known"),
        (lambda: Llama(LlamaConfig(**LLAMA_SIZES | {"num_heads": 5})), "num_heads=5.*dim=32"),
        (lambda: Llama(LlamaConfig(**LLAMA_SIZES | {"num_kv_heads": 3})), "num_kv_heads=3"),
        (lambda: Llama(LlamaConfig(**LLAMA_SIZES, head_dim=5)), "head_dim=5.*even"),
        (lambda: LlamaConfig(**LLAMA_SIZES, attention_bias="some"), "'some' is not known"),
        (lambda: build("llama").balance_loss(), "without experts"),
        (lambda: build("mixtral").balance_loss(), "no token has been routed"),
    ],
)
def test_errors_of_a_config(make, message):
    with pytest.raises(ValueError, match=message):
        make()
