"""Greedy search, beam search and the filters against ``generate`` of transformers."""

from itertools import product

import pytest
import torch
from torch.testing import assert_close

from llmlib.generation import (
    beam_search,
    generate,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    pad_left,
    penalise_repetition,
)
from llmlib.interop import from_transformers
from tests.parity.models import draw

transformers = pytest.importorskip("transformers")

V, NEW = 19, 12
EOS, PAD = 2, 18  # for a padding id of 0 transformers fills up with the stop token
SIZES = {
    "vocab_size": V, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "intermediate_size": 40, "max_position_embeddings": 32,
    "pad_token_id": PAD, "bos_token_id": 1, "eos_token_id": EOS,
}  # fmt: skip


def make(name, seed):
    torch.manual_seed(seed)
    config = {
        "gpt": lambda: transformers.GPT2Config(
            vocab_size=V, n_positions=32, n_embd=24, n_layer=2, n_head=4, bos_token_id=1,
            eos_token_id=EOS, pad_token_id=PAD,
        ),
        "llama": lambda: transformers.LlamaConfig(**SIZES),
        "mistral": lambda: transformers.MistralConfig(**SIZES, sliding_window=4),
        "qwen3": lambda: transformers.Qwen3Config(**SIZES, head_dim=6),
        "mixtral": lambda: transformers.MixtralConfig(**SIZES, num_local_experts=3),
    }[name]()  # fmt: skip
    theirs = draw(transformers.AutoModelForCausalLM.from_config(config), std=0.4)
    return from_transformers(theirs), theirs


@pytest.fixture(autouse=True)
def quiet():
    transformers.logging.set_verbosity_error()


def run_theirs(theirs, ids, mask, stop, **options):
    options = {"max_new_tokens": NEW, "do_sample": False, "pad_token_id": PAD, **options}
    # An id that no model can give stands for "no stop token".
    end = {"eos_token_id": list(stop) if stop else V + 5}
    return theirs.generate(ids, attention_mask=mask.long(), **options, **end)


def prompts(seed):
    torch.manual_seed(100 + seed)
    texts = [torch.randint(3, V, (length,)).tolist() for length in (5, 2, 7, 1)]
    return pad_left(texts, PAD)


@pytest.mark.parity(
    component="llmlib.generation.generate, temperature 0",
    peer="transformers generate, greedy",
    compared="every token, over batches of prompts of different lengths",
    tolerance="equal",
)
@pytest.mark.parametrize("cache", [True, False], ids=["cached", "uncached"])
@pytest.mark.parametrize("stop", [(), (EOS,), (2, 5, 7, 11)], ids=str)
@pytest.mark.parametrize(
    ("name", "seed"), list(product(["gpt", "llama", "mistral", "qwen3", "mixtral"], [0, 1]))
)
def test_greedy(name, seed, stop, cache):
    ours, theirs = make(name, seed)
    ids, mask = prompts(seed)
    options = {"max_new_tokens": NEW, "temperature": 0, "stop_ids": stop, "pad_id": PAD}
    assert_close(
        generate(ours, ids, mask=mask, cache=cache, **options), run_theirs(theirs, ids, mask, stop)
    )


@pytest.mark.parity(
    component="llmlib.generation.generate, repetition penalty",
    peer="transformers generate, greedy",
    compared="every token",
    tolerance="equal",
)
@pytest.mark.parametrize("penalty", [0.7, 1.3, 5.0])
def test_greedy_with_repetition_penalty(penalty):
    ours, theirs = make("llama", 0)
    torch.manual_seed(0)
    ids = torch.randint(3, V, (3, 6))
    mask = torch.ones_like(ids, dtype=torch.bool)
    wanted = run_theirs(theirs, ids, mask, (), repetition_penalty=penalty)
    options = {"max_new_tokens": NEW, "temperature": 0, "repetition_penalty": penalty}
    assert_close(generate(ours, ids, **options), wanted)


