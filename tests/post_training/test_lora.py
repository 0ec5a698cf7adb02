"""LoRA: what it changes and what not, merging, and what is trained."""

import functools
import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from llmlib.generation import generate
from llmlib.models import GPT, GPTConfig, Llama, LlamaConfig
from llmlib.nn import Linear
from llmlib.post_training import (
    DoRALinear,
    LoRALinear,
    apply_lora,
    lora_layers,
    lora_parameters,
    lora_scale,
    merge_lora,
    rank_stabilized_scale,
    remove_lora,
)
from llmlib.training import AdamW, TrainConfig, Trainer, parameter_groups

KINDS = pytest.mark.parametrize("kind", [LoRALinear, DoRALinear])
SCALES = pytest.mark.parametrize("scale", [lora_scale, rank_stabilized_scale])


def llama(dtype=torch.float32):
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=32, context_length=16, dim=16, num_layers=2, num_heads=2, hidden_dim=24
    )
    return Llama(config).to(dtype).eval()


def gpt():
    torch.manual_seed(0)
    config = GPTConfig(vocab_size=32, context_length=16, dim=16, num_layers=2, num_heads=2)
    return GPT(config).eval()


def stir(model, seed=1):
    """Adapters as after a training: nothing is zero any more."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in lora_parameters(model):
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.add_(noise.to(parameter.dtype), alpha=0.1)
    return model


IDS = torch.arange(20).view(2, 10) % 32
EVERYTHING = ["q_proj", "k_proj", "v_proj", "out_proj", "gate_proj", "up_proj", "down_proj"]


# --- one layer ------------------------------------------------------------------------------------


def test_worked_example():
    base = nn.Linear(2, 2, bias=False)
    layer = LoRALinear(base, rank=1, alpha=2)
    with torch.no_grad():
        base.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
        layer.lora_A.copy_(torch.tensor([[1.0, 2.0]]))
        layer.lora_B.copy_(torch.tensor([[3.0], [0.0]]))
    # s B A = 2 * [[3, 6], [0, 0]], so W = [[7, 12], [0, 1]]
    assert_close(layer.weight, torch.tensor([[7.0, 12.0], [0.0, 1.0]]))
    assert_close(layer(torch.tensor([1.0, 1.0])), torch.tensor([19.0, 1.0]))


def test_dora_worked_example():
    base = nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        base.weight.copy_(torch.tensor([[3.0, 0.0]]))
    layer = DoRALinear(base, rank=1, alpha=1)
    assert layer.magnitude.tolist() == [3.0]
    with torch.no_grad():
        layer.lora_A.copy_(torch.tensor([[0.0, 4.0]]))
        layer.lora_B.copy_(torch.tensor([[1.0]]))
    # V = [3, 4] has length 5; W = 3 [3, 4] / 5: turned, and as long as before.
    assert_close(layer.weight, torch.tensor([[1.8, 2.4]]))
    assert_close(layer(torch.tensor([1.0, 1.0])), torch.tensor([4.2]))


def test_dora_takes_the_lengths_as_constants():
    torch.manual_seed(0)
    layer = DoRALinear(nn.Linear(5, 3), rank=2, alpha=4)
    stir(layer)
    x, length = torch.randn(7, 5), layer.direction().norm(dim=1).detach()
    layer(x).square().sum().backward()
    found = [p.grad.clone() for p in lora_parameters(layer)]
    layer.zero_grad()
    by_hand = (layer.magnitude / length)[:, None] * layer.direction()
    (x @ by_hand.T + layer.bias).square().sum().backward()
    assert_close(found, [p.grad for p in lora_parameters(layer)])


@KINDS
@SCALES
@pytest.mark.parametrize("bias", [True, False])
def test_the_weight_is_that_of_the_plain_layer_with_the_same_outputs(kind, scale, bias):
    torch.manual_seed(0)
    layer = stir(kind(Linear(7, 5, bias=bias), rank=3, alpha=2, scale=scale))
    x = torch.randn(2, 4, 7)
    assert not torch.allclose(layer(x), layer.base(x), atol=1e-3)
    assert_close(layer(x), nn.functional.linear(x, layer.weight, layer.bias))


@KINDS
def test_the_update_has_the_rank_it_was_given(kind):
    layer = stir(kind(Linear(12, 10), rank=3, alpha=2))
    assert torch.linalg.matrix_rank(layer.delta().detach()) == 3


def test_scales():
    assert lora_scale(16, 4) == 4
    assert rank_stabilized_scale(16, 4) == 8
    assert LoRALinear(nn.Linear(4, 4), 4, 16, scale=rank_stabilized_scale).scale == 8


def test_rank_stabilized_updates_keep_their_size():
    """The size of the update per step of B, at ranks 4 and 64; the paper's claim."""

    def size(rank, scale):
        torch.manual_seed(0)
        layer = LoRALinear(nn.Linear(256, 256), rank, 16, scale=scale)
        x = torch.randn(512, 256)
        layer(x).square().mean().backward()
        with torch.no_grad():
            layer.lora_B -= 0.01 * layer.lora_B.grad.sign()  # a first step of Adam
            return layer.update(x).std().item()

    plain = size(64, lora_scale) / size(4, lora_scale)
    stable = size(64, rank_stabilized_scale) / size(4, rank_stabilized_scale)
    assert plain < 0.35
    assert 0.7 < stable < 1.4


