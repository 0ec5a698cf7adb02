"""Norms, feed-forward layers, experts, embeddings, blocks and the loss against their peers."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close

from llmlib.nn import (
    FeedForward,
    GatedFeedForward,
    LayerNorm,
    Linear,
    MixtureOfExperts,
    MultiHeadAttention,
    PostNormBlock,
    PreNormBlock,
    RMSNorm,
    SwiGLU,
    TokenEmbedding,
    causal_mask,
    fused_attention,
    gelu,
    linear_cross_entropy,
    load_balance_loss,
    make_activation,
    padding_mask,
)
from tests.parity.gradients import assert_same, with_weights

transformers = pytest.importorskip("transformers")

D, F_, V = 24, 40, 37


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def same_names(module):
    return {name: name for name, _ in module.named_parameters()}


@pytest.mark.parity(component="llmlib.nn.LayerNorm", peer="torch.nn.LayerNorm")
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("eps", [1e-12, 1e-5])
@pytest.mark.parametrize("shape", [(D,), (5, D), (2, 3, D)], ids=str)
def test_layer_norm(shape, eps, bias):
    ours, theirs = LayerNorm(D, eps=eps, bias=bias), nn.LayerNorm(D, eps=eps, bias=bias)
    pairs = with_weights(ours, theirs, same_names(ours))
    assert_same(ours, theirs, [torch.randn(shape) * 3 + 1], pairs)


@pytest.mark.parity(component="llmlib.nn.RMSNorm", peer="torch.nn.RMSNorm")
@pytest.mark.parametrize("eps", [1e-6, 1e-3])
@pytest.mark.parametrize("shape", [(D,), (5, D), (2, 3, D)], ids=str)
def test_rms_norm(shape, eps):
    ours, theirs = RMSNorm(D, eps=eps), nn.RMSNorm(D, eps=eps)
    pairs = with_weights(ours, theirs, same_names(ours))
    assert_same(ours, theirs, [torch.randn(shape) * 3 + 1], pairs)


@pytest.mark.parity(
    component="llmlib.nn.RMSNorm",
    peer="transformers LlamaRMSNorm",
    compared="output, in float32 and bfloat16",
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rms_norm_rounds_where_llama_does(dtype):
    from transformers.models.llama.modeling_llama import LlamaRMSNorm

    ours, theirs = RMSNorm(D).to(dtype), LlamaRMSNorm(D).to(dtype)
    with_weights(ours, theirs, same_names(ours))
    x = torch.randn(4, D, dtype=dtype)
    torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=0)


@pytest.mark.parity(component="llmlib.nn.gelu", peer="torch.nn.functional.gelu")
@pytest.mark.parametrize("form", ["none", "tanh"])
def test_gelu(form):
    x = torch.linspace(-8, 8, 101)
    assert_same(lambda x: gelu(x, tanh=form == "tanh"), lambda x: F.gelu(x, approximate=form), [x])


@pytest.mark.parity(component="llmlib.nn.Linear", peer="torch.nn.Linear")
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [1, 15, 16, 300], ids=lambda n: f"{n} rows")
def test_linear(rows, bias):
    ours, theirs = Linear(128, 256, bias=bias), nn.Linear(128, 256, bias=bias)
    pairs = with_weights(ours, theirs, same_names(ours))
    # Small numbers: sums over 300 rows in another order differ in the last bits.
    assert_same(ours, theirs, [torch.randn(rows, 128) * 0.1], pairs)


@pytest.mark.parity(component="llmlib.nn.FeedForward", peer="transformers GPT2MLP")
def test_feedforward():
    from transformers.models.gpt2.modeling_gpt2 import GPT2MLP

    theirs = GPT2MLP(F_, transformers.GPT2Config(n_embd=D, resid_pdrop=0.0))
    ours = FeedForward(D, F_)
    for p in theirs.parameters():
        nn.init.normal_(p, std=0.3)
    with torch.no_grad():  # their layers keep the matrix transposed
        for layer, peer in ((ours.up_proj, theirs.c_fc), (ours.down_proj, theirs.c_proj)):
            layer.weight.copy_(peer.weight.T)
            layer.bias.copy_(peer.bias)
    assert_same(ours, theirs, [torch.randn(2, 5, D)])


@pytest.mark.parity(component="llmlib.nn.FeedForward", peer="transformers T5DenseActDense")
def test_feedforward_of_t5():
    from transformers.models.t5.modeling_t5 import T5DenseActDense

    config = transformers.T5Config(d_model=D, d_ff=F_, dropout_rate=0.0, feed_forward_proj="relu")
    ours = FeedForward(D, F_, activation=make_activation("relu"), bias=False)
    theirs = T5DenseActDense(config)
    names = {"up_proj.weight": "wi.weight", "down_proj.weight": "wo.weight"}
    assert_same(ours, theirs, [torch.randn(2, 5, D)], with_weights(ours, theirs, names))


@pytest.mark.parity(component="llmlib.nn.SwiGLU", peer="transformers LlamaMLP")
@pytest.mark.parametrize("bias", [False, True])
def test_swiglu(bias):
    from transformers.models.llama.modeling_llama import LlamaMLP

    config = transformers.LlamaConfig(
        hidden_size=D, num_attention_heads=2, intermediate_size=F_, mlp_bias=bias
    )
    ours, theirs = SwiGLU(D, F_, bias=bias), LlamaMLP(config)
    pairs = with_weights(ours, theirs, same_names(ours))
    assert_same(ours, theirs, [torch.randn(2, 5, D)], pairs)


@pytest.mark.parity(
    component="llmlib.nn.GatedFeedForward", peer="transformers T5DenseGatedActDense"
)
def test_gated_feedforward():
    from transformers.models.t5.modeling_t5 import T5DenseGatedActDense

    config = transformers.T5Config(
        d_model=D, d_ff=F_, dropout_rate=0.0, feed_forward_proj="gated-gelu"
    )
    ours = GatedFeedForward(D, F_, activation=make_activation("gelu_tanh"))
    theirs = T5DenseGatedActDense(config)
    names = {
        "gate_proj.weight": "wi_0.weight",
        "up_proj.weight": "wi_1.weight",
        "down_proj.weight": "wo.weight",
    }
    assert_same(ours, theirs, [torch.randn(2, 5, D)], with_weights(ours, theirs, names))


@pytest.mark.parity(
    component="llmlib.nn.MixtureOfExperts", peer="transformers MixtralSparseMoeBlock"
)
@pytest.mark.parametrize(("experts", "top_k"), [(1, 1), (4, 1), (4, 2), (5, 3)])
def test_mixture_of_experts(experts, top_k):
    from transformers.models.mixtral.modeling_mixtral import MixtralSparseMoeBlock

    config = transformers.MixtralConfig(
        hidden_size=D, intermediate_size=F_, num_local_experts=experts, num_experts_per_tok=top_k
    )
    config._experts_implementation = "eager"
    theirs = MixtralSparseMoeBlock(config)
    ours = MixtureOfExperts(D, [SwiGLU(D, F_) for _ in range(experts)], top_k=top_k)
    for p in theirs.parameters():
        nn.init.normal_(p, std=0.3)
    with torch.no_grad():
        ours.router.weight.copy_(theirs.gate.weight)
        for number, expert in enumerate(ours.experts):
            gate, up = theirs.experts.gate_up_proj[number].chunk(2)
            expert.gate_proj.weight.copy_(gate)
            expert.up_proj.weight.copy_(up)
            expert.down_proj.weight.copy_(theirs.experts.down_proj[number])
    pairs = [(ours.router.weight, theirs.gate.weight)]
    assert_same(ours, theirs, [torch.randn(2, 7, D)], pairs)


@pytest.mark.parity(
    component="llmlib.nn.load_balance_loss", peer="transformers load_balancing_loss_func"
)
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("top_k", [1, 2])
def test_load_balance_loss(top_k, padded):
    from transformers.models.mixtral.modeling_mixtral import load_balancing_loss_func

    mask = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1], [1, 0, 0, 0]]).bool() if padded else None
    assert_same(
        lambda *layers: load_balance_loss(layers, top_k, mask),
        lambda *layers: load_balancing_loss_func(
            layers, 5, top_k, None if mask is None else mask.long()
        ),
        [torch.randn(12, 5), torch.randn(12, 5)],
    )


@pytest.mark.parity(component="llmlib.nn.TokenEmbedding", peer="torch.nn.Embedding")
@pytest.mark.parametrize("padding_id", [None, 3])
def test_embedding(padding_id):
    ours, theirs = TokenEmbedding(V, D, padding_id=padding_id), nn.Embedding(V, D, padding_id)
    pairs = with_weights(ours, theirs, same_names(ours))
    assert_same(ours, theirs, [torch.randint(0, 6, (2, 9))], pairs)


@pytest.mark.parity(
    component="llmlib.nn.linear_cross_entropy",
    peer="torch.nn.functional.cross_entropy of torch.nn.functional.linear",
)
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("ignored", [0, 4])
@pytest.mark.parametrize("chunk", [1, 40, 10**6], ids=lambda n: f"chunk {n}")
def test_linear_cross_entropy(chunk, ignored, bias, monkeypatch):
    monkeypatch.setattr("llmlib.nn.cross_entropy._CHUNK_NUMBERS", chunk)
    targets = torch.randint(0, V, (3, 5))
    targets[0, :ignored] = -100

    def theirs(hidden, weight, *bias):
        return F.cross_entropy(F.linear(hidden, weight, *bias).flatten(0, 1), targets.flatten())

    inputs = [torch.randn(3, 5, D), torch.randn(V, D)] + ([torch.randn(V)] if bias else [])
    assert_same(lambda h, w, *b: linear_cross_entropy(h, w, targets, *b), theirs, inputs)


@pytest.mark.parity(
    component="llmlib.nn.fused_attention",
    peer="torch.nn.functional.scaled_dot_product_attention",
)
@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@pytest.mark.parametrize("lengths", [(6, 6), (3, 7), (1, 7)], ids=str)
def test_fused_attention(lengths, kv_heads):
    T, S = lengths

    def theirs(query, key, value):
        key, value = (x.repeat_interleave(4 // kv_heads, dim=1) for x in (key, value))
        return F.scaled_dot_product_attention(query, key, value, attn_mask=causal_mask(T, S))

    inputs = [torch.randn(2, heads, n, 8) for heads, n in ((4, T), (kv_heads, S), (kv_heads, S))]
    assert_same(lambda *qkv: fused_attention(*qkv, causal=True), theirs, inputs)


NORMS = {"attention_norm": "norm1", "feedforward_norm": "norm2"}


def block_pairs(ours, theirs, cross):
    """Pairs of a block and a torch.nn layer, whose attentions stack their projections."""
    norms = {"attention_norm": "norm1"}
    norms |= {"cross_norm": "norm2", "feedforward_norm": "norm3"} if cross else NORMS
    names = norms | {"feedforward.up_proj": "linear1", "feedforward.down_proj": "linear2"}
    mine, other = dict(ours.named_parameters()), dict(theirs.named_parameters())
    for parameter in other.values():
        nn.init.normal_(parameter, std=0.3)
    pairs = []
    for part in ("weight", "bias"):
        pairs += [(mine[f"{a}.{part}"], other[f"{b}.{part}"]) for a, b in names.items()]
    stacked = {"attention": "self_attn"} | ({"cross_attention": "multihead_attn"} if cross else {})
    with torch.no_grad():
        for our, their in pairs:
            our.copy_(their)
        for a, b in stacked.items():
            for part in ("weight", "bias"):
                thirds = other[f"{b}.in_proj_{part}"].chunk(3)
                for name, third in zip("qkv", thirds, strict=True):
                    mine[f"{a}.{name}_proj.{part}"].copy_(third)
                mine[f"{a}.out_proj.{part}"].copy_(other[f"{b}.out_proj.{part}"])
    return pairs


def make_block(kind, cross):
    return kind(
        MultiHeadAttention(D, 4),
        LayerNorm(D),
        FeedForward(D, F_, activation=nn.ReLU()),
        LayerNorm(D),
        cross_attention=MultiHeadAttention(D, 4) if cross else None,
        cross_norm=LayerNorm(D) if cross else None,
    )


@pytest.mark.parity(
    component="llmlib.nn.PreNormBlock and PostNormBlock", peer="torch.nn.TransformerEncoderLayer"
)
@pytest.mark.parametrize("pre", [True, False], ids=["pre", "post"])
@pytest.mark.parametrize("padded", [True, False])
def test_encoder_block(padded, pre):
    ours = make_block(PreNormBlock if pre else PostNormBlock, cross=False)
    theirs = nn.TransformerEncoderLayer(D, 4, F_, dropout=0.0, batch_first=True, norm_first=pre)
    pairs = block_pairs(ours, theirs, cross=False)
    mask = padding_mask([5, 3], max_len=5) if padded else None
    hidden = None if mask is None else ~mask[:, 0, 0]
    assert_same(
        lambda x: ours(x, mask=mask),
        lambda x: theirs(x, src_key_padding_mask=hidden),
        [torch.randn(2, 5, D)],
        pairs,
    )


@pytest.mark.parity(
    component="llmlib.nn.PreNormBlock and PostNormBlock", peer="torch.nn.TransformerDecoderLayer"
)
@pytest.mark.parametrize("pre", [True, False], ids=["pre", "post"])
def test_decoder_block(pre):
    ours = make_block(PreNormBlock if pre else PostNormBlock, cross=True)
    theirs = nn.TransformerDecoderLayer(D, 4, F_, dropout=0.0, batch_first=True, norm_first=pre)
    pairs = block_pairs(ours, theirs, cross=True)
    mask = padding_mask([7, 2], max_len=7)
    assert_same(
        lambda x, memory: ours(x, memory, causal=True, memory_mask=mask),
        lambda x, memory: theirs(
            x,
            memory,
            tgt_mask=~causal_mask(5),
            tgt_is_causal=True,
            memory_key_padding_mask=~mask[:, 0, 0],
        ),
        [torch.randn(2, 5, D), torch.randn(2, 7, D)],
        pairs,
    )


@pytest.mark.parity(
    component="llmlib.nn.MultiHeadAttention",
    peer="transformers Qwen3Attention",
    compared="output: rotary positions, query and key norms, grouped heads, window",
)
@pytest.mark.parametrize("window", [None, 3])
def test_attention_with_all_its_modules(window):
    from transformers.models.qwen3.modeling_qwen3 import Qwen3Attention, Qwen3RotaryEmbedding

    from llmlib.nn import RotaryEmbedding, window_mask

    config = transformers.Qwen3Config(
        hidden_size=D, num_attention_heads=4, num_key_value_heads=2, head_dim=8,
        attn_implementation="sdpa",
    )  # fmt: skip
    theirs = Qwen3Attention(config, layer_idx=0)
    ours = MultiHeadAttention(
        D, 4, num_kv_heads=2, head_dim=8, bias=False, rotary=RotaryEmbedding(8),
        query_norm=RMSNorm(8), key_norm=RMSNorm(8), window=window,
    )  # fmt: skip
    names = {f"{name}_proj.weight": f"{name}_proj.weight" for name in "qkv"}
    names |= {"out_proj.weight": "o_proj.weight"}
    names |= {"query_norm.weight": "q_norm.weight", "key_norm.weight": "k_norm.weight"}
    with_weights(ours, theirs, names)
    x, positions = torch.randn(2, 6, D), torch.arange(6)[None]
    angles = Qwen3RotaryEmbedding(config)(x, positions)
    mask = window_mask(6, window=window or 6)[None, None]
    assert_close(ours(x, causal=True), theirs(x, angles, mask)[0])
