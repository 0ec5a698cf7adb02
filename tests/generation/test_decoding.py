"""What greedy search, sampling and beam search promise."""

from itertools import product

import pytest
import torch
from torch.testing import assert_close

from llmlib.generation import beam_search, generate, pad_left, stream
from llmlib.models import (
    GPT,
    T5,
    ExpertsConfig,
    GPTConfig,
    Llama,
    LlamaConfig,
    T5Config,
    Transformer,
    TransformerConfig,
)

V, NEW = 23, 8
SIZES = {"vocab_size": V, "context_length": 24, "dim": 32, "num_layers": 2, "num_heads": 4}
LLAMA = SIZES | {"hidden_dim": 48, "num_kv_heads": 2}
MODELS = {
    "gpt": lambda: GPT(GPTConfig(**SIZES)),
    "llama": lambda: Llama(LlamaConfig(**LLAMA)),
    "mistral": lambda: Llama(LlamaConfig(**LLAMA, window=3)),
    "mixtral": lambda: Llama(LlamaConfig(**LLAMA, experts=ExpertsConfig(count=3))),
}
WRITERS = {
    "transformer": lambda: Transformer(TransformerConfig(**SIZES)),
    "t5": lambda: T5(
        T5Config(vocab_size=V, dim=32, head_dim=8, hidden_dim=48, num_layers=2, num_heads=4)
    ),
}
every_model = pytest.mark.parametrize("name", sorted(MODELS))


def build(name):
    """A model whose logits are far apart: rounding decides nothing."""
    torch.manual_seed(0)
    model = {**MODELS, **WRITERS}[name]()
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.4)
    return model.eval()


def prompts():
    torch.manual_seed(1)
    return [torch.randint(0, V, (length,)).tolist() for length in (6, 1, 4)]


@every_model
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_cached_equals_uncached(name, temperature):
    model = build(name)
    ids, mask = pad_left(prompts())
    texts = [
        generate(
            model, ids, mask=mask, max_new_tokens=NEW, temperature=temperature, cache=cache,
            generator=torch.Generator().manual_seed(2),
        )
        for cache in (True, False)
    ]  # fmt: skip
    assert_close(*texts)
    assert texts[0].shape == (3, 6 + NEW)


@every_model
def test_a_batch_of_different_lengths_gives_what_each_prompt_gives_alone(name):
    model = build(name)
    ids, mask = pad_left(prompts())
    together = generate(model, ids, mask=mask, max_new_tokens=NEW, temperature=0)
    for row, prompt in enumerate(prompts()):
        alone = generate(model, torch.tensor([prompt]), max_new_tokens=NEW, temperature=0)
        assert together[row, -NEW:].tolist() == alone[0, len(prompt) :].tolist()
        wide = beam_search(model, torch.tensor([prompt]), max_new_tokens=NEW, num_beams=3)
        batch = beam_search(model, ids, mask=mask, max_new_tokens=NEW, num_beams=3)
        assert batch[row, -NEW:].tolist() == wide[0, len(prompt) :].tolist()


@pytest.mark.parametrize("name", sorted(WRITERS))
def test_writers_write_without_the_source(name):
    model = build(name)
    source = torch.randint(0, V, (2, 5))
    written = generate(model, source, max_new_tokens=NEW, temperature=0)
    assert written.shape == (2, NEW)
    again = generate(model, source, max_new_tokens=NEW, temperature=0, cache=False)
    assert_close(written, again)


def count_up(ids):
    """A model that always thinks the next number is the likeliest."""
    return torch.nn.functional.one_hot((ids + 1) % V, V).float() * 50


def test_texts_end_at_a_stop_token_and_the_rest_is_padding():
    ids = torch.tensor([[3], [7], [9]])
    found = generate(count_up, ids, max_new_tokens=9, temperature=0, stop_ids=[10], pad_id=0)
    assert found.tolist() == [
        [3, 4, 5, 6, 7, 8, 9, 10],
        [7, 8, 9, 10, 0, 0, 0, 0],
        [9, 10, 0, 0, 0, 0, 0, 0],
    ]
    shorter = generate(count_up, ids, max_new_tokens=2, temperature=0, stop_ids=[10])
    assert shorter.tolist() == [[3, 4, 5], [7, 8, 9], [9, 10, 10]]
    beams = beam_search(count_up, ids, max_new_tokens=9, num_beams=2, stop_ids=[10], pad_id=0)
    assert beams.tolist() == found.tolist()


def test_a_stop_token_in_the_prompt_ends_nothing():
    found = generate(count_up, torch.tensor([[10, 3]]), max_new_tokens=3, stop_ids=[10])
    assert found.tolist() == [[10, 3, 4, 5, 6]]


def test_nothing_new():
    ids = torch.tensor([[1, 2]])
    assert generate(build("gpt"), ids, max_new_tokens=0).tolist() == [[1, 2]]


