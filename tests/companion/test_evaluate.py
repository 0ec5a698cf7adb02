"""The measures of the companion, against models whose value is known."""

import math

import pytest
import torch

from llmlib.companion import bits_per_character, evaluate_stories, load
from llmlib.companion.evaluate import beginning, inconsistencies
from llmlib.data.stories import continuation_errors, generate_stories

STORIES = list(generate_stories(9, seed=8, split="test"))


def test_bits_of_a_model_that_knows_nothing(finished):
    model, tokenizer = load(finished[0])
    torch.nn.init.zeros_(model.token_embedding.weight)  # every token equally likely
    tokens = sum(len(tokenizer.encode(story.text)) + 1 for story in STORIES)
    characters = sum(len(story.text) for story in STORIES)
    expected = tokens * math.log2(tokenizer.vocab_size) / characters
    for size in (1, 4, 16):
        found = bits_per_character(model, tokenizer, STORIES, batch_size=size)
        assert found == pytest.approx(expected, rel=1e-5)


def test_bits_do_not_depend_on_the_batch(finished):
    model, tokenizer = load(finished[0])
    alone = bits_per_character(model, tokenizer, STORIES, batch_size=1)
    assert bits_per_character(model, tokenizer, STORIES, batch_size=5) == pytest.approx(alone)


def test_beginnings_end_with_a_sentence_and_leave_a_part_to_write():
    for story in STORIES:
        prompt = beginning(story)
        assert 0.15 < len(prompt) / len(story.text) < 0.7
        assert prompt.rstrip('"')[-1] in ".?!"
        assert continuation_errors(prompt, story.text[len(prompt) :]) == []


def test_an_untrained_model_is_not_consistent(finished):
    model, tokenizer = load(finished[0])
    assert all(inconsistencies(model, tokenizer, STORIES[:2]))


def test_copies_are_counted(finished, monkeypatch):
    model, tokenizer = load(finished[0])
    scores = evaluate_stories(model, tokenizer, stories=3, samples=2)
    assert scores.copied == scores.copied_by_chance == scores.consistent == 0
    assert scores.bits_per_character > scores.floor > 0
    assert scores.over_floor == pytest.approx(scores.bits_per_character - scores.floor)
    fresh = [story.text.strip() for story in generate_stories(2, seed=1, split="train")]
    scores = evaluate_stories(model, tokenizer, stories=3, samples=2, seen=fresh[:1])
    assert scores.copied_by_chance == 0.5
    monkeypatch.setattr(
        "llmlib.companion.evaluate.continue_stories",
        lambda _model, _tokenizer, prompts, **_options: [f"{fresh[0]} "] * len(prompts),
    )
    assert evaluate_stories(model, tokenizer, stories=3, samples=2, seen=fresh).copied == 1
