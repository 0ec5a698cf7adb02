"""GPT and Llama against transformers over a grid of small random models."""

from itertools import product

import pytest
import torch

from tests.parity.models import assert_same_model, draw

transformers = pytest.importorskip("transformers")

B, T = 3, 11
SPECIAL = {"bos_token_id": 1, "eos_token_id": 2}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)
    transformers.logging.set_verbosity_error()


def padding(side):
    """Which of the B times T places are real."""
    lengths = torch.tensor([[T], [T - 4], [1]])
    places = torch.arange(T)[None]
    return {
        "none": torch.ones(B, T, dtype=torch.bool),
        "right": places < lengths,
        "left": places >= T - lengths,
    }[side]


def compare(config, side):
    theirs = draw(transformers.AutoModelForCausalLM.from_config(config))
    ids = torch.randint(0, config.vocab_size, (B, T))
    real = padding(side)
    mask = None if side == "none" else real
    return assert_same_model(
        theirs,
        lambda ours: ours(ids, mask),
        lambda theirs: theirs(ids, attention_mask=real.long(), use_cache=False).logits,
        counted=real,
    )


@pytest.mark.parity(
    component="llmlib.models.GPT",
    peer="transformers GPT2LMHeadModel",
    compared="logits, gradients of all parameters, weights on the way back",
)
@pytest.mark.parametrize(
    ("tied", "sizes", "activation", "side"),
    [
        *product([True, False], [(37, 24, 1, 2, None)], ["gelu_new"], ["none", "left", "right"]),
        *product([True, False], [(50, 32, 3, 8, 40)], ["gelu", "relu", "silu"], ["none"]),
        (True, (1, 8, 2, 1, 8), "gelu_pytorch_tanh", "right"),
    ],
    ids=str,
)
def test_gpt(tied, sizes, activation, side):
    vocab_size, dim, layers, heads, hidden = sizes
    compare(
        transformers.GPT2Config(
            vocab_size=vocab_size, n_positions=16, n_embd=dim, n_layer=layers, n_head=heads,
            n_inner=hidden, activation_function=activation, tie_word_embeddings=tied,
            resid_pdrop=0.1, embd_pdrop=0.1, attn_pdrop=0.1, bos_token_id=0, eos_token_id=0,
        ),
        side,
    )  # fmt: skip


def sizes(vocab_size=37, dim=24, layers=2, heads=4, kv_heads=2, hidden=40, **others):
    return {
        "vocab_size": vocab_size, "hidden_size": dim, "num_hidden_layers": layers,
        "num_attention_heads": heads, "num_key_value_heads": kv_heads, "intermediate_size": hidden,
        "max_position_embeddings": 16, **SPECIAL, **others,
    }  # fmt: skip


LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 1000.0, "factor": 4.0, "low_freq_factor": 1.0,
    "high_freq_factor": 4.0, "original_max_position_embeddings": 8,
}  # fmt: skip
LINEAR = {"rope_type": "linear", "rope_theta": 100.0, "factor": 3.0}


@pytest.mark.parity(
    component="llmlib.models.Llama",
    peer="transformers LlamaForCausalLM",
    compared="logits, gradients of all parameters, weights on the way back",
)
@pytest.mark.parametrize("side", ["none", "left", "right"])
@pytest.mark.parametrize(
    "variant",
    [
        sizes(tie_word_embeddings=False),
        sizes(tie_word_embeddings=True, pad_token_id=0),
        sizes(kv_heads=1, attention_bias=True, pad_token_id=3),
        sizes(kv_heads=4, vocab_size=101, layers=1, rms_norm_eps=1e-3),
        sizes(head_dim=10, rope_parameters=LLAMA3),
        sizes(dim=8, heads=1, kv_heads=1, hidden=5, rope_parameters=LINEAR),
    ],
    ids=["untied", "tied", "biased", "full heads", "llama3 rope", "linear rope"],
)
def test_llama(variant, side):
    compare(transformers.LlamaConfig(**variant), side)