def test_a_seeded_generator_repeats_itself_and_leaves_the_global_one_alone():
    model, ids = build("gpt"), torch.tensor([[1, 2]])
    torch.manual_seed(5)
    before = torch.get_rng_state()

    def draw():
        generator = torch.Generator().manual_seed(3)
        return generate(model, ids, max_new_tokens=NEW, generator=generator)

    assert draw().tolist() == draw().tolist()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", [*sorted(MODELS), *sorted(WRITERS)])
def test_weights_copied_by_columns_write_the_same_text(name, monkeypatch):
    model, ids = build(name), torch.tensor([[1, 2]])
    texts = []
    for many in (1, 10**6):  # with copies for any text, and for none
        monkeypatch.setattr("llmlib.generation.decoding._MANY", many)
        texts.append(generate(model, ids, max_new_tokens=20, temperature=0).tolist())
    assert texts[0] == texts[1]
    assert model.token_embedding.columns is None


def test_a_stream_is_the_text_token_by_token():
    model, ids = build("llama"), torch.tensor([[1, 2]])
    options = {"max_new_tokens": NEW, "temperature": 0}
    tokens = list(stream(model, ids, **options))
    assert [int(token) for token in tokens] == generate(model, ids, **options)[0, 2:].tolist()


def test_the_mode_of_the_model_is_kept_and_dropout_is_off():
    model = GPT(GPTConfig(**SIZES, dropout=0.5)).train()
    ids = torch.tensor([[1, 2]])
    texts = {str(generate(model, ids, max_new_tokens=NEW, temperature=0)) for _ in range(5)}
    assert len(texts) == 1
    assert model.training
    for _ in stream(model, ids, max_new_tokens=NEW):
        assert not model.training
        break
    assert model.training


def test_the_caller_of_a_stream_keeps_gradients():
    for _ in stream(build("gpt"), torch.tensor([[1]]), max_new_tokens=2):
        assert torch.is_grad_enabled()


def test_what_was_generated_can_be_trained_on():
    model = build("gpt")
    ids = generate(model, torch.tensor([[1, 2]]), max_new_tokens=NEW)
    model.loss(ids[:, :-1], ids[:, 1:]).backward()
    assert model.token_embedding.weight.grad.any()


def log_probability(model, prompt, text):
    logits = model(torch.tensor([prompt + text]))[0]
    steps = range(len(prompt) - 1, len(prompt) + len(text) - 1)
    return sum(
        logits[step].log_softmax(-1)[token].item() for step, token in zip(steps, text, strict=True)
    )


def test_a_wide_beam_finds_the_most_probable_text():
    torch.manual_seed(4)
    small = GPT(GPTConfig(**SIZES | {"vocab_size": 4})).eval()
    for parameter in small.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    prompt = [1, 2]
    found = beam_search(small, torch.tensor([prompt]), max_new_tokens=3, num_beams=16)
    with torch.no_grad():
        best = max(
            product(range(4), repeat=3), key=lambda t: log_probability(small, prompt, list(t))
        )
    assert found[0, 2:].tolist() == list(best)


def test_steps_tell_how_the_best_text_came_about():
    model, steps = build("gpt"), []
    ids = torch.tensor([[1, 2], [3, 4]])
    found = beam_search(model, ids, max_new_tokens=5, num_beams=3, watch=steps.append)
    assert len(steps) == 5
    for row in range(2):
        beam, text = 0, []
        for step in reversed(steps):
            text.append(int(step.tokens[row, beam]))
            beam = int(step.parents[row, beam])
        assert text[::-1] == found[row, 2:].tolist()
    assert (steps[2].scores[:, :-1] >= steps[2].scores[:, 1:]).all()  # best first


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, ids: generate(m, ids[:, :0], max_new_tokens=1), r"\(1, 0\).*at least one token"),
        (lambda m, ids: generate(m, ids[0], max_new_tokens=1), r"\(3,\)"),
        (lambda m, ids: generate(m, ids, max_new_tokens=-1), "max_new_tokens=-1"),
        (lambda m, ids: generate(m, ids, max_new_tokens=22), "make 25 tokens.*at most 21"),
        (lambda m, ids: generate(m, ids, max_new_tokens=1, temperature=-1), "temperature=-1"),
        (lambda m, ids: generate(m, ids, max_new_tokens=1, top_k=0), "top_k=0"),
        (lambda m, ids: generate(m, ids, max_new_tokens=1, repetition_penalty=0), "penalty=0"),
        (lambda m, ids: generate(m, ids, max_new_tokens=1, mask=ids > 0), "False at the last|real"),
        (lambda m, ids: generate(m, ids, max_new_tokens=1, mask=ids.float()), "torch.float32"),
        (lambda m, ids: beam_search(m, ids, max_new_tokens=1, num_beams=0), "num_beams=0"),
        (lambda m, ids: beam_search(m, ids[:, :0], max_new_tokens=1, num_beams=2), "one token"),
        (lambda m, ids: pad_left([[1], []]), "prompt 1 is empty"),
        (lambda m, ids: pad_left([]), "there is no prompt"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call(build("gpt"), torch.tensor([[1, 2, 0]]))
