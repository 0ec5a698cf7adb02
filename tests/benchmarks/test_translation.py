"""The experiment on sizes compares like with like, and its record is what the command writes."""

from collections import Counter
from math import isclose, log

import pytest
import torch

from benchmarks import translation
from llmlib.data.translation import recorded_sizes

SMALL = {"dim": 8, "num_layers": 1, "num_heads": 2}


@pytest.fixture
def corpus():
    return translation.Corpus(training=1_000, held_out=20)


@pytest.fixture
def float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def test_one_size_is_varied_at_a_time_and_no_model_comes_twice():
    sizes = translation.models()
    assert len({tuple(model.items()) for model in sizes}) == len(sizes)
    for model in sizes:
        changed = [name for name, value in model.items() if translation.BASE[name] != value]
        assert len(changed) <= 1
    varied = {name: {model[name] for model in sizes} for name in translation.BASE}
    assert varied == {name: set(values) for name, values in translation.SWEEPS.items()}


def test_no_held_out_sentence_is_trained_on(corpus):
    assert len(corpus.train) == 1_000
    assert len(corpus.test) == 20
    assert not {pair.english for pair in corpus.train} & {pair.english for pair in corpus.test}


def test_a_batch_is_the_sentences_and_padding(corpus):
    pairs = corpus.train[:5]
    source, target = corpus.batch(pairs)
    for row, pair in enumerate(pairs):
        assert corpus.text(target[row].tolist()) == "".join(pair.chinese)
        assert target[row, len(pair.chinese)] == translation.END
        assert (target[row, len(pair.chinese) + 1 :] == translation.PAD).all()
        words = [corpus.tokens[number] for number in source[row].tolist()]
        assert words[: len(pair.english)] == list(pair.english)
        assert set(words[len(pair.english) :]) <= {"<pad>"}


def test_the_learning_rate_rises_to_its_peak_and_falls():
    rates = [translation.noam(step, dim=16, warmup=10, factor=0.5) for step in range(1, 41)]
    assert rates.index(max(rates)) + 1 == 10
    assert isclose(max(rates), 0.5 / (16 * 10) ** 0.5)
    assert isclose(rates[4], rates[9] / 2)
    assert isclose(rates[39], rates[9] / 2)


def test_training_is_the_same_from_the_same_seed_and_learns(corpus):
    runs = []
    for _ in range(2):
        model = translation.make(corpus, SMALL, seed=3)
        before = translation.held_out_loss(model, corpus)
        losses = list(translation.train(model, corpus, steps=40, factor=1.0, seed=3))
        runs.append((before, losses, translation.held_out_loss(model, corpus)))
    assert runs[0] == runs[1]
    before, losses, after = runs[0]
    assert len(losses) == 40
    assert abs(before - log(len(corpus.tokens))) < 0.8
    assert after < before - 1.0


def test_every_model_is_recorded_for_every_factor_and_number_of_steps():
    record = recorded_sizes()
    found = Counter(
        (row["dim"], row["num_layers"], row["num_heads"], row["factor"], row["steps"])
        for row in record["rows"]
    )
    wanted = {
        (model["dim"], model["num_layers"], model["num_heads"], factor, steps)
        for model in translation.models()
        for factor in translation.FACTORS
        for steps in translation.CHECKPOINTS
    }
    assert set(found) == wanted
    assert set(found.values()) == {1}
    for row in record["rows"]:
        assert len(row["loss"]) == len(row["bleu"]) == len(translation.SEEDS)
        assert all(0 <= score <= 100 for score in row["bleu"])
    assert record["base"] == translation.BASE


def test_recorded_weights_are_those_of_the_models():
    corpus = translation.Corpus()
    for model in translation.models():
        counted = translation.make(corpus, model, seed=0).num_parameters
        rows = [row for row in recorded_sizes()["rows"] if model.items() <= row.items()]
        assert {row["parameters"] for row in rows} == {counted}


@pytest.mark.usefixtures("float64")
def test_the_record_can_be_made_again():
    corpus, sizes = translation.Corpus(), translation.BASE | {"dim": 8}
    steps, factor = translation.CHECKPOINTS[0], 0.5
    model = translation.make(corpus, sizes, seed=0)
    for _ in translation.train(model, corpus, steps=steps, factor=factor, seed=0):
        pass
    wanted = {**sizes, "steps": steps, "factor": factor}
    (row,) = [row for row in recorded_sizes()["rows"] if wanted.items() <= row.items()]
    assert isclose(translation.held_out_loss(model, corpus), row["loss"][0], rel_tol=0.02)
    assert isclose(translation.bleu(model, corpus), row["bleu"][0], abs_tol=2.0)