def test_dropout_acts_in_training_only():
    layer = stir(LoRALinear(nn.Linear(8, 8), 2, 4, dropout=0.5))
    x = torch.randn(3, 8)
    assert not torch.equal(layer.train()(x), layer(x))
    assert torch.equal(layer.eval()(x), layer(x))


# --- a model --------------------------------------------------------------------------------------


@KINDS
@pytest.mark.parametrize("make", [llama, gpt])
def test_nothing_changes_at_first(make, kind):
    plain = make()(IDS)
    model = apply_lora(make(), 4, 8, ["q_proj", "down_proj"], layer=kind)
    assert torch.equal(model(IDS), plain)


@KINDS
@SCALES
def test_merged_equals_unmerged(kind, scale):
    model = stir(apply_lora(llama(), 4, 8, EVERYTHING, layer=kind, scale=scale))
    plain, adapted = llama()(IDS), model(IDS)
    assert not torch.allclose(plain, adapted, atol=1e-2)
    merged = merge_lora(model)
    assert_close(merged(IDS), adapted)
    assert not list(lora_layers(merged))
    assert merged.state_dict().keys() == llama().state_dict().keys()


def test_removed_is_as_before():
    model = remove_lora(stir(apply_lora(llama(), 4, 8, EVERYTHING)))
    assert_close(model.state_dict(), llama().state_dict(), rtol=0, atol=0)


def test_merging_without_adapters_changes_nothing():
    assert_close(merge_lora(llama()).state_dict(), llama().state_dict(), rtol=0, atol=0)


def test_only_adapters_are_trained_and_have_optimizer_state():
    model = apply_lora(llama(), 2, 4, ["q_proj", "v_proj"])
    trained = [p for p in model.parameters() if p.requires_grad]
    assert {id(p) for p in trained} == {id(p) for p in lora_parameters(model)}
    before = {name: p.clone() for name, p in model.named_parameters()}
    optimizer = AdamW(parameter_groups(model, 0.1), lr=0.1)
    for _ in range(2):
        model.loss(IDS, IDS).backward()
        optimizer.step()
    moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {name for name, p in model.named_parameters() if p.requires_grad}
    in_state = sum(t.numel() for s in optimizer.state.values() for t in s.values() if t.dim())
    assert in_state == 2 * sum(p.numel() for p in lora_parameters(model))
    assert all(p.grad is None for p in model.parameters() if not p.requires_grad)


def test_the_first_step_moves_b_alone():
    """A gets no gradient as long as B is zero; both zero would never move."""
    model = apply_lora(llama(), 2, 4, ["q_proj"])
    model.loss(IDS, IDS).backward()
    for _, layer in lora_layers(model):
        assert not layer.lora_A.grad.any()
        assert layer.lora_B.grad.any()


def test_trainer_trains_it_and_resumes_bit_for_bit(tmp_path):
    tokens = torch.arange(400) % 7

    def run(model):
        return Trainer(
            model, TrainConfig(steps=20, batch_size=4, max_lr=3e-2, warmup_steps=1), tokens
        )

    def new():
        return apply_lora(llama(), 4, 8, EVERYTHING)

    whole = run(new())
    losses = whole.fit().column("loss")
    assert losses[-1] < losses[0] - 0.1
    half = run(new())
    half.fit(until=8)
    half.save(tmp_path)
    rest = run(new()).resume(tmp_path).fit().column("loss")
    assert rest == losses
    for name, parameter in llama().named_parameters():
        trained = dict(whole.model.named_parameters())
        kept = trained.get(name, trained.get(name.replace("_proj.", "_proj.base.")))
        assert torch.equal(kept, parameter), name


