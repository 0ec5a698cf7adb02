"""A model as the reader of a pipeline: quotations only, here and behind an endpoint."""

import json
import random
from functools import partial

import pytest
import torch

from llmlib.agents import EndpointModel, LocalModel, QuotedAnswers, companion_readers
from llmlib.agents.__main__ import main
from llmlib.generation import TokenConstraint
from llmlib.generation.automaton import build_automaton
from llmlib.interop import save_pretrained
from llmlib.models import Llama, LlamaConfig
from llmlib.post_training import replies
from llmlib.retrieval import BM25, RAG, one_by_one, passages_prompt
from llmlib.retrieval.rag import REFUSAL, answer_problems
from llmlib.retrieval.rag_numbers import held_out_questions
from llmlib.tokenizers import BPETokenizer

MARKS = ["<|end|>", "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>"]


@pytest.fixture(scope="module")
def small():
    island, _ = held_out_questions(count=10)
    texts = [article.text for article in island.articles] + [REFUSAL]
    tokenizer = BPETokenizer.train(texts, 500, MARKS)
    torch.manual_seed(0)
    config = LlamaConfig(vocab_size=tokenizer.vocab_size, context_length=512, dim=16, num_layers=1,
                         num_heads=2, hidden_dim=16)  # fmt: skip
    return Llama(config).eval(), tokenizer


def asked(*passages):
    return [{"role": "user", "content": passages_prompt("Who built the mill?", passages)}]


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("Lunika [1]", True),
        ("Lunika built it [1]", True),
        ("boat [2]", True),
        (REFUSAL, True),
        ("Lunika [2]", False),
        ("Lunika [3]", False),
        ("Lunika", False),
        ("the mill [1]", False),
        (f"{REFUSAL} [1]", False),
        ("", False),
    ],
)
def test_only_quotations_are_said(text, right):
    language = QuotedAnswers(None).language(asked("Lunika built it.", "The boat is red."))
    assert build_automaton(language).matches(text) == right


def test_without_passages_a_reply_is_free():
    language = QuotedAnswers(None).language([{"role": "user", "content": "Who built the mill?"}])
    assert build_automaton(language).matches("Lunika, I think.")


def test_a_model_that_knows_nothing_still_cites_what_was_shown(small):
    """A million wrong answers are possible, and not one without its passage."""
    model, tokenizer = small
    island, _ = held_out_questions(count=10)
    quoted = QuotedAnswers(tokenizer)
    rng, said = random.Random(0), set()
    for seed in range(8):
        passages = [article.text for article in rng.sample(island.articles, 2)]
        local = LocalModel(model, tokenizer, max_new_tokens=24, temperature=1.5, constraint=quoted,
                           generator=torch.Generator().manual_seed(seed))  # fmt: skip
        reply = local(asked(*passages))
        assert answer_problems(reply, passages) == []
        said.add(reply)
    assert len(said - {REFUSAL}) > 3
    free = LocalModel(model, tokenizer, max_new_tokens=24)
    assert answer_problems(free(asked(*passages)), passages)


def test_both_readers_agree_with_one_at_a_time(small):
    model, tokenizer = small
    island, questions = held_out_questions(count=10)
    index = BM25([article.text for article in island.articles])
    readers = companion_readers(model, tokenizer, max_new_tokens=8)
    for name, constraint in {"free": None, "quoted": QuotedAnswers(tokenizer)}.items():
        local = LocalModel(model, tokenizer, max_new_tokens=8, constraint=constraint)
        ours = RAG(index, readers[name], k=2).answers([one.question for one in questions])
        alone = RAG(index, one_by_one(local), k=2).answers([one.question for one in questions])
        assert [answer.reply for answer in ours] == [answer.reply for answer in alone]


def test_the_same_answers_through_an_endpoint(small, monkeypatch):
    pytest.importorskip("openai", reason="needs the extra: pip install llmlib[apps]")
    pytest.importorskip("uvicorn", reason="needs the extra: pip install llmlib[apps]")
    from llmlib.serving import chat_server, serve

    model, tokenizer = small
    island, questions = held_out_questions(count=4)
    index = BM25([article.text for article in island.articles])
    here = RAG(index, partial(replies, model, tokenizer, max_new_tokens=8), k=2)
    with serve(chat_server(model, tokenizer)) as address:
        monkeypatch.setenv("OPENAI_BASE_URL", address)
        monkeypatch.delenv("OPENAI_API_KEY", raising=False)
        endpoint = EndpointModel("companion", temperature=0, max_tokens=8)
        there = RAG(index, one_by_one(endpoint), k=2)
        for one in questions:
            local, remote = here.answer(one.question), there.answer(one.question)
            assert local == remote
            assert len(local.reply) > 0


def test_the_command(small, tmp_path, capsys):
    model, tokenizer = small
    save_pretrained(model, tokenizer, tmp_path / "model")
    saved = tmp_path / "numbers.json"
    command = ["rag", str(tmp_path / "model"), "--questions", "6", "--passages", "1", "3"]
    assert main([*command, "--save", str(saved)]) == 0
    out = capsys.readouterr().out
    numbers = json.loads(saved.read_text())
    assert list(numbers) == [
        "no passages",
        *(f"{search}, k = {k}, free" for search in ("hybrid", "reranked") for k in (1, 3)),
        *(f"reranked, k = {k}, quoted" for k in (1, 3)),
        *(f"article missing, k = {k}, {how}" for how in ("free", "quoted") for k in (1, 3)),
    ]
    assert all(name in out for name in numbers)
    quoted = [row for name, row in numbers.items() if name.endswith("quoted")]
    assert all(row["problems"][0] == 0 and row["faithful"][0] == 1 for row in quoted)
    assert numbers["reranked, k = 3, free"]["context recall"][0] == 1
    assert numbers["article missing, k = 3, free"]["context recall"][0] == 0


def test_the_shortest_quotation_fits(small):
    _, tokenizer = small
    one = QuotedAnswers(tokenizer)(asked("Lunika built it."))
    assert isinstance(one, TokenConstraint)
    assert one.text_bound < 12