@pytest.mark.parity(
    component="llmlib.generation.beam_search",
    peer="transformers generate, beam search",
    compared="every token of the best text, over batches of prompts of different lengths",
    tolerance="equal",
)
@pytest.mark.parametrize("penalty", [0.0, 1.0, -1.0, 2.0], ids=lambda p: f"penalty {p}")
@pytest.mark.parametrize("stop", [(), (EOS,), (2, 5, 7, 11)], ids=str)
@pytest.mark.parametrize("beams", [1, 2, 4])
@pytest.mark.parametrize(("name", "seed"), [("gpt", 0), ("llama", 1), ("llama", 2)])
def test_beam_search(name, seed, beams, stop, penalty):
    ours, theirs = make(name, seed)
    ids, mask = prompts(seed)
    wanted = run_theirs(theirs, ids, mask, stop, num_beams=beams, length_penalty=penalty)
    found = beam_search(
        ours, ids, mask=mask, max_new_tokens=NEW, num_beams=beams, length_penalty=penalty,
        stop_ids=stop, pad_id=PAD,
    )  # fmt: skip
    assert_close(found, wanted)


def make_encoder_decoder(name):
    torch.manual_seed(3)
    if name == "t5":
        config = transformers.T5Config(
            vocab_size=V, d_model=24, d_kv=6, d_ff=40, num_layers=2, num_heads=4,
            decoder_start_token_id=PAD, pad_token_id=PAD, eos_token_id=EOS,
        )  # fmt: skip
        theirs = transformers.T5ForConditionalGeneration(config)
    else:
        config = transformers.MarianConfig(
            vocab_size=V, d_model=24, encoder_layers=2, decoder_layers=2,
            encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=40,
            decoder_ffn_dim=40, max_position_embeddings=32, activation_function="relu",
            pad_token_id=PAD, decoder_start_token_id=PAD, eos_token_id=EOS,
            forced_eos_token_id=None,
        )  # fmt: skip
        theirs = transformers.MarianMTModel(config)
        theirs.generation_config.bad_words_ids = None
    draw(theirs, std=0.4)
    return from_transformers(theirs), theirs


@pytest.mark.parity(
    component="llmlib.generation.generate and beam_search, encoder-decoder",
    peer="transformers generate of T5 and Marian",
    compared="every token of the best text",
    tolerance="equal",
)
@pytest.mark.parametrize("cache", [True, False], ids=["cached", "uncached"])
@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("name", ["t5", "marian"])
def test_encoder_decoder(name, beams, cache):
    ours, theirs = make_encoder_decoder(name)
    torch.manual_seed(0)
    ids = torch.randint(3, V, (4, 6))
    mask = torch.arange(6) < torch.tensor([[6], [3], [1], [5]])
    wanted = run_theirs(theirs, ids, mask, (EOS,), num_beams=beams)[:, 1:]  # without the start
    options = {
        "max_new_tokens": NEW, "stop_ids": [EOS], "pad_id": PAD, "mask": mask, "cache": cache,
    }  # fmt: skip
    if beams == 1:
        found = generate(ours, ids, temperature=0, **options)
    else:
        found = beam_search(ours, ids, num_beams=beams, **options)
    assert_close(found, wanted)


FILTERS = {
    "top_k": (keep_top_k, lambda value: transformers.TopKLogitsWarper(value), [1, 3, 100]),
    "top_p": (keep_top_p, lambda value: transformers.TopPLogitsWarper(value), [0.05, 0.5, 0.9]),
    "min_p": (keep_min_p, lambda value: transformers.MinPLogitsWarper(value), [0.0, 0.1, 0.9]),
}


@pytest.mark.parity(
    component="llmlib.generation.keep_top_k, keep_top_p and keep_min_p",
    peer="transformers logits warpers",
    compared="logits after each",
)
@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name in FILTERS for value in FILTERS[name][2]]
)
def test_filters(name, value):
    torch.manual_seed(0)
    logits = torch.randn(50, V) * 2
    ours, theirs, _ = FILTERS[name]
    assert_close(ours(logits, value), theirs(value)(None, logits))


@pytest.mark.parity(
    component="llmlib.generation.penalise_repetition",
    peer="transformers RepetitionPenaltyLogitsProcessor",
    compared="logits",
)
def test_penalty():
    torch.manual_seed(0)
    logits, ids = torch.randn(5, V), torch.randint(0, V, (5, 7))
    theirs = transformers.RepetitionPenaltyLogitsProcessor(1.7)
    assert_close(penalise_repetition(logits, ids, 1.7), theirs(ids, logits.clone()))