def test_generation_with_a_cache_reads_the_adapters():
    model = stir(apply_lora(llama(), 4, 8, EVERYTHING))
    options = {"max_new_tokens": 8, "temperature": 0.0}
    start = IDS[:1, :4]
    written = generate(model, start, **options)
    assert torch.equal(written, generate(model, start, cache=False, **options))
    assert torch.equal(written, generate(merge_lora(model), start, **options))


def test_half_precision_base_keeps_adapters_in_float32():
    model = apply_lora(llama(torch.bfloat16), 4, 8, ["q_proj"])
    assert {p.dtype for p in lora_parameters(model)} == {torch.float32}
    assert model(IDS).dtype == torch.bfloat16
    assert {p.dtype for p in merge_lora(stir(model)).parameters()} == {torch.bfloat16}


def test_a_layer_in_two_places_has_one_adapter():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(4, 4)
            self.second = self.first

        def forward(self, x):
            return self.second(self.first(x))

    model = Twice()
    plain = model.first
    apply_lora(model, 2, 4, ["first", "second"])
    assert model.first is model.second
    assert len(lora_parameters(model)) == 2
    stir(model)
    x = torch.randn(3, 4)
    adapted = model(x)
    assert_close(merge_lora(model)(x), adapted)
    assert model.first is model.second is plain


def test_a_tied_embedding_does_not_move_when_the_head_is_merged():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(6, 4)
            self.head = nn.Linear(4, 6, bias=False)
            self.head.weight = self.embedding.weight

        def forward(self, ids):
            return self.head(self.embedding(ids))

    model = Tied()
    before = model.embedding.weight.clone()
    stir(apply_lora(model, 2, 4, ["head"]))
    ids = torch.arange(6)
    adapted = model(ids)
    assert_close(merge_lora(model)(ids), adapted)
    assert torch.equal(model.embedding.weight, before)


def test_two_calls_train_both():
    model = apply_lora(llama(), 2, 4, ["q_proj"])
    apply_lora(model, 1, 4, ["v_proj"])
    assert {layer.rank for _, layer in lora_layers(model)} == {1, 2}
    assert all(p.requires_grad for p in lora_parameters(model))


def test_a_partial_sets_the_dropout():
    model = apply_lora(llama(), 2, 4, ["q_proj"], layer=functools.partial(LoRALinear, dropout=0.3))
    assert {layer.dropout for _, layer in lora_layers(model)} == {0.3}


def test_first_values_of_a():
    """As torch.nn.Linear draws them, so that they suit any width."""
    layer = LoRALinear(nn.Linear(400, 10), rank=50, alpha=1)
    assert layer.lora_A.abs().max() <= 1 / math.sqrt(400)
    assert_close(layer.lora_A.std().item(), 1 / math.sqrt(3 * 400), rtol=0.05, atol=0)


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("targets", "words"),
    [
        (["query"], "no layer is called 'query': .* down_proj, gate_proj"),
        ("q_proj", "give a list"),
        (["attention"], "is a MultiHeadAttention, but only linear layers"),
        (["token_embedding"], "is a TokenEmbedding"),
        (["proj"], "no layer is called 'proj'"),  # an ending is a whole part of the name
    ],
)
def test_targets_that_do_not_fit_are_refused(targets, words):
    with pytest.raises(ValueError, match=words):
        apply_lora(llama(), 2, 4, targets)


def test_a_second_adapter_on_a_layer_is_refused():
    with pytest.raises(ValueError, match="has an adapter already: call merge_lora or remove_lora"):
        apply_lora(apply_lora(llama(), 2, 4, ["q_proj"]), 2, 4, ["q_proj"])


@pytest.mark.parametrize(("options", "words"), [((0, 4, 0.0), "rank=0"), ((2, 4, 1.0), "dropout")])
def test_numbers_out_of_range_are_refused(options, words):
    rank, alpha, dropout = options
    with pytest.raises(ValueError, match=words):
        LoRALinear(nn.Linear(2, 2), rank, alpha, dropout=dropout)


def test_a_model_that_is_one_layer_is_refused():
    with pytest.raises(ValueError, match="put it into a Sequential"):
        apply_lora(nn.Linear(2, 2), 1, 1, [""])