@pytest.mark.parity(
    component="llmlib.models.Llama",
    peer="transformers MistralForCausalLM",
    compared="logits, gradients of all parameters, weights on the way back",
)
@pytest.mark.parametrize("side", ["none", "left", "right"])
@pytest.mark.parametrize("window", [1, 4, 50])
def test_mistral(window, side):
    compare(transformers.MistralConfig(**sizes(sliding_window=window)), side)


@pytest.mark.parity(
    component="llmlib.models.Llama",
    peer="transformers MixtralForCausalLM",
    compared="logits, gradients of all parameters, weights on the way back",
)
@pytest.mark.parametrize("side", ["none", "left"])
@pytest.mark.parametrize(("experts", "top_k", "window"), [(4, 2, None), (3, 1, 4), (2, 2, None)])
def test_mixtral(experts, top_k, window, side):
    compare(
        transformers.MixtralConfig(
            **sizes(), num_local_experts=experts, num_experts_per_tok=top_k, sliding_window=window
        ),
        side,
    )


@pytest.mark.parity(
    component="llmlib.models.Llama.loss",
    peer="transformers MixtralForCausalLM",
    compared="loss with the balance loss of the router, and gradients",
)
def test_mixtral_loss_has_the_balance_of_the_router():
    config = transformers.MixtralConfig(
        **sizes(), num_local_experts=4, output_router_logits=True, router_aux_loss_coef=0.5
    )
    theirs = draw(transformers.MixtralForCausalLM(config))
    from llmlib.interop import from_transformers

    ours = from_transformers(theirs)
    ids = torch.randint(0, 37, (B, T))
    targets = torch.cat((ids[:, 1:], torch.full((B, 1), -100)), dim=1)  # theirs shifts inside
    our_loss, their_loss = ours.loss(ids, targets), theirs(ids, labels=ids, use_cache=False).loss
    torch.testing.assert_close(our_loss, their_loss)
    our_loss.backward()
    their_loss.backward()
    torch.testing.assert_close(
        ours.blocks[0].feedforward.router.weight.grad, theirs.model.layers[0].mlp.gate.weight.grad
    )


@pytest.mark.parity(
    component="llmlib.models.Llama",
    peer="transformers Qwen2ForCausalLM",
    compared="logits, gradients of all parameters, weights on the way back",
)
@pytest.mark.parametrize("side", ["none", "left", "right"])
@pytest.mark.parametrize(
    "extra",
    [{}, {"use_sliding_window": True, "sliding_window": 3, "max_window_layers": 0}],
    ids=["full", "window"],
)
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_qwen2(tied, extra, side):
    compare(transformers.Qwen2Config(**sizes(tie_word_embeddings=tied), **extra), side)


@pytest.mark.parity(
    component="llmlib.models.Llama",
    peer="transformers Qwen3ForCausalLM",
    compared="logits, gradients of all parameters, weights on the way back",
)
@pytest.mark.parametrize("side", ["none", "left", "right"])
@pytest.mark.parametrize("bias", [True, False], ids=["biased", "unbiased"])
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_qwen3(tied, bias, side):
    compare(
        transformers.Qwen3Config(
            **sizes(tie_word_embeddings=tied, head_dim=8, attention_bias=bias)
        ),
        side,
    )


@pytest.mark.parity(
    component="llmlib.models.Llama",
    peer="transformers LlamaForCausalLM",
    compared="logits with positions of its own for each text, as left padding needs",
)
def test_positions_of_left_padded_texts():
    theirs = draw(transformers.LlamaForCausalLM(transformers.LlamaConfig(**sizes())))
    from llmlib.interop import from_transformers

    real = padding("left")
    positions = (real.cumsum(1) - 1).clamp(min=0)
    ids = torch.randint(0, 37, (B, T))
    with torch.no_grad():
        our_logits = from_transformers(theirs)(ids, real, positions=positions)
        their_logits = theirs(ids, attention_mask=real.long(), position_ids=positions).logits
    torch.testing.assert_close(our_logits[real], their_logits[real])
