"""The benchmark of generation compares equal texts, and its stored result keeps the promise."""

import json

import torch

from benchmarks import generation
from llmlib.models import GPT, GPTConfig


def test_every_way_writes_the_same_text():
    torch.manual_seed(0)
    config = GPTConfig(vocab_size=40, context_length=32, dim=16, num_layers=2, num_heads=2)
    ids = torch.randint(0, 40, (1, 5))
    texts = [write() for write in generation.writers(GPT(config), ids, 10).values()]
    assert len(texts) == 3
    assert all(torch.equal(text, texts[0]) for text in texts)
    assert texts[0].shape == (1, 15)


def test_the_stored_result_keeps_the_promise():
    stored = json.loads(generation.RESULTS.read_text(encoding="utf-8"))
    assert {(row["model"], row["size"]) for row in stored["models"]} == {
        (model, size) for model in ("GPT", "Llama") for size in generation.MODELS
    }
    for row in stored["models"]:
        speed = row["tokens_per_second"]
        assert row["target"] == generation.TARGET
        assert row["ratio"] >= row["target"]
        assert abs(speed["llmlib"] / speed["transformers"] - row["ratio"]) < 0.02
        assert speed["no cache"] < speed["llmlib"]
    assert "llmlib" in generation.show(stored)
